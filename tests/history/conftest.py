"""A short history with two real results, made once, which tests read and put back as it was."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from history.past import Past, client_of, key_in, newest_run
from project import enter, git_commit, run, set_params
from repositories import commit_at, copy_repository, made_once

from cyclegan.history.runs import REPRODUCES


@pytest.fixture(scope="session")
def made_past(tmp_path_factory: pytest.TempPathFactory, finished: Path) -> Past:
    def make(root: Path) -> None:
        past = make_past(copy_repository(finished, root))
        (root.parent / "past.pickle").write_bytes(pickle.dumps(past))

    made = made_once(tmp_path_factory, "past", make)
    past: Past = pickle.loads((made.parent / "past.pickle").read_bytes())
    return replace(past, root=copy_repository(made, tmp_path_factory.mktemp("past") / "project"))


def make_past(root: Path) -> Past:
    code = commit_at(root, "HEAD~1")
    first, first_key, first_run = commit_at(root), key_in(root), newest_run(root)
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
    enter(made_past.root, monkeypatch)
    yield made_past
    run(made_past.root, "git", "reset", "-q", "--hard", made_past.second)
