"""Progress for people: a bar on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cyclegan.training.history import Row
from cyclegan.training.selection import Scored

MAIN_LOSSES = ("G_AB", "G_BA", "cycle_A", "cycle_B", "D_A", "D_B")


class ProgressPrinter:
    """Steps, pictures a second, time left and the main losses.

    Args:
        start: steps already done.
        total: steps in all.
        pictures_per_step: of both domains together.
    """

    def __init__(self, start: int, total: int, pictures_per_step: int) -> None:
        self.start, self.total, self.pictures_per_step = start, total, pictures_per_step
        self.started = time.monotonic()
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        console = Console()
        if console.is_terminal:
            self.bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[losses]}"),
                console=console,
            )
            self.task = self.bar.add_task("", total=total, completed=start, rate="", losses="")
            self.bar.start()

    def show(self, step: int, epoch: int, terms: Row) -> None:
        """Report the losses of one step."""
        rate = (step - self.start) / max(time.monotonic() - self.started, 1e-9)
        pictures = f"{rate * self.pictures_per_step:.1f} images/s"
        losses = "  ".join(f"{name} {terms[name]:.3f}" for name in MAIN_LOSSES)
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=step, rate=pictures, losses=losses)
        else:
            left = (self.total - step) / max(rate, 1e-9)
            minutes, seconds = divmod(round(left), 60)
            print(
                f"step {step}/{self.total}  epoch {epoch}  {pictures}  {minutes}:{seconds:02d} left  {losses}", flush=True
            )

    def validated(self, step: int, scores: Sequence[Scored]) -> None:
        """Report the scores of validation pictures, but for those that an interrupted training reported already."""
        if step <= self.start:
            return
        values = "  ".join(
            f"{row.direction} {row.weights} {'-' if row.value is None else f'{row.value:.4g}'}" for row in scores
        )
        line = f"validation after epoch {scores[0].epoch}: {scores[0].metric}  {values}"
        if self.bar is not None:
            self.bar.console.print(line)
        else:
            print(line, flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.stop()
        sys.stdout.flush()
