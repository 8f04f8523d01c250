"""`cyclegan reproduce`: a commit's result made again from its files alone, and compared with what it recorded."""

import platform
import time
from collections.abc import Mapping
from pathlib import Path

from cyclegan import lineage, tracking
from cyclegan.history import digests, making, software
from cyclegan.history.agreement import Result, Verdict, compare, leaves, lines
from cyclegan.history.apart import Apart, apart
from cyclegan.history.cache import Objects
from cyclegan.history.lock import LOCK, read_lock
from cyclegan.history.record import Record, log_reproduction
from cyclegan.history.runs import runs_of_key, the_run, workspace_store
from cyclegan.history.subject import Subject, kept_by_others, own_key, subject_of

REQUIREMENTS = Path("requirements.lock")
COMPUTER = ("device", "precision", "torch", "processes", "compiled")  # the tags of a training's run that tell of it
METRICS = ".json"  # what the names of files of metrics end in


def reproduce(root: Path, commit: str, tell: making.Tell, *, pull: bool, keep: bool) -> Verdict:
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
    subject, store = subject_of(root, commit), workspace_store(root)
    tell(f"reproducing {subject.short} {lineage.subject_line(root, commit)}")
    if lineage.revision(root).dirty and commit in lineage.commits_named(root, "HEAD"):
        tell("the workspace has edits that are not committed: they are no part of this commit, and left alone")
    key, others = own_key(root, subject), kept_by_others(subject)
    pins = software.locked(subject.tree.read(REQUIREMENTS))
    other_software = software.differences(pins)
    tell(_about_software(pins, other_software))
    began = time.monotonic()
    with apart(root, commit, keep=keep) as place:
        if keep:
            tell(f"kept afterwards: {place.folder}")
        making.keep_runs_apart(place, subject)
        stages = making.bring_data(place, subject, tell, pull=pull)
        making.bring_others(root, place, subject, stages, others)
        making.plant_continued(place, subject, store)
        making.run_stages(place, subject, stages)
        recorded, made = _recorded(subject, stages, place.cache), _made(place, subject, stages)
        other_computer = _other_computer(place, subject, store, key)
    verdict = compare(recorded, made, same_software=bool(pins) and not other_software)
    text = lines(verdict)
    if verdict.word != "identical":
        text.insert(-1, _likely(verdict, other_software, other_computer))
    for line in text:
        tell(line)
    tell(log_reproduction(store, Record(commit, key, verdict, "\n".join(text), time.monotonic() - began, other_software)))
    return verdict


def _about_software(pins: Mapping[str, str], others: list[str]) -> str:
    python = f"Python {platform.python_version()}, torch {software.installed('torch')}, {processor()}"
    if not pins:
        return f"with {python}; this commit locks no packages ({REQUIREMENTS})"
    if not others:
        return f"with {python}; packages are as {REQUIREMENTS} of this commit locks them"
    return f"with {python}; packages that are not as {REQUIREMENTS} of this commit locks them: {'; '.join(others)}"


def processor() -> str:
    """The processor's name."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        named = (line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name"))
        name = next(named, name)
    return name


def _recorded(subject: Subject, stages: list[str], cache: Path) -> Result:
    outs = {stage: subject.lock[stage].outs for stage in stages}
    folders = {path: Objects(cache).listing(out) for stage in stages for path, out in outs[stage].items() if out.is_folder}
    metrics = [path for stage in stages for path in outs[stage] if path.endswith(METRICS)]
    return Result(
        {stage: {path: out.md5 for path, out in outs[stage].items()} for stage in stages},
        {path: listing for path, listing in folders.items() if listing is not None},
        {path: leaves(subject.tree.read(Path(path))) for path in metrics},
    )


def _made(place: Apart, subject: Subject, stages: list[str]) -> Result:
    lock = read_lock((place.folder / LOCK).read_bytes(), f"{LOCK} of the reproduction")
    outs = {stage: lock[stage].outs for stage in stages}
    files: dict[str, dict[str, str]] = {}
    for stage in stages:
        for path, out in outs[stage].items():
            before = subject.lock[stage].outs.get(path)
            if out.is_folder and (before is None or before.md5 != out.md5):
                files[path] = digests.listing(place.folder / path)
    metrics = [path for stage in stages for path in outs[stage] if path.endswith(METRICS)]
    return Result(
        {stage: {path: out.md5 for path, out in outs[stage].items()} for stage in stages},
        files,
        {path: leaves((place.folder / path).read_bytes()) for path in metrics},
    )


def _other_computer(place: Apart, subject: Subject, store: tracking.Store, key: str) -> list[str]:
    """In what the computer of the recorded training and this one differ, as far as its run is here and says so."""
    again = tracking.Store(place.store, str(subject.param("tracking", "experiment")), None, f"{place.database}.lock")
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
