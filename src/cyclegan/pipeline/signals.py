"""Ctrl-C and SIGTERM as a question that the training loop asks between two steps."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Remembers the first signal that asked to stop."""

    def __init__(self, *, launched: bool) -> None:
        self.number: int | None = None
        self.launcher = os.getppid() if launched else None

    def __call__(self) -> int | None:
        """The signal's number, or None."""
        if self.number is None and self.launcher not in (None, os.getppid()):  # killed: it could not pass on a signal
            self.number = signal.SIGTERM
        return self.number

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """A signal handler."""
        self.number = number
        # The next one ends the process at once; but torchrun passes on what a process may have received itself already,
        # and ends by itself what does not end.
        for again in STOPPING:
            signal.signal(again, signal.SIG_IGN if self.launcher is not None else signal.default_int_handler)
        print(f"\nsignal {number}: finishing this step and writing a checkpoint", flush=True)


@contextmanager
def graceful_stop(*, launched: bool = False) -> Iterator[StopRequest]:
    """Within it, the first SIGINT, SIGTERM or SIGHUP (a closed terminal) is remembered; a second one ends the process.

    Args:
        launched: torchrun started this process, in a session of its own: the launcher's death is a request to stop, too.
    """
    request = StopRequest(launched=launched)
    before = {number: signal.signal(number, request.receive) for number in STOPPING}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
