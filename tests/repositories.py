"""A tiny project as a git repository with DVC, and what its git and its MLflow hold."""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from project import ROOT, copy_project, git_commit, run

from cyclegan.tracking import moved

SHORT = {  # two epochs of three steps, nothing validated on the way, scores that need no network of features
    "schedule.n_epochs": 1,
    "schedule.n_epochs_decay": 1,
    "dataset.n_val": 0,
    "train.validate_every_epochs": 0,
    "train.precision": "float32",
    "evaluate.protocols": [],
}


def repository(folder: Path, mlflow_database: Path, overrides: dict[str, Any]) -> Path:
    """A git repository with DVC, committed, in which nothing has run yet."""
    copy_project(folder, overrides)
    (folder / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc" / name)
    shutil.copy(mlflow_database, folder / "mlflow.db")
    run(folder, "git", "init", "-q", "-b", "main")
    git_commit(folder, "code")
    return folder


def prepared_repository(folder: Path, mlflow_database: Path, overrides: dict[str, Any]) -> Path:
    """The same once `dvc repro` has prepared its pictures, which is committed; nothing is trained."""
    repository(folder, mlflow_database, overrides)
    run(folder, "dvc", "repro", "preprocess")
    git_commit(folder, "prepared")
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Path:
    """A repository in which the whole pipeline has run once and its result is committed; to be copied, not changed."""

    def make(folder: Path) -> None:
        repository(folder, mlflow_database, {})
        run(folder, "dvc", "repro", "-q")
        git_commit(folder, "first result")

    return made_once(tmp_path_factory, "finished", make)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """The folder `project` that the first worker to ask for it makes, while the others wait."""
    base = factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "whole").exists():
            shutil.rmtree(place, ignore_errors=True)  # of a worker that failed
            make(place / "project")
            (place / "whole").touch()
    return place / "project"


def copy_repository(source: Path, target: Path) -> Path:
    """With DVC's cache and MLflow's runs, which know that they are there."""
    shutil.copytree(source, target, symlinks=True)
    moved.follow(target / "mlflow.db", target / "mlartifacts")
    return target


def commit_at(project: Path, revision: str = "HEAD") -> str:
    """The whole hash of a commit that git knows by another name."""
    return run(project, "git", "rev-parse", revision).stdout.strip()


def changed(project: Path) -> list[str]:
    """What git sees changed, by path."""
    status = run(project, "git", "status", "--porcelain", "--untracked-files=all").stdout
    return [line[3:] for line in status.splitlines()]


def tags_of(project: Path, run_id: str) -> dict[str, str]:
    """Those of a run in the project's own MLflow database."""
    with sqlite3.connect(project / "mlflow.db") as database:
        return dict(database.execute("select key, value from tags where run_uuid = ?", (run_id,)))
