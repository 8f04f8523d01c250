"""A tiny project as a git repository with DVC, and what its git and its MLflow hold."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

from project import ROOT, copy_project, git_commit, run

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
