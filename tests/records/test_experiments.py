"""Experiments of DVC run their own code and are found again by name, by key and by what their runs say."""

import json
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from faults.processes import PATIENCE_SECONDS
from project import run, set_params
from repositories import SHORT, changed, commit_at, prepared_repository, tags_of

from cyclegan import config as configuration
from cyclegan import lineage
from cyclegan.pipeline import paths

STEPS = 6
RESULTS = "src/cyclegan/pipeline/results.py"
EDIT = ('"steps": state.step,', '"steps": steps_of(state.step),')
IMPORT = ("from cyclegan.training.state import TrainState\n", "from cyclegan.training.steps import steps_of\n")
MODULE = "src/cyclegan/training/steps.py"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Path:
    """A repository whose pictures are prepared, and committed."""
    return prepared_repository(tmp_path_factory.mktemp("experiments") / "project", mlflow_database, SHORT)


def tags(project: Path) -> list[dict[str, str]]:
    """Of each run, in order of their beginning."""
    with sqlite3.connect(project / "mlflow.db") as database:
        runs = database.execute("select run_uuid from runs order by start_time").fetchall()
    return [tags_of(project, run_id) for (run_id,) in runs]


def diff_of(project: Path, number: int) -> str:
    """What the run of a number says that its commit had not."""
    with sqlite3.connect(project / "mlflow.db") as database:
        places = database.execute("select artifact_uri from runs order by start_time").fetchall()
    return (Path(places[number][0].removeprefix("file://")) / tags(project)[number]["git.uncommitted"]).read_text()


def metrics_at(project: Path, commit: str) -> dict[str, Any]:
    content = lineage.file_at(project, commit, paths.TRAIN_METRICS)
    assert content is not None
    values: dict[str, Any] = json.loads(content)
    return values


def checked_out(project: Path, commit: str, target: Path) -> Path:
    run(project, "git", "worktree", "add", "-q", "--detach", str(target), commit)
    return target


def key_of(tree: Path, project: Path) -> str:
    """The train key of a tree, computed from what git has of it, with the data that this project has prepared."""
    digest = json.loads((project / paths.PREPARED / "dataset.json").read_text())["digest"]
    return lineage.train_key(tree, configuration.load(tree / "params.yaml"), digest)


def edit_code(project: Path) -> None:
    """An edit of a module, and a new one that it needs."""
    text = (project / RESULTS).read_text()
    assert text.count(EDIT[0]) == text.count(IMPORT[0]) == 1
    (project / RESULTS).write_text(text.replace(*EDIT).replace(IMPORT[0], IMPORT[0] + IMPORT[1]))
    (project / MODULE).write_text("def steps_of(steps: int) -> int:\n    return 1000 + steps\n")
    run(project, "git", "add", MODULE)  # DVC copies what git knows


def undo(project: Path) -> None:
    run(project, "git", "reset", "-q", "--hard")
    run(project, "git", "clean", "-q", "-d", "--force")  # new modules and results
    assert changed(project) == []


def assert_is_on_record(project: Path, name: str, scratch: Path) -> str:
    """An experiment's commit, its run and its results name one another; returns the commit."""
    (commit,) = lineage.commits_named(project, name)
    baseline = commit_at(project, f"{commit}^")
    numbers = [number for number, each in enumerate(tags(project)) if each.get("dvc.experiment") == name]
    assert len(numbers) == 1
    recorded = tags(project)[numbers[0]]
    tree = checked_out(project, commit, scratch / "experiment")
    key = key_of(tree, project)
    assert metrics_at(project, commit)["train_key"] == key == recorded["train_key"]
    assert (recorded["mlflow.source.git.commit"], recorded["git.dirty"]) == (baseline, "true")

    again = checked_out(project, baseline, scratch / "again")  # from the run alone
    patch = diff_of(project, numbers[0])
    subprocess.run(["git", "apply"], cwd=again, input=patch.encode(), check=True)
    assert key_of(again, project) == key
    apart = [f":(exclude){path}" for path in ("dvc.lock", *lineage.outputs(project))]
    run(again, "git", "add", "-A", "--", ".", *apart)
    assert run(again, "git", "diff", "--cached", commit, "--", ".", *apart).stdout == ""
    for place in (tree, again):
        run(project, "git", "worktree", "remove", "--force", str(place))
    return commit


def test_an_experiment_in_a_copy_runs_its_own_code_and_leaves_the_workspace_alone(project: Path, tmp_path: Path) -> None:
    before = tags(project)
    edit_code(project)
    status = run(project, "git", "status", "--porcelain").stdout
    run(project, "dvc", "exp", "run", "--temp", "--name", "edited", "-S", "loss.lambda_identity=0", "train")
    assert run(project, "git", "status", "--porcelain").stdout == status
    assert tags(project)[:-1] == before
    undo(project)
    commit = assert_is_on_record(project, "edited", tmp_path)
    assert metrics_at(project, commit)["steps"] == 1000 + STEPS
    assert not (project / paths.TRAIN_METRICS).exists()
    assert tags(project)[-1]["mlflow.source.git.branch"] == "detached"

    run(project, "dvc", "exp", "branch", "edited", "kept")
    assert lineage.commits_named(project, "kept") == [commit]
    run(project, "dvc", "exp", "apply", "edited", check=False)  # it misses what later stages make, which never ran
    assert json.loads((project / paths.TRAIN_METRICS).read_text()) == metrics_at(project, commit)
    assert "Running stage" not in run(project, "dvc", "repro", "train").stdout
    undo(project)


@pytest.mark.complete
def test_one_in_the_workspace_is_on_record_and_what_dvc_restores_later_has_its_run(project: Path, tmp_path: Path) -> None:
    run(project, "dvc", "exp", "run", "--name", "here", "-S", "loss.lambda_identity=0.25", "train")
    made = (project / paths.TRAINED / "G_AB/generator.safetensors").read_bytes()
    undo(project)
    commit = assert_is_on_record(project, "here", tmp_path)

    before = tags(project)
    set_params(project, {"loss.lambda_identity": 0.25})
    said = run(project, "dvc", "repro", "train").stdout
    assert "Stage 'train' is cached - skipping run" in said
    assert (project / paths.TRAINED / "G_AB/generator.safetensors").read_bytes() == made
    assert tags(project) == before  # nothing ran, and no run says that something did
    recorded = json.loads((project / paths.TRAIN_METRICS).read_text())["train_key"]
    assert recorded == key_of(project, project) == metrics_at(project, commit)["train_key"]
    assert [each["dvc.experiment"] for each in before if each["train_key"] == recorded] == ["here"]
    undo(project)


@pytest.mark.complete
def test_a_queued_grid_runs_the_code_that_it_was_queued_with(project: Path, tmp_path: Path) -> None:
    before = len(tags(project))
    edit_code(project)
    run(project, "dvc", "exp", "run", "--queue", "--name", "grid", "-S", "loss.lambda_A=5,6", "train")
    undo(project)
    run(project, "dvc", "queue", "start", "-j", "1")
    deadline = time.monotonic() + 2 * PATIENCE_SECONDS
    while run(project, "dvc", "queue", "status").stdout.count("Success") < 2:
        assert time.monotonic() < deadline, run(project, "dvc", "queue", "status").stdout
        time.sleep(1)
    run(project, "dvc", "queue", "stop")
    assert changed(project) == []
    assert len(tags(project)) == before + 2
    weights = set()
    for number in (1, 2):
        commit = assert_is_on_record(project, f"grid-{number}", tmp_path)
        assert metrics_at(project, commit)["steps"] == 1000 + STEPS
        params = lineage.file_at(project, commit, Path("params.yaml"))
        assert params is not None
        weights |= {line for line in params.decode().splitlines() if "lambda_A:" in line}
    assert weights == {"  lambda_A: 5", "  lambda_A: 6"}


def test_weights_can_be_versioned_as_their_readme_says(project: Path) -> None:
    folder = project / "weights/mine"
    (folder / "G_AB").mkdir(parents=True)
    (folder / "G_AB/generator.safetensors").write_bytes(b"weights")
    assert changed(project) == []
    run(project, "dvc", "add", "weights/mine")
    assert changed(project) == ["weights/mine.dvc"]
    shutil.rmtree(folder)
    run(project, "dvc", "checkout", "weights/mine.dvc")
    assert (folder / "G_AB/generator.safetensors").read_bytes() == b"weights"
    undo(project)
    shutil.rmtree(folder)
