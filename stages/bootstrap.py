"""What every stage does first and last: this checkout's code on the path, one clear line for a user's mistake."""

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

# An experiment of DVC runs in a copy of the project: it must import the copy's code, not the installed one.
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from safetensors import SafetensorError

from cyclegan.errors import Abandoned, Interrupted, UserError

if TYPE_CHECKING:
    from cyclegan.config import Config

Work = Callable[["Config", Callable[[], None]], None]

CODE = {  # as it is before it is imported, which takes seconds: an edit meanwhile must not go unnoticed
    file.relative_to(ROOT).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
    for file in (*ROOT.glob("src/**/*.py"), *ROOT.glob("stages/*.py"))
}
FULL = ("no space left", "file too large", "quota exceeded")  # what systems say of a disk that takes no more


def run(stage: str, params_file: Path, work: Work) -> None:
    """Run `work` with the parameters and the check it makes before it writes, alone in this folder.

    A user's mistake ends it with status 1, a signal with 128 + its number, both without a traceback.
    """
    from cyclegan.pipeline.guard import guarded

    with _explained(stage), guarded(stage, params_file, CODE) as (config, unchanged):
        work(config, unchanged)


def accompany(stage: str, work: Callable[[], None]) -> None:
    """Run `work` as a further process of a stage whose first process has the parameters, the folder and the check."""
    with _explained(stage):
        work()


@contextmanager
def _explained(stage: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        _fail(str(error))
    except Abandoned:
        raise SystemExit(1) from None
    except Interrupted as interruption:
        print(interruption, file=sys.stderr)
        raise SystemExit(128 + interruption.signal_number) from None
    except KeyboardInterrupt:
        print(f"stage {stage}: interrupted; `dvc repro` runs it again", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except (OSError, SafetensorError) as error:  # a full disk, a folder that cannot be written, a file that is gone
        said = str(error) if isinstance(error, SafetensorError) else error.strerror
        if said is None:
            raise
        place = f": {error.filename}" if getattr(error, "filename", None) else ""
        remedy = "make room" if any(words in said.lower() for words in FULL) else "mend that"
        _fail(f"stage {stage}: {said}{place}; {remedy} and run `dvc repro` again")


def _fail(text: str) -> NoReturn:
    print(f"error: {text}", file=sys.stderr, flush=True)
    report = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if report:  # torchrun ends with a page of its own, which shows what stands there
        about = {"message": text, "extraInfo": {"timestamp": str(int(time.time()))}}
        Path(report).write_text(json.dumps({"message": about}), encoding="utf-8")
    raise SystemExit(1) from None
