"""What is to be made again, as git has it: a commit and what it recorded; or why there is nothing to compare with."""

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

from cyclegan import lineage, tracking
from cyclegan.errors import UserError
from cyclegan.history.commits import SHORT, Tree, one_commit, tree_of
from cyclegan.history.declared import read_declared
from cyclegan.history.keys import key_of, keys_of
from cyclegan.history.lock import LOCK, PARAMS, LockedStage, Recorded, read_lock, read_yaml
from cyclegan.history.recorded import check_lock
from cyclegan.history.runs import HistoricRun, results, workspace_store

MOST_SAID = 5  # of what is not as recorded


@dataclass(frozen=True)
class Subject:
    """What is to be made again: a commit, its files, and what it recorded.

    Attributes:
        order: the stages that it recorded, in that of the pipeline.
    """

    commit: str
    tree: Tree
    lock: Mapping[str, LockedStage]
    order: list[str]

    @property
    def short(self) -> str:
        return self.commit[:SHORT]

    @property
    def made(self) -> set[str]:
        """What some stage makes."""
        return {path for stage in self.lock.values() for path in stage.outs}

    def param(self, section: str, key: str) -> object:
        """A value of its params.yaml, which may not be what params.yaml is today; None where it has none."""
        try:
            value: object = read_yaml(self.tree.read(PARAMS) or b"", f"{PARAMS} of {self.short}")[section][key]
        except (KeyError, TypeError):
            return None
        return value


def commit_of(root: Path, name: str) -> str:
    """The commit of a name, or the oldest that holds a run's result: of those whose settings made it, if there are any.

    Raises:
        UserError: there is none, or there are several.
    """
    if lineage.commits_named(root, name):
        return one_commit(root, name)
    store = workspace_store(root)
    entry = tracking.read_entry(store, name)
    if entry is None:
        raise UserError(
            f"there is no commit, branch, tag or experiment {name}, nor an MLflow run of this id in {store}; "
            f"`git log --all --oneline`, `dvc exp list --all` and `cyclegan runs --all` list what there is"
        )
    key = HistoricRun(entry).train_key
    holding = results(root).commits.get(key or "", [])
    if not holding:
        raise UserError(
            f"no commit here holds the result of the run {entry.id} ({entry.name}); commit the {LOCK} and the metrics that "
            f"it made, `git fetch` what others committed, or name another run"
        )
    keys = keys_of(root, holding)
    return ([commit for commit in holding if not keys[commit].result_is_anothers] or holding)[-1]


def subject_of(root: Path, commit: str) -> Subject:
    """What a commit, by its full hash, recorded.

    Raises:
        UserError: nothing, or nothing that can be read.
    """
    tree = tree_of(root, commit)
    data = tree.read(LOCK)
    if data is None:
        raise UserError(
            f"{commit[:SHORT]} has no {LOCK}, so that it holds no result to make again; name a commit that was made after "
            f"`dvc repro`, such as one that `git log --all --oneline -- {LOCK}` lists"
        )
    lock = read_lock(data, f"{LOCK} of {commit[:SHORT]}")
    maker = {path: stage for stage, about in lock.items() for path in about.outs}
    before = {stage: sorted({maker[path] for path in about.deps if path in maker}) for stage, about in lock.items()}
    return Subject(commit, tree, lock, list(TopologicalSorter(before).static_order()))


def own_key(root: Path, subject: Subject) -> str:
    """The train key that it recorded; "" where it recorded none.

    Raises:
        UserError: it is not that of the commit's own files.
    """
    key = key_of(root, subject.commit)
    if key.result_is_anothers:
        raise UserError(
            f"{subject.short} holds the result of another training ({key.recorded[:12]}) than its parameters, data and "
            f"code are for ({key.computed[:12]}), as after an edit without `dvc repro`, or a merge, which joins two {LOCK} "
            f"line by line: there is nothing to compare with; `cyclegan verify {subject.short}` says more, and `dvc repro "
            f"--force train` in a checkout of it makes its own"
        )
    return key.recorded


def kept_by_others(subject: Subject) -> dict[str, Recorded]:
    """The dependencies that git does not keep as they were, by their paths; what it keeps is what was recorded.

    Raises:
        UserError: it is not, so that the record is not of this commit; as `cyclegan verify` judges.
    """
    recorded = {name: stage for name, stage in read_declared(subject.tree).items() if name in subject.lock}
    found, others = check_lock(subject.tree, recorded, subject.lock)
    false = [f"{finding.subject}: {finding.text}" for finding in found if finding.kind == "false"]
    if false:
        raise UserError(
            f"{LOCK} of {subject.short} is not of that commit's own files, so that there is nothing to compare with; "
            f"`cyclegan verify {subject.short}` says more. Not as recorded: {'; '.join(false[:MOST_SAID])}"
            f"{f'; and {len(false) - MOST_SAID} more' if len(false) > MOST_SAID else ''}"
        )
    return others
