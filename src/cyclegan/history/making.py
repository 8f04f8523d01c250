"""A commit's pipeline, run once more in a folder of its own, with what it depends on brought there."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from cyclegan import tracking
from cyclegan.errors import UserError
from cyclegan.history.apart import Apart
from cyclegan.history.cache import DVC, storage_of
from cyclegan.history.kept_elsewhere import bring
from cyclegan.history.lock import LOCK, PARAMS, Recorded
from cyclegan.history.record import plant_run
from cyclegan.history.subject import Subject

OVERRIDE = "CYCLEGAN_TRACKING_URI"  # by which code is told to keep its runs apart

Tell = Callable[[str], None]


def keep_runs_apart(place: Apart, subject: Subject) -> None:
    """The stages' own runs must go to the store that is thrown away, whatever params.yaml of the commit says.

    Raises:
        UserError: its code is too old for that.
    """
    uri = subject.param("tracking", "uri")
    code = "".join(file.read_text(encoding="utf-8") for file in (place.folder / "src").glob("**/tracking/**/*.py"))
    if uri is not None and OVERRIDE not in code:
        raise UserError(
            f"tracking.uri is set in {PARAMS} of {subject.short}, and its code cannot be told to keep its runs elsewhere: "
            f"it would log into a store of others; commit its settings with tracking.uri null (no result depends on it), "
            f"and reproduce that commit"
        )


def bring_data(place: Apart, subject: Subject, tell: Tell, *, pull: bool) -> list[str]:
    """Restore what the first stages made; returns the stages that are to run, all of them where that cannot be had.

    Raises:
        UserError: no stage follows the first ones.
    """
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


def bring_others(root: Path, place: Apart, subject: Subject, stages: list[str], others: Mapping[str, Recorded]) -> None:
    """Bring what these stages depend on that git does not keep as it was.

    Raises:
        UserError: it is not at hand.
    """
    needed = {path for stage in stages for path in subject.lock[stage].deps}
    for path, recorded in others.items():
        if path in needed and not bring(root, partial(storage_of, root), recorded, place.folder):
            raise UserError(
                f"{subject.short} depends on {path}, and neither git, the workspace nor DVC's cache has it as it was then "
                f"({recorded}); bring it back to {root / path}"
            )


def plant_continued(place: Apart, subject: Subject, store: tracking.Store) -> None:
    """A training that continues another one by its run's id looks for that run in the store that it is given."""
    run = tracking.read_entry(store, str(subject.param("train", "continue_from")))
    if run is not None:
        plant_run(place.database, run.id, run.tags)


def run_stages(place: Apart, subject: Subject, stages: list[str]) -> None:
    """Compute everything: nothing is taken from DVC's run-cache, and nothing is put into it or the cache.

    Raises:
        UserError: a stage fails.
    """
    options = ["--force", "--no-run-cache", "--no-commit", "--single-item"]  # the last: in the order given
    status = place.run(*DVC, "repro", *options, *stages)
    if status != 0:
        raise UserError(
            f"the pipeline of {subject.short} does not run here (status {status}): what it said stands above; with --keep "
            f"the folder stays, to look into"
        )
