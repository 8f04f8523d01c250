"""A history as projects have them: every commit is led to its run and back, and made again to the same bytes.

The complete form has eleven trainings, four of them experiments, and makes all of them again. The short form has four
of these trainings, and makes two again.
"""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from faults.processes import KILLED, Started, injection
from project import enter, git_commit, run, set_params
from repositories import repository

from cyclegan.history.keys import keys_of
from cyclegan.history.reproduce import reproduce
from cyclegan.history.runs import runs_of_key, the_run, workspace_store
from cyclegan.history.subject import commit_of

SETTINGS = {
    "dataset.n_val": 0,
    "train.validate_every_epochs": 0,
    "train.precision": "float32",
    "schedule.n_epochs": 1,
    "schedule.n_epochs_decay": 1,
    "runtime.sample_every_steps": 1000,
    "runtime.checkpoint_every_seconds": 0.1,
}
SHORT = ("first", "params", "resumed", "apart")
AGAIN = ("resumed", "apart")  # those that the short form makes again
EXPERIMENTS = ("apart", "in-place", "queued-1", "queued-2")
WHOLE = (*SHORT, "code", "wide", "merge", "data", *EXPERIMENTS[1:])
CLEAN = (
    "first",
    "merge",
    "resumed",
)  # trained from what was committed before; the others from edits that no commit held yet


@dataclass(frozen=True)
class History:
    """A repository with results.

    Attributes:
        commits: the commit of each result, by a name for how it came about.
        runs: the MLflow run of each.
        others: commits without a training of their own.
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

    def train(self, name: str, *options: str) -> None:
        """Train, commit what that wrote, and remember it."""
        run(self.root, "dvc", "repro", "-q", *options, "train")
        self.note(name, git_commit(self.root, name))


@pytest.fixture(scope="module")
def history(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> History:
    root = repository(tmp_path_factory.mktemp("history") / "project", mlflow_database, SETTINGS)
    whole = any(item.get_closest_marker("complete") for item in request.session.items if item.path == Path(__file__))
    past = History(root)
    past.others["code"] = head(root)
    past.train("first")
    set_params(root, {"loss.lambda_identity": 0.25})
    past.train("params")
    (root / "notes.txt").write_text("what was found\n")
    past.others["notes"] = git_commit(root, "notes")
    if whole:
        branches(past)
    set_params(root, {"schedule.n_epochs": 8})
    git_commit(root, "longer")
    interrupted = Started(
        root, "dvc", "repro", "train", PYTHONPATH=str(injection(root)), FAULT="train kill file after 3"
    ).ended()
    assert any(killed in interrupted for killed in KILLED), interrupted
    resumed = run(root, "dvc", "repro", "train").stdout
    assert "continuing after step" in resumed
    past.note("resumed", git_commit(root, "resumed"))
    experiment(past, "apart", "--temp", "-S", "loss.lambda_B=5.0")
    if whole:
        experiments(past)
    set_params(root, {"loss.lambda_A": 7.0})
    past.others["lie"] = git_commit(root, "settings that were never run")
    run(root, "git", "tag", "lie")
    run(root, "git", "reset", "-q", "--hard", "HEAD~1")
    return past


def branches(past: History) -> None:
    """Code changed here and settings there, the two merged, and other data."""
    root = past.root
    edit(root, "src/cyclegan/training/losses.py")
    past.train("code")
    run(root, "git", "checkout", "-q", "-b", "side", past.others["notes"])
    set_params(root, {"model.ngf": 6})
    past.train("wide")
    run(root, "git", "checkout", "-q", "main")
    run(root, "git", "merge", "-q", "-X", "theirs", "-m", "merge", "side")
    # git merges dvc.lock line by line: this one has main's code and the side's settings and outs, which DVC takes for true
    assert "Running stage" not in run(root, "dvc", "repro", "train").stdout
    past.others["lie of a merge"] = head(root)
    past.train("merge", "--force", "--single-item")
    set_params(root, {"dataset.n_train": 8})
    past.train("data")


def experiments(past: History) -> None:
    root = past.root
    experiment(past, "in-place", "-S", "loss.lambda_A=5.0")
    run(root, "git", "reset", "-q", "--hard")
    run(root, "dvc", "exp", "run", "-q", "--queue", "-n", "queued", "-S", "optimizer.lr=0.001,0.002", "train")
    run(root, "dvc", "exp", "run", "-q", "--run-all", "-j", "1")
    for name in ("queued-1", "queued-2"):
        past.note(name, experiment_commit(root, name))


def head(root: Path) -> str:
    return run(root, "git", "rev-parse", "HEAD").stdout.strip()


def edit(root: Path, file: str) -> None:
    with (root / file).open("a") as code:
        code.write("# edited\n")


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
    enter(history.root, monkeypatch)
    yield history
    assert run(history.root, "git", "status", "--porcelain").stdout == ""


def test_no_two_of_its_results_are_one_training(history: History) -> None:
    assert set(history.commits) in (set(SHORT), set(WHOLE))
    assert len(set(history.runs.values())) == len(history.commits)


@pytest.mark.complete
def test_the_whole_one_has_eight_commits_and_four_experiments(history: History) -> None:
    assert len(run(history.root, "git", "rev-list", "--branches", "--tags").stdout.split()) >= 8
    assert set(EXPERIMENTS) <= set(history.commits)


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


def test_what_was_never_run_is_caught_by_verify_and_refused_by_reproduce(inside: History) -> None:
    for name in inside.others.keys() - {"code", "notes"}:
        verified = run(inside.root, "cyclegan", "verify", inside.others[name], check=False)
        assert verified.returncode == 1, name
        refused = run(inside.root, "cyclegan", "reproduce", inside.others[name], check=False)
        assert refused.returncode == 1, name
        assert "holds the result of another training" in refused.stderr, name


@pytest.mark.parametrize("name", AGAIN)
def test_a_result_is_made_again_to_the_same_bytes(inside: History, name: str) -> None:
    assert_made_again(inside, name)


@pytest.mark.complete
@pytest.mark.parametrize("name", [name for name in WHOLE if name not in AGAIN])
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
