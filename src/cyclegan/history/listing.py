"""`cyclegan runs`: the runs that belong to commits, and the commits that hold the result of a run."""

from dataclasses import dataclass
from pathlib import Path

from cyclegan import lineage, tracking
from cyclegan.errors import UserError
from cyclegan.history.commits import SHORT, commits_of, names_by_commit
from cyclegan.history.keys import Key, keys_of
from cyclegan.history.runs import HistoricRun, Results, holds_edits_of, list_all, results, runs_of_key, workspace_store
from cyclegan.history.screen import Line

MOST_NAMES = 3  # that a row has of commits, and of branches, tags and experiments


@dataclass(frozen=True)
class Listing:
    """Rows for the table, and sentences that say what it cannot."""

    lines: list[Line]
    notes: list[str]


def of_revision(root: Path, name: str) -> Listing:
    """The runs of each commit that a name stands for.

    Raises:
        UserError: there is no such commit, or no git repository.
        AwayError: the store cannot be reached or used.
    """
    commits = commits_of(root, name)
    store = workspace_store(root)
    lines: list[Line] = []
    notes: list[str] = []
    found = results(root)
    for commit, key in keys_of(root, commits).items():
        short = commit[:SHORT]
        runs = runs_of_key(store, key.best) if key.best else []
        lines += [Line(run, key.best, _held_by(key.best, found)) for run in runs]
        if key.problem:
            notes.append(f"{short}: its train key cannot be computed: {key.problem}")
            if key.recorded:
                notes.append(f"{short}: looked for by {key.recorded[:SHORT]}, which it recorded")
        if key.best and not runs:
            notes.append(f"{short}: no run of its train key {key.best[:SHORT]} is in {store}; {_remedy(key)}")
        if key.result_is_anothers:
            others = runs_of_key(store, key.recorded)
            lines += [Line(run, key.recorded, _held_by(key.recorded, found)) for run in others]
            notes.append(
                f"{short}: the result in it is of {key.recorded[:SHORT]}, while its own parameters, code and data make "
                f"{key.computed[:SHORT]}: they were changed after that training; `dvc repro` trains what it holds now"
            )
        notes += _about_edits(runs, {commit: key})
    return Listing(lines, notes)


def of_run(root: Path, wanted: str) -> Listing:
    """A run, and every commit of any branch, tag or experiment that holds its result.

    Raises:
        UserError: there is no such run, or several ids begin so.
        AwayError: the store cannot be reached or used.
    """
    store = workspace_store(root)
    entry = tracking.read_entry(store, wanted)
    if entry is None:
        raise UserError(
            f"there is no run {wanted} in {store}; `cyclegan runs --all` lists them; a commit is --rev {wanted}"
        )
    run = HistoricRun(entry)
    found = results(root)
    notes: list[str] = []
    if not run.train_key:
        notes.append(
            "this run has no train key, so no commit can be told to hold its result: it was not made by this project"
        )
        return Listing([Line(run, "", "")], notes)
    commits = found.commits.get(run.train_key, [])
    if not commits:
        started = f"it was started on {run.commit[:SHORT]}; " if run.commit else ""
        notes.append(f"no commit holds its result: {started}commit dvc.lock, metrics/ and reports/ where it was made")
    keys, names = keys_of(root, commits), names_by_commit(root)
    for commit, key in keys.items():
        known_as = ", ".join(names.get(commit, []))
        honest = "" if key.result_is_its_own else f"; {_dishonest(key)}"
        subject = lineage.subject_line(root, commit)
        notes.append(f"{commit[:SHORT]} holds its result: {subject}{f' ({known_as})' if known_as else ''}{honest}")
    return Listing([Line(run, run.train_key, _held_by(run.train_key, found))], [*notes, *_about_edits([run], keys)])


def of_all(root: Path) -> Listing:
    """Every run of the experiment, newest first, then every result that has none.

    Raises:
        AwayError: the store cannot be reached or used.
    """
    store = workspace_store(root)
    found = results(root)
    runs = list_all(store)
    lines = [Line(run, run.train_key, _held_by(run.train_key, found)) for run in runs]
    known = {run.train_key for run in runs}
    lines += [Line(None, key, _held_by(key, found)) for key in found.commits if key not in known]
    notes = [] if lines else [f"there is no run in {store}, and no result in any commit; `dvc repro` makes both"]
    if any(line.run is None for line in lines):
        notes.append(f"results without a run were trained elsewhere, or their store is not {store}")
    if any(run.dirty for run in runs):
        notes.append(
            "dirty: started with uncommitted edits (its tag git.uncommitted says where they are); a commit that holds its "
            "result was made afterwards, with the edits that matter"
        )
    commits = [commit for commits in found.commits.values() for commit in commits]
    for commit, key in keys_of(root, commits).items():
        if not key.result_is_its_own:
            notes.append(f"{commit[:SHORT]} holds the result {key.recorded[:SHORT]}; {_dishonest(key)}")
    return Listing(lines, notes)


def _held_by(key: str, found: Results) -> str:
    """In words: "c0ffee12, 12345678 and 2 more; now in branch main"."""
    commits = [commit[:SHORT] for commit in found.commits.get(key, [])]
    ends = found.names.get(key, [])
    return "; now in ".join(_few(each) for each in (commits, ends) if each)


def _few(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _about_edits(runs: list[HistoricRun], keys: dict[str, Key]) -> list[str]:
    """What to make of runs that were started with uncommitted edits, beside commits of the same key."""
    notes = []
    for run in [run for run in runs if run.dirty]:
        started_on = keys.get(run.commit)
        held_by = next((commit for commit, key in keys.items() if holds_edits_of(commit, key, run)), None)
        if started_on is not None and started_on.computed == run.train_key:
            which = f"which training does not depend on: {run.commit[:SHORT]} makes the same"
        elif held_by is not None:
            which = f"which {held_by[:SHORT]} holds: it makes the same"
        elif any(key.problem for key in keys.values()):
            which = "and whether a commit holds them cannot be told"
        else:
            which = "and no commit that was looked at makes the same: they are in what its tag git.uncommitted names alone"
        notes.append(f"run {run.id[:SHORT]} was started on {run.commit[:SHORT]} with uncommitted edits, {which}")
    return notes


def _dishonest(key: Key) -> str:
    if key.result_is_anothers:
        return f"but its parameters, code and data make {key.computed[:SHORT]}: they were changed after that training"
    return f"whether it is the result of what it holds cannot be told: {key.problem}"


def _remedy(key: Key) -> str:
    if key.computed and key.computed != key.recorded:
        return "`dvc repro` there trains it"
    return "`cyclegan sync` sends what waits, and tracking.uri in params.yaml names the store that has it"
