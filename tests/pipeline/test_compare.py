"""`cyclegan compare`: commits as git has them, runs as MLflow has them, side by side."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from PIL import Image
from project import git_commit, run, set_params
from repositories import commit_at
from typer.testing import CliRunner

from cyclegan.cli import app
from cyclegan.pipeline import paths
from cyclegan.pipeline.compare import subject

TABLE = "reports/scores.csv"


@pytest.fixture
def project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with three commits: without results; with results; with others, of another lambda."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    run(workspace, "git", "init", "-q", "-b", "main")
    git_commit(workspace, "code")
    write_results(0.5, "red")
    git_commit(workspace, "first results")
    set_params(workspace, {"loss.lambda_A": 5.0})
    write_results(0.3, "blue")
    git_commit(workspace, "second <b>results</b>")
    return workspace


def evaluation(value: float, **changes: Any) -> dict[str, Any]:
    own = {"model": {"pair_l1": value}, "copy_input": {"pair_l1": 0.9}}
    protocol = {"kid_subsets": 50, "test_digest": "t" * 64}
    counts = {"test_A": 4, "test_B": 4}
    return {
        "weights": "ema",
        "attribution": "Drawn by <Nobody>",
        "pictures": counts,
        "protocol": protocol,
        "A_to_B": own,
        "B_to_A": own,
    } | changes


def scores(value: float) -> str:
    rows = [f"{way},model,pair_l1,{value},0.01,,,4\n" for way in ("A_to_B", "B_to_A")]
    return "direction,subject,metric,value,se,low,high,pictures\n" + "".join(rows)


def write_results(value: float, colour: str) -> None:
    for folder in ("metrics", "reports"):
        Path(folder).mkdir(exist_ok=True)
    paths.EVALUATE_METRICS.write_text(json.dumps(evaluation(value)))
    paths.DATASET_METRICS.write_text(json.dumps({"digest": "d" * 64}))
    Path(TABLE).write_text(scores(value))
    for path in paths.GALLERIES.values():
        Image.new("RGB", (4, 4), colour).save(path)


def cyclegan(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["compare", *arguments])
    return result.exit_code, result.output


def make_run(value: float, *, files: bool) -> str:
    """A run as training, evaluation and export leave it."""
    client = MlflowClient(f"sqlite:///{Path('mlflow.db').absolute()}")
    experiment = client.get_experiment_by_name("cyclegan")
    number = (
        experiment.experiment_id
        if experiment
        else client.create_experiment("cyclegan", str(Path("mlartifacts").absolute()))
    )
    tags = {"data_digest": "d" * 64, "dataset.n_train": "6", "evaluate.feature_network": "inception_2015"}
    made: str = client.create_run(number, tags=tags, run_name="shapes 0123").info.run_id
    client.log_param(made, "loss.lambda_A", "10.0")
    for way in ("A_to_B", "B_to_A"):
        client.log_metric(made, f"test/{way}/model/pair_l1", value)
        client.log_metric(made, f"test/{way}/model/pair_l1_se", 0.01)
        client.log_metric(made, f"test/{way}/copy_input/pair_l1", 0.9)
    if files:
        client.log_text(made, json.dumps(evaluation(value)), "evaluation/evaluate.json")
        client.log_text(made, scores(value), "evaluation/scores.csv")
        client.log_artifact(made, str(paths.GALLERIES["A_to_B"]), "evaluation")
    return made


def test_commits_stand_side_by_side_with_what_differs(project: Path) -> None:
    status, output = cyclegan("HEAD~1", "main")
    assert status == 0, output
    lines = [" ".join(line.split()) for line in output.splitlines()]
    commits = run(project, "git", "log", "--format=%H", "-2").stdout.split()
    assert f"commit or run {commits[1][:8]} {commits[0][:8]}" in lines
    assert "about first results second <b>results</b>" in lines
    assert [line for line in lines if line.startswith(("loss", "seed", "dataset"))] == ["loss.lambda_A 10.0 5.0"]
    score = "pair_l1 (lower is better) 0.500 [0.480, 0.520] 0.300 * [0.280, 0.320] main is better: 0.200 ± 0.028"
    assert lines.count(score) == 2
    assert lines.count("Of 1 scores: main is better in 1.") == 2


def test_the_health_of_a_training_is_not_that_of_imported_generators(project: Path) -> None:
    paths.TRAIN_METRICS.write_text(json.dumps({"health": {"A_to_B": {"copying": 0.4}}}))
    assert subject("workspace", project).health == {"A_to_B/copying": 0.4}
    set_params(project, {"evaluate.model": "weights/imported"})
    assert subject("workspace", project).health is None


def test_the_page_holds_both_galleries_and_escapes_what_comes_from_git(project: Path) -> None:
    status, output = cyclegan("HEAD~1", "workspace", "HEAD", "--html", "pages/page.html", "--direction", "A_to_B")
    assert status == 0, output
    assert output.endswith("as a page: pages/page.html\n")
    page = Path("pages/page.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3
    assert "second &lt;b&gt;results&lt;/b&gt;" in page
    assert page.count("Drawn by &lt;Nobody&gt;. Translated pictures are adaptations of them.") == 1
    assert "B_to_A" not in page


def test_an_old_commit_without_a_table_of_errors_is_compared_by_its_values(project: Path) -> None:
    Path(TABLE).unlink()
    text = Path("params.yaml").read_text().replace("  gallery_size:", "  kid_subsets: 2\n  gallery_size:")
    Path("params.yaml").write_text(text.replace("  feature_network: inception_2015", "  kid_subset_size: 3"))
    old = {name: value for name, value in evaluation(0.4).items() if name != "protocol"}
    paths.EVALUATE_METRICS.write_text(json.dumps(old))
    git_commit(project, "old")
    found = subject("HEAD", project)
    assert found.outcome.scores["A_to_B"]["pair_l1"].se is None
    assert found.outcome.protocol == {"evaluate.kid_subsets": "2", "evaluate.kid_subset_size": "3"}
    status, output = cyclegan("HEAD", "HEAD~1")
    assert status == 0
    assert "NOT COMPARABLE: HEAD~1 cannot be compared with HEAD: the settings of their scores are not" in " ".join(
        output.split()
    )


def test_runs_are_compared_with_commits(project: Path) -> None:
    whole, bare = make_run(0.4, files=True), make_run(0.45, files=False)
    found = subject(whole[:10], project)
    assert (found.name, found.about, found.whole) == (whole[:8], "shapes 0123", False)
    assert set(found.galleries) == {"A_to_B"}
    assert found.outcome.test_digest == "t" * 64
    assert found.params["loss.lambda_A"] == "10.0"
    without = subject(bare, project)
    assert (without.label, without.galleries, without.outcome.test_digest) == (bare[:8], {}, None)
    assert set(without.outcome.scores["A_to_B"]) == {"pair_l1"}
    score = without.outcome.scores["A_to_B"]["pair_l1"]
    assert (score.value, score.se) == (0.45, 0.01)
    status, output = cyclegan("HEAD~1", whole)
    assert status == 0
    assert "No parameter differs." in output  # a run knows fewer, which is no difference
    assert f"{whole[:8]} is better: 0.100 ± 0.028" in output


def test_an_experiment_of_dvc_is_found_by_its_name(project: Path) -> None:
    base, commit = (commit_at(project, name) for name in ("HEAD~2", "HEAD~1"))
    run(project, "git", "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/tidy-emu", commit)
    assert subject("tidy-emu", project).about == "first results"
    run(project, "git", "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/tidy-emu", "HEAD")
    status, output = cyclegan("HEAD", "tidy-emu")
    assert status == 1
    assert "tidy-emu is the name of several experiments; name one by its commit" in output


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["HEAD"], 2, "give two or more"),
        ([], 2, "Missing argument"),
        (["HEAD", "HEAD", "--direction", "up"], 2, "A_to_B"),
        (["HEAD", "nothing"], 1, "there is no commit, branch, tag or experiment nothing, nor an MLflow run"),
        (["HEAD", "f" * 32], 1, "nor an MLflow run of this id in sqlite:///"),
        (["HEAD", "HEAD~2"], 1, "HEAD~2 has no results: no metrics/evaluate.json"),
        (["HEAD", "HEAD~1", "--metric", "fid"], 1, "there is no score fid in any of them; there are pair_l1"),
        (["HEAD", "HEAD~1", "--html", "params.yaml/x.html"], 1, "cannot write params.yaml/x.html"),
    ],
)
def test_mistakes_are_one_line(project: Path, arguments: list[str], status: int, words: str) -> None:
    found, output = cyclegan(*arguments)
    assert found == status
    assert words in " ".join(output.split())
    if status == 1:
        assert len([line for line in output.splitlines() if line.startswith("error: ")]) == 1


def test_damaged_results_name_the_commit(project: Path) -> None:
    for content, words in {"{": "metrics/evaluate.json of HEAD is damaged", "{}": "is not what the evaluate stage"}.items():
        paths.EVALUATE_METRICS.write_text(content)
        git_commit(project, "damaged")
        status, output = cyclegan("HEAD", "HEAD~1")
        assert status == 1
        assert words in output


def test_runs_that_were_not_evaluated_and_stores_that_are_away_are_said(project: Path) -> None:
    made = make_run(0.4, files=False)
    client = MlflowClient(f"sqlite:///{Path('mlflow.db').absolute()}")
    bare = client.create_run(client.get_run(made).info.experiment_id).info.run_id
    assert f"the run {bare} has no scores" in cyclegan("HEAD", bare)[1]
    set_params(project, {"tracking.uri": "http://127.0.0.1:1"})
    status, output = cyclegan("HEAD", made)
    assert status == 1
    assert output.startswith("error: MLflow at http://127.0.0.1:1 cannot be used: it does not answer")
