"""Who is told how a training goes: the screen and MLflow, or nobody."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from cyclegan import images, tracking
from cyclegan.models.networks import Networks
from cyclegan.pipeline.health import Examiner
from cyclegan.training.history import Row
from cyclegan.training.progress import ProgressPrinter
from cyclegan.training.selection import Scored


class Silent:
    """Whom the processes after the first tell."""

    def progress(self, step: int, epoch: int, terms: Row) -> None: ...

    def window(self, row: Row) -> None: ...

    def validated(self, step: int, cycle_A: float, cycle_B: float, scores: Sequence[Scored]) -> None: ...

    def samples(self, step: int, grids: dict[str, images.Pixels]) -> None: ...

    def examine(self, step: int, networks: Networks, precision: AbstractContextManager[None]) -> None: ...


class Teller:
    """Passes what happens in training on to the screen and to MLflow."""

    def __init__(self, log: tracking.TrainingRecorder, printer: ProgressPrinter, examiner: Examiner) -> None:
        self.log, self.printer, self.examiner = log, printer, examiner

    def progress(self, step: int, epoch: int, terms: Row) -> None:
        self.printer.show(step, epoch, terms)

    def window(self, row: Row) -> None:
        named = {
            name if name in ("epoch", "lr") else f"loss/{name}": value for name, value in row.items() if name != "step"
        }
        self.log.curve(named, int(row["step"]))

    def validated(self, step: int, cycle_A: float, cycle_B: float, scores: Sequence[Scored]) -> None:
        named = {f"val/{row.direction}/{row.metric}/{row.weights}": row.value for row in scores if row.value is not None}
        self.log.curve({"val/cycle_A": cycle_A, "val/cycle_B": cycle_B, **named}, step)
        if scores:
            self.printer.validated(step, scores)

    def samples(self, step: int, grids: dict[str, images.Pixels]) -> None:
        self.log.samples(step, grids)

    def examine(self, step: int, networks: Networks, precision: AbstractContextManager[None]) -> None:
        self.examiner.examine(step, networks, precision)
