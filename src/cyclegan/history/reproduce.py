"""`cyclegan reproduce`: a commit's result made again from its files alone, and compared with what it recorded."""

import hashlib
import json
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from cyclegan import lineage, tracking
from cyclegan.errors import UserError
from cyclegan.history import digests, software
from cyclegan.history.agreement import Result, Verdict, compare, leaves, lines
from cyclegan.history.apart import Apart, apart
from cyclegan.history.cache import Objects
from cyclegan.history.commits import SHORT, Tree, one_commit, tree_of
from cyclegan.history.keys import key_of
from cyclegan.history.lock import LOCK, PARAMS, LockedStage, read_lock, read_yaml
from cyclegan.history.record import Record, log_reproduction, plant_run
from cyclegan.history.runs import HistoricRun, results, runs_of_key, the_run, workspace_store

REQUIREMENTS = Path("requirements.lock")
COMPUTER = ("device", "precision", "torch", "processes", "compiled")  # the tags of a training's run that tell of it
METRICS = ".json"  # what the names of files of metrics end in
OVERRIDE = "CYCLEGAN_TRACKING_URI"  # by which code is told to keep its runs apart

Tell = Callable[[str], None]
Stages = Mapping[str, LockedStage]


@dataclass(frozen=True)
class _Subject:
    """What is to be made again: a commit, its files, and what it recorded."""

    commit: str
    tree: Tree
    lock: Stages
    order: list[str]  # of stages in the pipeline

    @property
    def short(self) -> str:
        return self.commit[:SHORT]

    @property
    def made(self) -> set[str]:
        """What some stage makes."""
        return {path for stage in self.lock.values() for path in stage.outs}


def commit_of(root: Path, name: str) -> str:
    """The commit of a name, or the one that holds the result of a run.

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
    return holding[-1]  # the oldest


def reproduce(root: Path, commit: str, tell: Tell, *, pull: bool, keep: bool) -> Verdict:
    """Make a commit's result again, in a folder of its own, and compare it with what the commit recorded.

    Args:
        root: the user's project, of which nothing is changed but that its store of runs is given one run more.
        commit: its full hash.
        tell: takes each line for the user.
        pull: get data that DVC's cache lacks from a remote.
        keep: leave the folder.

    Raises:
        UserError: the commit recorded nothing, or nothing of its own; what it depends on is not to be had; its pipeline
            fails.
    """
    subject, store = _subject(root, commit), workspace_store(root)
    tell(f"reproducing {subject.short} {lineage.subject_line(root, commit)}")
    if lineage.revision(root).dirty and commit in lineage.commits_named(root, "HEAD"):
        tell("the workspace has edits that are not committed: they are no part of this commit, and left alone")
    key = _key(root, subject)
    pins = software.locked(subject.tree.read(REQUIREMENTS))
    other_software = software.differences(pins)
    tell(_about_software(pins, other_software))
    began = time.monotonic()
    with apart(root, commit, keep=keep) as place:
        if keep:
            tell(f"kept afterwards: {place.folder}")
        _keep_runs_apart(place, subject)
        stages = _bring_data(place, subject, tell, pull=pull)
        _bring_others(root, place, subject, stages)
        _plant_continued(place, store)
        _run(place, subject, stages)
        recorded, made = _recorded(subject, stages, place.cache), _made(place, subject, stages)
        other_computer = _other_computer(place, store, key)
    verdict = compare(recorded, made, same_software=bool(pins) and not other_software)
    text = lines(verdict)
    if verdict.word != "identical":
        text.insert(-1, _likely(verdict, other_software, other_computer))
    for line in text:
        tell(line)
    tell(log_reproduction(store, Record(commit, key, verdict, "\n".join(text), time.monotonic() - began, other_software)))
    return verdict


def _subject(root: Path, commit: str) -> _Subject:
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
    return _Subject(commit, tree, lock, list(TopologicalSorter(before).static_order()))


def _key(root: Path, subject: _Subject) -> str:
    """The train key that it recorded; "" where it recorded none.

    Raises:
        UserError: it is not that of the commit's own files.
    """
    key = key_of(root, subject.commit)
    if key.computed and key.recorded and not key.result_is_its_own:
        raise UserError(
            f"{subject.short} holds the result of another training ({key.recorded[:12]}) than its parameters, data and "
            f"code are for ({key.computed[:12]}), as after an edit without `dvc repro`, or a merge, which joins two {LOCK} "
            f"line by line: there is nothing to compare with; `cyclegan verify {subject.short}` says more, and `dvc repro "
            f"--force train` in a checkout of it makes its own"
        )
    return key.recorded


def _about_software(pins: Mapping[str, str], others: list[str]) -> str:
    python = f"Python {platform.python_version()}, torch {software.installed('torch')}, {processor()}"
    if not pins:
        return f"with {python}; this commit locks no packages ({REQUIREMENTS})"
    if not others:
        return f"with {python}; packages are as {REQUIREMENTS} of this commit locks them"
    return f"with {python}; packages that are not as {REQUIREMENTS} of this commit locks them: {'; '.join(others)}"


def processor() -> str:
    """Its name, and how many there are for this process."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        named = (line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name"))
        name = next(named, name)
    return name


def _keep_runs_apart(place: Apart, subject: _Subject) -> None:
    """The stages' own runs must go to the store that is thrown away, whatever params.yaml of the commit says."""
    uri = _param(place, "tracking", "uri")
    code = "".join(file.read_text(encoding="utf-8") for file in (place.folder / "src").glob("**/tracking/**/*.py"))
    if uri is not None and OVERRIDE not in code:
        raise UserError(
            f"tracking.uri is set in {PARAMS} of {subject.short}, and its code cannot be told to keep its runs elsewhere: "
            f"it would log into a store of others; commit its settings with tracking.uri null (no result depends on it), "
            f"and reproduce that commit"
        )


def _param(place: Apart, section: str, key: str) -> object:
    """A value of the commit's params.yaml, which may not be what params.yaml is today; None where it has none."""
    try:
        value: object = read_yaml((place.folder / PARAMS).read_bytes(), str(PARAMS))[section][key]
    except (KeyError, TypeError):
        return None
    return value


def _bring_data(place: Apart, subject: _Subject, tell: Tell, *, pull: bool) -> list[str]:
    """Restore what the first stages made; returns the stages that are to run, all of them where that cannot be had."""
    made = subject.made
    first = [stage for stage in subject.order if not made & subject.lock[stage].deps.keys()]
    if len(first) == len(subject.order):
        raise UserError(
            f"{LOCK} of {subject.short} records pictures alone ({', '.join(first)}), and no stage that makes something of "
            f"them; name a commit that was made after `dvc repro`"
        )
    wanted = [path for stage in first for path in subject.lock[stage].outs]
    done = place.dvc("pull" if pull else "checkout", "--force", *wanted)
    if done.returncode == 0 and all((place.folder / path).exists() for path in wanted):
        tell(f"data: {', '.join(wanted)} from DVC's cache{' or a remote' if pull else ''}")
        return [stage for stage in subject.order if stage not in first]
    where = "neither DVC's cache nor a remote has" if pull else "DVC's cache has not (perhaps a remote does: --pull)"
    tell(f"data: made again, as {where} {', '.join(wanted)}")
    return subject.order


def _bring_others(root: Path, place: Apart, subject: _Subject, stages: list[str]) -> None:
    """Copy from the workspace what the stages depend on that git does not keep; refuse a lock that is not the commit's."""
    missing = _changed(place, subject, stages)
    for path in missing:
        here = root / path
        recorded = next(subject.lock[stage].deps[path] for stage in stages if path in subject.lock[stage].deps)
        if not digests.is_on_disk(here, recorded):
            raise UserError(
                f"{subject.short} depends on {path}, which git does not keep, and which is not here as it was then "
                f"({recorded}); bring it back to {here}"
            )
        _copy(here, place.folder / path)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _changed(place: Apart, subject: _Subject, stages: list[str]) -> list[str]:
    """Dependencies that are not as recorded, and not made by a stage: what git does not keep.

    Raises:
        UserError: something that git keeps is not as recorded, so that the record is not of this commit.
    """
    told = place.dvc("status", "--json", *stages)
    try:
        status: dict[str, list[Any]] = json.loads(told.stdout)
    except ValueError:
        said = told.stderr.strip() or told.stdout.strip()
        raise UserError(f"DVC cannot read the pipeline of {subject.short}: {said}") from None
    missing: list[str] = []
    lies: list[str] = []
    for stage, kind, path, what in _entries(status):
        if kind not in ("changed deps", "changed outs"):
            lies.append(f"the command of {stage}")
        elif path in subject.tree.blobs or (path in subject.tree.folders and path.startswith(lineage.CODE)):
            lies.append(f"{', '.join(what) if isinstance(what, dict) else path} ({stage})")
        elif kind == "changed deps" and path not in subject.made:
            missing.append(path)
    if lies:
        raise UserError(
            f"{LOCK} of {subject.short} is not of that commit's own files, so that there is nothing to compare with; "
            f"`cyclegan verify {subject.short}` says more. Not as recorded: {', '.join(lies[:5])}"
            f"{f' and {len(lies) - 5} more' if len(lies) > 5 else ''}"
        )
    return list(dict.fromkeys(missing))


def _entries(status: Mapping[str, list[Any]]) -> Iterator[tuple[str, str, str, Any]]:
    """What `dvc status` tells, one by one: the stage, the kind of change, the path, and what of it changed."""
    for stage, entries in status.items():
        for entry in entries:
            for kind, found in (entry if isinstance(entry, dict) else {entry: {"": ""}}).items():
                for path, what in found.items():
                    yield stage, kind, path, what


def _plant_continued(place: Apart, store: tracking.Store) -> None:
    """A training that continues another one by its run's id looks for that run in the store that it is given."""
    wanted = str(_param(place, "train", "continue_from"))
    run = tracking.read_entry(store, wanted)
    if run is not None:
        plant_run(place.database, run.id, run.tags)


def _run(place: Apart, subject: _Subject, stages: list[str]) -> None:
    """Compute everything: nothing is taken from DVC's run-cache, and nothing is put into it or the cache."""
    options = ["--force", "--no-run-cache", "--no-commit", "--single-item"]  # the last: in the order given
    status = place.run(sys.executable, "-m", "dvc", "repro", *options, *stages)
    if status != 0:
        raise UserError(
            f"the pipeline of {subject.short} does not run here (status {status}): what it said stands above; with --keep "
            f"the folder stays, to look into"
        )


def _recorded(subject: _Subject, stages: list[str], cache: Path) -> Result:
    outs = {stage: subject.lock[stage].outs for stage in stages}
    folders = {path: Objects(cache).listing(out) for stage in stages for path, out in outs[stage].items() if out.is_folder}
    metrics = [path for stage in stages for path in outs[stage] if path.endswith(METRICS)]
    return Result(
        {stage: {path: out.md5 for path, out in outs[stage].items()} for stage in stages},
        {path: listing for path, listing in folders.items() if listing is not None},
        {path: leaves(subject.tree.read(Path(path))) for path in metrics},
    )


def _made(place: Apart, subject: _Subject, stages: list[str]) -> Result:
    lock = read_lock((place.folder / LOCK).read_bytes(), f"{LOCK} of the reproduction")
    outs = {stage: lock[stage].outs for stage in stages}
    files: dict[str, dict[str, str]] = {}
    for stage in stages:
        for path, out in outs[stage].items():
            before = subject.lock[stage].outs.get(path)
            if out.is_folder and (before is None or before.md5 != out.md5):
                files[path] = _listing(place.folder / path)
    metrics = [path for stage in stages for path in outs[stage] if path.endswith(METRICS)]
    return Result(
        {stage: {path: out.md5 for path, out in outs[stage].items()} for stage in stages},
        files,
        {path: leaves((place.folder / path).read_bytes()) for path in metrics},
    )


def _listing(folder: Path) -> dict[str, str]:
    listed: dict[str, str] = {}
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
        listed[file.relative_to(folder).as_posix()] = digest.hexdigest()
    return listed


def _other_computer(place: Apart, store: tracking.Store, key: str) -> list[str]:
    """In what the computer of the recorded training and this one differ, as far as its run is here and says so."""
    again = tracking.Store(place.store, str(_param(place, "tracking", "experiment")), None, f"{place.database}.lock")
    try:
        there, here = the_run(runs_of_key(store, key)), the_run(runs_of_key(again, key))
    except tracking.AwayError:
        return []
    if there is None or here is None:
        return []
    pairs = [(name, there.entry.tags.get(name), here.entry.tags.get(name)) for name in COMPUTER]
    return [f"{name} {before} then, {now} now" for name, before, now in pairs if before and now and before != now]


def _likely(verdict: Verdict, software_differs: list[str], computer_differs: list[str]) -> str:
    """The likely reason why a result is another one."""
    known = [*computer_differs, *software_differs]
    if known:
        return f"likely reason: {'; '.join(known[:5])}{' ...' if len(known) > 5 else ''}"
    if verdict.reason:
        return f"likely reason: {verdict.reason}"
    return "likely reason: another kind of processor, or another number of threads, than computed what is recorded"
