"""What a stage works under: alone in its folder, and with nothing changed beneath it while it runs."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from cyclegan import config as configuration
from cyclegan import lineage
from cyclegan.config import Config
from cyclegan.errors import UserError
from cyclegan.pipeline import paths

STAGE_LOCK = paths.CHECKPOINTS / "stage.lock"  # in the workspace: a DVC experiment runs in a copy of its own

Unchanged = Callable[[], None]


@contextmanager
def guarded(stage: str, params_file: Path, code: Mapping[str, str]) -> Iterator[tuple[Config, Unchanged]]:
    """Hold the workspace for a stage, and give it its parameters and what it must call before it writes its outputs.

    DVC records params, code and data as they are when a stage has ended: they must be what the stage worked with.

    Args:
        code: files of code and their SHA-256 from before the stage imported them.

    Raises:
        UserError: another stage is at work here, wrong parameters or, from what is called and at the end, something that
            changed.
    """
    with sole_holder(STAGE_LOCK, f"stage {stage}", f"in {Path.cwd()}"):
        config = configuration.load(params_file)
        before = lineage.dependencies(Path(), stage, config)
        before |= {name: digest for name, digest in code.items() if name in before}

        def unchanged() -> None:
            after = lineage.dependencies(Path(), stage, configuration.load(params_file))
            changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
            if changed:
                raise UserError(
                    f"params, data or code changed while the stage {stage} ran, so that its result would be recorded under "
                    f"the wrong ones; nothing is recorded: run `dvc repro` again, or undo the change first. Changed: "
                    f"{', '.join(changed[:5])}{f' and {len(changed) - 5} more' if len(changed) > 5 else ''}"
                )

        yield config, unchanged
        unchanged()  # a stage may be at work for long after it wrote: sending to MLflow, say


@contextmanager
def sole_holder(path: Path, what: str, where: str) -> Iterator[None]:
    """Hold the lock at `path`; while it is held, a file beside it says by whom.

    Raises:
        UserError: another process holds it; names that.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, note = FileLock(path), path.with_suffix(".holder")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{_holder(note)} is at work {where}, perhaps left over from a `dvc repro` that was killed; wait for it or "
            f"end it (training keeps a checkpoint), and run `dvc repro` again"
        ) from None
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        about = {"what": what, "pid": os.getpid(), "host": platform.node(), "since": since}
        note.write_text(json.dumps(about), encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _holder(note: Path) -> str:
    try:
        about = json.loads(note.read_text(encoding="utf-8"))
        return f"{about['what']} (process {about['pid']} on {about['host']}, since {about['since']})"
    except (OSError, ValueError, KeyError):
        return "another process"
