"""A history as projects have them: every commit is led to its run and back, and made again to the same bytes.

Twelve trainings, in a dozen commits and four experiments, made once. Two of them are made again; in the complete form all.
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from faults.processes import Started, injection, repository
from project import child_environment, git_commit, run, set_params

from cyclegan.history.keys import keys_of
from cyclegan.history.reproduce import commit_of, reproduce
from cyclegan.history.runs import runs_of_key, the_run, workspace_store

SETTINGS = {
    "dataset.n_val": 0,
    "train.validate_every_epochs": 0,
    "train.precision": "float32",
    "schedule.n_epochs": 1,
    "schedule.n_epochs_decay": 1,
    "runtime.sample_every_steps": 1000,
    "runtime.checkpoint_every_seconds": 0.1,
}
EXPERIMENTS = ("in-place", "apart", "queued-1", "queued-2")
TRAINED = ("first", "params", "code", "wide", "merge", "dirty", "resumed", "data", *EXPERIMENTS)
CLEAN = ("first", "merge", "resumed")  # trained from what was committed before
AGAIN = ("resumed", "apart")  # those that the short form makes again


@dataclass(frozen=True)
class History:
    """A repository with results.

    Attributes:
        commits: the commit of each result, by a name for how it came about.
        runs: the MLflow run of each.
        code, notes, lie: commits without a training of their own: before the first, of text alone, with a false lock.
    """

    root: Path
    commits: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    def note(self, name: str, commit: str) -> None:
        """Remember a result and the run that its training made just now."""
        metrics = run(self.root, "git", "show", f"{commit}:metrics/train.json").stdout
        key = json.loads(metrics)["train_key"]
        with sqlite3.connect(self.root / "mlflow.db") as database:
            found = database.execute(
                "select run_uuid from runs join tags using (run_uuid) where key = 'train_key' and value = ?", (key,)
            ).fetchall()
        (self.runs[name],) = (entry for (entry,) in found)
        self.commits[name] = commit

    def train(self, name: str) -> None:
        """Train, commit what that wrote, and remember it."""
        run(self.root, "dvc", "repro", "-q", "train")
        self.note(name, git_commit(self.root, name))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> History:
    root = repository(tmp_path_factory.mktemp("history") / "project", mlflow_database, SETTINGS)
    past = History(root)
    past.others["code"] = head(root)
    past.train("first")
    set_params(root, {"loss.lambda_identity": 0.25})
    past.train("params")
    (root / "notes.txt").write_text("what was found\n")
    past.others["notes"] = git_commit(root, "notes")
    edit(root, "src/cyclegan/training/losses.py")
    past.train("code")

    run(root, "git", "checkout", "-q", "-b", "side", past.others["notes"])
    set_params(root, {"model.ngf": 6})
    past.train("wide")
    run(root, "git", "checkout", "-q", "main")
    past.others["unmerged"] = merge(root)  # its dvc.lock is the side's, its code main's
    past.train("merge")

    set_params(root, {"optimizer.lr": 0.0005})
    edit(root, "src/cyclegan/training/ema.py")
    past.train("dirty")  # from edits that no commit held while it ran

    set_params(root, {"schedule.n_epochs": 8})
    git_commit(root, "longer")
    interrupted = Started(
        root, "dvc", "repro", "train", PYTHONPATH=str(injection(root)), FAULT="train kill file after 3"
    ).ended()
    assert "exited with" in interrupted
    resumed = run(root, "dvc", "repro", "train").stdout
    assert "continuing after step" in resumed
    past.note("resumed", git_commit(root, "resumed"))

    set_params(root, {"schedule.n_epochs": 1, "dataset.n_train": 8})
    past.train("data")

    experiment(past, "in-place", "-S", "loss.lambda_A=5.0")
    run(root, "git", "reset", "-q", "--hard")
    experiment(past, "apart", "--temp", "-S", "loss.lambda_B=5.0")
    run(root, "dvc", "exp", "run", "-q", "--queue", "-n", "queued", "-S", "optimizer.lr=0.001,0.002", "train")
    run(root, "dvc", "exp", "run", "-q", "--run-all", "-j", "1")
    for name in ("queued-1", "queued-2"):
        past.note(name, experiment_commit(root, name))

    set_params(root, {"loss.lambda_A": 7.0})
    past.others["lie"] = git_commit(root, "settings that were never run")
    run(root, "git", "tag", "lie")
    run(root, "git", "reset", "-q", "--hard", "HEAD~1")
    return past


def head(root: Path) -> str:
    return run(root, "git", "rev-parse", "HEAD").stdout.strip()


def edit(root: Path, file: str) -> None:
    with (root / file).open("a") as code:
        code.write("# edited\n")


def merge(root: Path) -> str:
    """The side's settings and results into main, whose code is another."""
    run(root, "git", "merge", "-q", "-X", "theirs", "-m", "merge", "side")
    return head(root)


def experiment(past: History, name: str, *options: str) -> None:
    run(past.root, "dvc", "exp", "run", "-q", "-n", name, *options, "train")
    past.note(name, experiment_commit(past.root, name))


def experiment_commit(root: Path, name: str) -> str:
    lines = run(root, "git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").stdout.splitlines()
    (found,) = (line.split()[0] for line in lines if line.endswith(f"/{name}"))
    return found


@pytest.fixture
def inside(history: History, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    """The history, its workspace the current folder and its environment that of its trainings."""
    for name in [name for name in os.environ if name.startswith(("DVC_", "GIT_", "MLFLOW_TRACKING"))]:
        monkeypatch.delenv(name)
    for name, value in child_environment(history.root).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(history.root)
    yield history
    assert run(history.root, "git", "status", "--porcelain").stdout == ""


def test_it_is_a_history_of_all_kinds(history: History) -> None:
    on_branches = run(history.root, "git", "rev-list", "--branches", "--tags").stdout.split()
    assert len(on_branches) >= 8
    assert set(history.commits) == set(TRAINED)
    assert len(set(history.runs.values())) == len(TRAINED)  # no two of them are one training


def test_every_commit_is_led_to_its_run_and_back(inside: History) -> None:
    store = workspace_store(inside.root)
    keys = keys_of(inside.root, [*inside.commits.values(), *inside.others.values()])
    for name, commit in inside.commits.items():
        key = keys[commit]
        assert key.result_is_its_own, name
        found = the_run(runs_of_key(store, key.computed))
        assert found is not None
        assert found.id == inside.runs[name]
        assert commit_of(inside.root, found.id) == commit
        assert commit_of(inside.root, commit[:10]) == commit
        assert found.entry.tags.get("dvc.experiment") == (name if name in EXPERIMENTS else None)
        if name not in EXPERIMENTS:
            assert found.dirty == (name not in CLEAN), name
    assert keys[inside.others["notes"]].computed == keys[inside.commits["params"]].computed
    assert not keys[inside.others["unmerged"]].result_is_its_own
    assert not keys[inside.others["lie"]].result_is_its_own


def test_what_was_never_run_is_caught_by_verify_and_refused_by_reproduce(inside: History) -> None:
    verified = run(inside.root, "cyclegan", "verify", "lie", check=False)
    assert verified.returncode == 1
    assert "lambda_A" in verified.stdout
    refused = run(inside.root, "cyclegan", "reproduce", "lie", check=False)
    assert refused.returncode == 1
    assert "is not of that commit's own files" in refused.stderr
    assert "loss" in refused.stderr


@pytest.mark.parametrize("name", AGAIN)
def test_a_result_is_made_again_to_the_same_bytes(inside: History, name: str) -> None:
    assert_made_again(inside, name)


@pytest.mark.complete
@pytest.mark.parametrize("name", [name for name in TRAINED if name not in AGAIN])
def test_every_other_result_is_too(inside: History, name: str) -> None:
    assert_made_again(inside, name)


@pytest.mark.complete
def test_a_training_that_continued_another_by_its_run_is_too(inside: History) -> None:
    """Its reproduction logs into a store of its own, in which that run must be found all the same."""
    run(inside.root, "git", "checkout", "-q", "-b", "continued", inside.others["notes"])
    set_params(inside.root, {"train.continue_from": inside.runs["params"], "schedule.n_epochs": 2})
    inside.train("continued")
    run(inside.root, "git", "checkout", "-q", "main")
    assert_made_again(inside, "continued")


def assert_made_again(past: History, name: str) -> None:
    """Reproduce a result, while the checkpoints of its training still lie in the workspace."""
    checkpoints = {file: file.read_bytes() for file in (past.root / ".checkpoints").rglob("*") if file.is_file()}
    runs = the_runs(past.root)
    said: list[str] = []
    verdict = reproduce(past.root, past.commits[name], said.append, pull=False, keep=False)
    assert verdict.word == "identical", said
    assert (verdict.outs, verdict.values > 20) == (11, True)
    assert {file: file.read_bytes() for file in (past.root / ".checkpoints").rglob("*") if file.is_file()} == checkpoints
    (added,) = the_runs(past.root) - runs
    assert added[1] == f"reproduces {past.commits[name][:8]}: identical"


def the_runs(root: Path) -> set[tuple[str, str, str]]:
    with sqlite3.connect(root / "mlflow.db") as database:
        return set(database.execute("select run_uuid, name, status from runs"))
