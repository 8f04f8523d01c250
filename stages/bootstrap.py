"""What every stage does first and last: this checkout's code on the path, one clear line for a user's mistake."""

import sys
from collections.abc import Callable
from pathlib import Path

# An experiment of DVC runs in a copy of the project: it must import the copy's code, not the installed one.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from cyclegan.errors import Interrupted, UserError


def run(stage: Callable[[], None]) -> None:
    """Run a stage; a user's mistake ends it with status 1, a signal with 128 + its number, both without a traceback."""
    try:
        stage()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except Interrupted as interruption:
        print(interruption, file=sys.stderr)
        raise SystemExit(128 + interruption.signal_number) from None
