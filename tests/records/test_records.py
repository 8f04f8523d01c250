"""What a run says of its commit stays true: plain scripts, resumed trainings, submodules and worktrees."""

import json
import re
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults.processes import injection
from project import git_commit, run
from repositories import SHORT, commit_at, repository, tags_of

from cyclegan import config as configuration
from cyclegan import lineage
from cyclegan.pipeline import paths


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


@dataclass(frozen=True)
class Logged:
    """What MLflow has of a run; `artifacts` is their folder."""

    name: str
    status: str
    tags: dict[str, str]
    artifacts: Path


def only_run(project: Path) -> Logged:
    with sqlite3.connect(project / "mlflow.db") as database:
        ((run_id, name, status, place),) = database.execute("select run_uuid, name, status, artifact_uri from runs")
    return Logged(name, status, tags_of(project, run_id), Path(place.removeprefix("file://")))


def test_plain_scripts_are_tracked_and_a_continued_training_says_what_it_ended_on(project: Path) -> None:
    """Begun by an experiment with an edit that is no part of training, killed, and continued once that was committed."""
    began = commit_at(project)
    (project / "notes.txt").write_text("a note\n")
    fault = {"PYTHONPATH": str(injection(project)), "FAULT": "train kill rename after 2", "DVC_EXP_NAME": "tried"}
    killed = run(project, sys.executable, "stages/train.py", check=False, **fault)
    assert killed.returncode == -9
    run(project, "cyclegan", "sync")
    first = only_run(project)
    uncommitted = first.tags["git.uncommitted"]
    assert (first.status, first.tags["mlflow.source.git.commit"], first.tags["git.dirty"]) == ("KILLED", began, "true")
    assert (first.tags["dvc.experiment"], "tried" in first.name) == ("tried", True)
    assert "+++ b/notes.txt\n@@ -0,0 +1 @@\n+a note\n" in (first.artifacts / uncommitted).read_text()
    ended = git_commit(project, "a note")
    said = script(project, "train")
    step = re.search(r"continuing after step (\d+)", said)
    assert step, said
    whole = only_run(project)
    tags = whole.tags
    assert (whole.status, "tried" in whole.name) == ("FINISHED", False)
    assert (tags["mlflow.source.git.commit"], tags["mlflow.source.git.branch"]) == (ended, "main")
    assert (tags["git.commit"], tags["git.dirty"], tags["started_by"]) == (ended, "false", "python script")
    assert not {"dvc.experiment", "git.uncommitted"} & tags.keys()
    assert [f"uncommitted/{file.name}" for file in whole.artifacts.glob("uncommitted/*")] == [uncommitted]
    assert tags["origins"] == (
        f"from step 0: {began[:12]} with {uncommitted}, dvc exp run (tried); "
        f"from step {step[1]}: {ended[:12]}, python script"
    )
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
    commit = commit_at(project)
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
    assert commit_at(inside, f"{experiment}^") == result
    with sqlite3.connect(inside / "mlflow.db") as database:
        found = dict(database.execute("select value, run_uuid from tags where key = 'mlflow.source.git.commit'"))
    assert len(found) == 2
    assert result in found
    with sqlite3.connect(project / "mlflow.db") as database:
        assert database.execute("select count(*) from runs").fetchone() == (0,)
