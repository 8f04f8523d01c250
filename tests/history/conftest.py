"""A short history with two real results, made once, which tests read and put back as it was."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from history.past import Past, client_of, key_in, newest_run
from project import ROOT, child_environment, copy_project, git_commit, run, set_params

from cyclegan.history.runs import REPRODUCES


@pytest.fixture(scope="session")
def made_past(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Past:
    root = copy_project(tmp_path_factory.mktemp("past") / "project")
    (root / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        (root / ".dvc" / name).write_text((ROOT / ".dvc" / name).read_text())
    (root / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    run(root, "git", "init", "-q", "-b", "main")
    code = git_commit(root, "code")
    run(root, "dvc", "repro", "-q")
    first, first_key, first_run = git_commit(root, "first result"), key_in(root), newest_run(root)
    run(root, "git", "tag", "-a", "v1", "-m", "annotated")
    run(root, "git", "update-ref", f"refs/exps/{code[:2]}/{code[2:]}/keen-ape", first)
    set_params(root, {"loss.lambda_identity": 0.25})
    run(root, "dvc", "repro", "-q")
    second, second_key, second_run = git_commit(root, "second result"), key_in(root), newest_run(root)
    with (root / "src/cyclegan/training/ema.py").open("a") as file:
        file.write("# edited\n")
    stale = git_commit(root, "an edit")
    run(root, "git", "reset", "-q", "--hard", second)
    run(root, "git", "branch", "stale", stale)
    again = client_of(root).create_run("1", tags={REPRODUCES: first_key}, run_name="first, again").info.run_id
    client_of(root).set_terminated(again)
    return Past(root, code, first, second, stale, (first_key, second_key), (first_run, second_run, again))


@pytest.fixture
def past(made_past: Past, monkeypatch: pytest.MonkeyPatch) -> Iterator[Past]:
    """The history, its workspace the current folder; put back to `second` afterwards."""
    for name in [name for name in os.environ if name.startswith(("DVC_", "GIT_", "MLFLOW_TRACKING"))]:
        monkeypatch.delenv(name)
    for name, value in child_environment(made_past.root).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(made_past.root.parent))
    monkeypatch.chdir(made_past.root)
    yield made_past
    run(made_past.root, "git", "reset", "-q", "--hard", made_past.second)
