"""Ctrl-C and SIGTERM as a question that the training loop asks between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Remembers the first signal that asked to stop."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self) -> int | None:
        """The signal's number, or None."""
        return self.number

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """A signal handler."""
        self.number = number
        for again in STOPPING:  # the next one ends the process at once
            signal.signal(again, signal.default_int_handler)
        print(f"\nsignal {number}: finishing this step and writing a checkpoint", flush=True)


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Within it, the first SIGINT, SIGTERM or SIGHUP (a closed terminal) is remembered; a second one ends the process."""
    request = StopRequest()
    before = {number: signal.signal(number, request.receive) for number in STOPPING}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
