"""MLflow's runs of a train key, and the commits that hold the result of a run."""

from dataclasses import dataclass
from pathlib import Path

from cyclegan import config, tracking
from cyclegan.history.commits import changing, file_of_each, names_by_commit
from cyclegan.history.keys import TRAIN_METRICS, Key, recorded_key
from cyclegan.history.lock import LOCK, PARAMS

REPRODUCES = "reproduces"  # the tag of a run that made a result again: the train key of the result
COMMIT, DIRTY, DATA_DIGEST = "mlflow.source.git.commit", "git.dirty", "data_digest"


@dataclass(frozen=True)
class HistoricRun:
    """A run, and what its tags say of where it comes from."""

    entry: tracking.Entry

    @property
    def id(self) -> str:
        return self.entry.id

    @property
    def train_key(self) -> str:
        """That of the result it made, adds to or made again; "" for a run of something else."""
        return self.entry.tags.get(REPRODUCES) or self.entry.tags.get(tracking.KEY_TAG, "")

    @property
    def kind(self) -> str:
        """training; evaluation (of weights trained elsewhere); reproduction; or other."""
        if REPRODUCES in self.entry.tags:
            return "reproduction"
        if tracking.ID_TAG in self.entry.tags:
            return "training"
        return "evaluation" if tracking.KEY_TAG in self.entry.tags else "other"

    @property
    def commit(self) -> str:
        """The commit it was started on, which precedes the one that holds its result; "" where it does not say."""
        commit = self.entry.tags.get(COMMIT, "")
        return "" if commit == "none" else commit

    @property
    def dirty(self) -> bool | None:
        """Whether files differed from that commit; None where it does not say."""
        said = self.entry.tags.get(DIRTY)
        return None if said is None or not self.commit else said == "true"

    @property
    def data_digest(self) -> str:
        return self.entry.tags.get(DATA_DIGEST, "")

    @property
    def seconds(self) -> float | None:
        """From its start to its end, pauses included; None while it runs."""
        return None if self.entry.ended is None else (self.entry.ended - self.entry.started) / 1000


def workspace_store(root: Path) -> tracking.Store:
    """The store that the workspace's params.yaml and the environment name.

    Raises:
        UserError: params.yaml is wrong, or names no store.
    """
    return tracking.store_of(config.load(root / PARAMS).tracking, root)


def runs_of_key(store: tracking.Store, key: str) -> list[HistoricRun]:
    """The runs of a key: trainings, then evaluations of weights trained elsewhere, then reproductions; each newest first.

    Raises:
        AwayError: the store cannot be reached or used.
    """
    found = {
        entry.id: HistoricRun(entry)
        for tag in (tracking.KEY_TAG, REPRODUCES)
        for entry in tracking.list_runs(store, {tag: key})
    }
    order = ["training", "evaluation", "reproduction", "other"]
    of_key = [run for run in found.values() if run.train_key == key]
    return sorted(of_key, key=lambda run: (order.index(run.kind), -run.entry.started))


def list_all(store: tracking.Store) -> list[HistoricRun]:
    """Every run of the experiment, newest first.

    Raises:
        AwayError: the store cannot be reached or used.
    """
    return [HistoricRun(entry) for entry in tracking.list_runs(store, {})]


def the_run(runs: list[HistoricRun]) -> HistoricRun | None:
    """Of the runs of a key the one to show for its result: a finished training, else the newest of what there is.

    Reproductions are not results of their own.
    """
    own = [run for run in runs if run.kind in ("training", "evaluation")]
    return next((run for run in own if run.entry.state == "FINISHED"), own[0] if own else None)


@dataclass(frozen=True)
class Results:
    """Where the results of trainings are.

    Attributes:
        commits: those that brought a result, of any branch, tag or experiment, newest first, by its train key.
        names: the branches, tags and experiments at whose end a result is, by its train key.
    """

    commits: dict[str, list[str]]
    names: dict[str, list[str]]


def results(root: Path) -> Results:
    """All that git has."""
    ends = names_by_commit(root)
    brought = changing(root, LOCK)
    keys = {
        commit: recorded_key(data)
        for commit, data in file_of_each(root, list(dict.fromkeys([*brought, *ends])), TRAIN_METRICS).items()
    }
    found = Results({}, {})
    for commit, key in keys.items():
        if key and commit in brought:
            found.commits.setdefault(key, []).append(commit)
        if key and commit in ends:
            found.names.setdefault(key, []).extend(ends[commit])
    return found


def holds_edits_of(commit: str, key: Key, run: HistoricRun) -> bool:
    """Whether a commit, made afterwards, holds the uncommitted edits that a run was started with: its key is the same."""
    return bool(run.dirty) and key.computed == run.train_key and run.commit != commit
