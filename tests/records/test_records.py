"""What a run says of its commit stays true: plain scripts, resumed trainings, submodules and worktrees."""

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.processes import injection, repository
from project import git_commit, run

from cyclegan import config as configuration
from cyclegan import lineage
from cyclegan.pipeline import paths

SHORT = {
    "schedule.n_epochs": 1,
    "schedule.n_epochs_decay": 1,
    "dataset.n_val": 0,
    "train.validate_every_epochs": 0,
    "train.precision": "float32",
    "evaluate.protocols": [],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Path:
    """A repository whose pictures are prepared by plain scripts."""
    folder = repository(tmp_path_factory.mktemp("records") / "project", mlflow_database, SHORT)
    for stage in ("download", "preprocess"):
        script(folder, stage)
    git_commit(folder, "prepared")
    return folder


def script(project: Path, stage: str, **environment: str) -> str:
    return run(project, sys.executable, f"stages/{stage}.py", **environment).stdout


def only_run(project: Path) -> tuple[str, dict[str, str], Path]:
    """Status, tags and the folder of artifacts."""
    with sqlite3.connect(project / "mlflow.db") as database:
        ((number, status, place),) = database.execute("select run_uuid, status, artifact_uri from runs").fetchall()
        tags = dict(database.execute("select key, value from tags where run_uuid = ?", (number,)))
    return status, tags, Path(place.removeprefix("file://"))


def test_plain_scripts_are_tracked_and_a_continued_training_says_what_it_ended_on(project: Path) -> None:
    """Begun by an experiment with an edit that is no part of training, killed, and continued once that was committed."""
    began = run(project, "git", "rev-parse", "HEAD").stdout.strip()
    (project / "notes.txt").write_text("a note\n")
    fault = {"PYTHONPATH": str(injection(project)), "FAULT": "train kill rename after 2", "DVC_EXP_NAME": "tried"}
    killed = run(project, sys.executable, "stages/train.py", check=False, **fault)
    assert killed.returncode == -9
    run(project, "cyclegan", "sync")
    status, tags, artifacts = only_run(project)
    assert (status, tags["mlflow.source.git.commit"], tags["git.dirty"]) == ("KILLED", began, "true")
    assert tags["dvc.experiment"] == "tried"
    assert "+++ b/notes.txt\n@@ -0,0 +1 @@\n+a note\n" in (artifacts / tags["git.uncommitted"]).read_text()
    ended = git_commit(project, "a note")
    assert "continuing after step" in script(project, "train")
    status, tags, artifacts = only_run(project)
    assert status == "FINISHED"
    assert (tags["mlflow.source.git.commit"], tags["git.dirty"], tags["mlflow.source.git.branch"]) == (
        ended,
        "false",
        "main",
    )
    assert not {"dvc.experiment", "git.uncommitted"} & tags.keys()
    assert tags["origins"].startswith(f"from step 0: {began[:12]} with uncommitted/")
    assert tags["origins"].endswith(f": {ended[:12]}, python script")
    trained = json.loads((project / paths.TRAIN_METRICS).read_text())["train_key"]
    digest = json.loads((project / paths.PREPARED / "dataset.json").read_text())["digest"]
    assert tags["train_key"] == trained == lineage.train_key(project, configuration.load(project / "params.yaml"), digest)


def within_another(project: Path, folder: Path) -> Path:
    """The project as a submodule of another repository, which has commits and edits of its own."""
    folder.mkdir()
    run(folder, "git", "init", "-q", "-b", "outer")
    allowed = ("-c", "protocol.file.allow=always")
    run(folder, "git", *allowed, "submodule", "--quiet", "add", str(project), "inner")
    git_commit(folder, "with a submodule")
    (folder / "new.txt").write_text("of the outer one\n")
    run(folder / "inner", "git", "checkout", "-q", "-B", "inside")
    return folder / "inner"


def beside_itself(project: Path, folder: Path) -> Path:
    """A second working tree of the project's repository."""
    run(project, "git", "worktree", "add", "-q", "-b", "inside", str(folder))
    return folder


@pytest.mark.parametrize("make", [within_another, beside_itself])
def test_in_submodules_and_worktrees_commit_branch_and_difference_are_their_own(
    tmp_path: Path, mlflow_database: Path, make: Callable[[Path, Path], Path]
) -> None:
    project = repository(tmp_path / "project", mlflow_database, SHORT)
    commit = run(project, "git", "rev-parse", "HEAD").stdout.strip()
    inside = make(project, tmp_path / "other")
    (project / "notes.txt").write_text("of the first one\n")
    assert lineage.revision(inside) == lineage.Revision(commit, "inside", "")
    (inside / "src/cyclegan/new.py").write_text("new = 1\n")
    found = lineage.revision(inside)
    assert found.diff.startswith("diff --git a/src/cyclegan/new.py b/src/cyclegan/new.py\n")
    assert found.diff.count("diff --git") == 1
    later = git_commit(inside, "new")
    assert lineage.revision(inside) == lineage.Revision(later, "inside", "")
    run(project, "git", "stash", "-q", "-u")
    assert lineage.revision(project) == lineage.Revision(commit, "main", "")
    keys = {place: lineage.train_key(place, configuration.load(place / "params.yaml"), "0") for place in (project, inside)}
    assert len(set(keys.values())) == 1  # the new module is no part of training


@pytest.mark.complete
@pytest.mark.parametrize("make", [within_another, beside_itself])
def test_in_submodules_and_worktrees_the_pipeline_trains_and_its_run_is_in_their_own_store(
    tmp_path: Path, mlflow_database: Path, make: Callable[[Path, Path], Path]
) -> None:
    project = repository(tmp_path / "project", mlflow_database, SHORT)
    inside = make(project, tmp_path / "other")
    run(inside, "dvc", "repro", "train")
    result = git_commit(inside, "result")
    run(inside, "dvc", "exp", "run", "--name", "inner", "-S", "loss.lambda_identity=0", "train")
    (experiment,) = lineage.commits_named(inside, "inner")
    assert run(inside, "git", "rev-parse", f"{experiment}^").stdout.strip() == result
    with sqlite3.connect(inside / "mlflow.db") as database:
        found = dict(database.execute("select value, run_uuid from tags where key = 'mlflow.source.git.commit'"))
    assert len(found) == 2
    assert result in found
    with sqlite3.connect(project / "mlflow.db") as database:
        assert database.execute("select count(*) from runs").fetchone() == (0,)
