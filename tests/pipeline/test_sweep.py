"""`cyclegan sweep` and `make sweep`: a grid of settings as experiments, compared; the workspace stays as it is."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from project import ROOT, copy_project, git_commit, run
from repositories import SHORT, repository
from typer.testing import CliRunner

from cyclegan import config as configuration
from cyclegan import lineage
from cyclegan.cli import app
from cyclegan.config import Config
from cyclegan.errors import UserError
from cyclegan.pipeline import sweep
from cyclegan.training.schedule import factor, total_epochs


def test_a_grid_is_every_combination_by_what_varies() -> None:
    settings = ["loss.lambda_identity=9", "loss.lambda_identity=0,0.5", "schedule.lr_policy=linear,cosine", "seed=3"]
    combinations = sweep.grid([*settings, "dataset.table_A=[1,2]"])
    assert list(combinations) == [
        "lambda_identity-0-lr_policy-linear",
        "lambda_identity-0-lr_policy-cosine",
        "lambda_identity-0.5-lr_policy-linear",
        "lambda_identity-0.5-lr_policy-cosine",
    ]
    assert combinations["lambda_identity-0.5-lr_policy-linear"] == {
        "loss.lambda_identity": "0.5",
        "schedule.lr_policy": "linear",
        "seed": "3",
        "dataset.table_A": "[1,2]",
    }


def test_values_that_no_name_can_hold_become_words() -> None:
    assert list(sweep.grid(["train.launcher=python,torchrun --nproc-per-node 2"])) == [
        "launcher-python",
        "launcher-torchrun_--nproc-per-node_2",
    ]
    assert list(sweep.grid(["loss.lambda_gp=-1,1,1"])) == ["lambda_gp--1", "lambda_gp-1"]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (["seed"], "-S seed is no setting; give it as KEY=VALUE,VALUE"),
        (["seed="], "-S seed= is no setting"),
        (["seed=1", "loss.lambda_A=1"], "nothing varies"),
        (["seed=1,1"], "nothing varies"),
        (["dataset.path=a b,a_b"], "told apart by signs alone"),
    ],
)
def test_what_is_no_grid_is_an_error(settings: list[str], why: str) -> None:
    with pytest.raises(UserError, match=why.replace("(", r"\(")):
        sweep.grid(settings)


def test_without_a_clean_commit_to_hang_from_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = copy_project(tmp_path / "project")
    monkeypatch.chdir(project)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(sweep, "_dvc", lambda *arguments: pytest.fail("it ran"))

    def said() -> str:
        result = CliRunner().invoke(app, ["sweep", "-S", "seed=1,2"])
        assert result.exit_code == 1
        return result.output

    assert "error: a sweep hangs from a commit, and this is no git repository with one" in said()
    run(project, "git", "init", "-q")
    git_commit(project, "code")
    (project / "src/cyclegan/new.py").touch()
    assert "error: the working tree has edits or new files that git does not have" in said()


def test_an_experiment_that_fails_ends_the_sweep_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = copy_project(tmp_path / "project")
    run(project, "git", "init", "-q")
    commit = git_commit(project, "code")
    monkeypatch.setattr(sweep, "_dvc", lambda root, *arguments: int("seed=2" in arguments))
    ran: list[str] = []
    with pytest.raises(UserError, match=f"^sweep-{commit[:7]}-seed-2 failed"):
        ran.extend(name for name, _ in sweep.sweep(sweep.grid(["seed=1,2,3"]), project))
    assert lineage.revision(project).commit == commit


@pytest.mark.complete
def test_make_sweep_runs_experiments_compares_them_and_leaves_the_workspace_as_it_was(
    tmp_path: Path, mlflow_database: Path
) -> None:
    project = repository(tmp_path / "project", mlflow_database, SHORT)
    (project / "Makefile").write_text((ROOT / "Makefile").read_text())
    commit = git_commit(project, "makefile")
    before = {path: path.read_bytes() for path in project.rglob("*") if in_workspace(path, project) and path.is_file()}

    def make() -> str:
        installed = ("-o", ".venv/.installed")  # this test's Python serves
        settings = "SWEEP=-S loss.lambda_identity=0,0.5 -S schedule.lr_policy=linear"
        return run(project, "make", *installed, "sweep", settings, "ARGS=-S schedule.n_epochs_decay=0").stdout

    said = make()
    names = [f"sweep-{commit[:7]}-lambda_identity-{value}" for value in ("0", "0.5")]
    for number, name in enumerate(names, 1):
        assert f"[{number}/2] {name}: loss.lambda_identity=" in said
    assert "as a page: reports/sweep.html" in said
    assert f"drop them: dvc exp remove {' '.join(names)}" in said
    assert "pair_l1" in said.partition("commit or run")[2]
    assert run(project, "git", "status", "--porcelain").stdout == ""
    after = {path: path.read_bytes() for path in project.rglob("*") if in_workspace(path, project) and path.is_file()}
    assert {path for path in after if after[path] != before.get(path)} == {project / "reports/sweep.html"}
    for name in names:
        (found,) = lineage.commits_named(project, name)
        metrics = lineage.file_at(project, found, Path("metrics/train.json"))
        assert metrics is not None
        assert json.loads(metrics)["epochs"] == 1
    with sqlite3.connect(project / "mlflow.db") as database:
        query = "select value from tags where key = 'dvc.experiment' order by value"
        assert [value for (value,) in database.execute(query)] == names

    again = make()  # nothing that is done is done again
    assert "Running stage" not in again.partition("commit or run")[0]
    assert "as a page: reports/sweep.html" in again


def in_workspace(path: Path, project: Path) -> bool:
    """Whether it is a file of the workspace, and not of git, DVC, MLflow or the pipeline's memory."""
    apart = (".git", ".dvc", ".features", ".tracking", ".checkpoints", "mlartifacts", "mlflow.db", ".mlflow.lock")
    return path.relative_to(project).parts[0] not in apart and "__pycache__" not in path.parts


def test_the_makefile_tries_four_trainings_that_differ(make_config: Callable[..., Config]) -> None:
    said = run(ROOT, "make", "-n", "-o", ".venv/.installed", "sweep").stdout
    words = said.split()
    given = [words[place + 1] for place, word in enumerate(words) if word == "-S"]
    combinations = sweep.grid(given)
    assert len(combinations) == 4
    params = lineage.declared(configuration.load(ROOT / "params.yaml"), next(iter(combinations.values())))
    assert params.keys() == {key.partition("=")[0] for key in given}
    for shorter in ({}, {"schedule.n_epochs": 0}):  # as docs/experiments.md says
        configs = [
            make_config(**{key: yaml.safe_load(value) for key, value in combination.items()} | shorter)
            for combination in combinations.values()
        ]
        rates = [[factor(epoch, each.schedule) for epoch in range(total_epochs(each.schedule))] for each in configs]
        assert len({(each.loss.lambda_identity, *own) for each, own in zip(configs, rates, strict=True)}) == 4
