"""Which generators were the best so far, by the scores of validation pictures, and whether to go on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from torch import Tensor, nn

from cyclegan.models.specs import Weights

Better = Literal["lower", "higher"]
COLUMNS = ["step", "epoch", "weights", "direction", "metric", "value", "se"]
DIGITS = 6  # significant ones, of what is reported


@dataclass(frozen=True)
class Scored:
    """The score of one direction's translations of validation pictures: a row of validation.csv.

    Attributes:
        step, epoch: after which it was taken, both counted from 1.
        weights: of the generators: "raw" as trained, "ema" for their average.
        direction: "A_to_B" or "B_to_A".
        metric: its name in evaluation.catalogue.
        value, se: the score and its standard error; None where undefined.
    """

    step: int
    epoch: int
    weights: Weights
    direction: str
    metric: str
    value: float | None
    se: float | None


@dataclass(frozen=True)
class Best:
    """The generators with the best score so far, the mean over both directions.

    Attributes:
        generators: a copy of each one's tensors by name, in the host's memory.
        step, epoch, weights, metric, value, se: as of `Scored`.
    """

    generators: dict[str, dict[str, Tensor]]
    step: int
    epoch: int
    weights: Weights
    metric: str
    value: float
    se: float | None

    def about(self) -> dict[str, Any]:
        """All but the tensors, exactly."""
        return {name: getattr(self, name) for name in ("epoch", "step", "weights", "metric", "value", "se")}

    def reported(self) -> dict[str, Any]:
        """The same for people, numbers to six significant digits."""
        return {name: _rounded(value) if isinstance(value, float) else value for name, value in self.about().items()}


@dataclass
class Selection:
    """Every validation of a training, and what follows from them.

    Attributes:
        judged_by: metric and pictures; scores by others cannot be compared with these.
        rows: all scores, in the order in which they were taken.
        best: None where no score was a number yet.
        stopped: the epoch after which training stopped early; 0 where it did not.
    """

    judged_by: str = ""
    rows: list[Scored] = field(default_factory=list)
    best: Best | None = None
    stopped: int = 0

    def consider(self, rows: Sequence[Scored], generators: Mapping[str, nn.Module], better: Better) -> bool:
        """Take the scores of both directions by one pair of generators; keep a copy of these if they are the best so far.

        Of equals the earlier stays; a score that is no number is never the best. Returns whether they are.
        """
        self.rows += rows
        value, se = _mean([row.value for row in rows]), _mean([row.se for row in rows], squared=True)
        if value is None:
            return False
        if self.best is not None and not (value < self.best.value if better == "lower" else value > self.best.value):
            return False
        row = rows[0]
        self.best = Best(_copies(generators), row.step, row.epoch, row.weights, row.metric, value, se)
        return True

    def in_vain(self) -> int:
        """How many validations in a row, up to the last, found nothing better."""
        since = 0 if self.best is None else self.best.step
        return len({row.step for row in self.rows if row.step > since})

    def at(self, step: int) -> list[Scored]:
        """The scores taken after `step`."""
        return [row for row in self.rows if row.step == step]

    def write_csv(self, path: Path) -> None:
        """Write all rows, values to nine significant digits; the header alone where there are none."""
        table = pd.DataFrame([asdict(row) for row in self.rows], columns=COLUMNS)
        path.parent.mkdir(parents=True, exist_ok=True)
        table.astype({"value": float, "se": float}).to_csv(path, index=False, float_format="%.9g", lineterminator="\n")

    def about(self) -> dict[str, Any]:
        """All but the tensors, for a checkpoint's header."""
        return {
            "judged_by": self.judged_by,
            "rows": [list(asdict(row).values()) for row in self.rows],
            "best": None if self.best is None else self.best.about(),
            "stopped": self.stopped,
        }

    def tensors(self) -> dict[str, Tensor]:
        """The best generators' tensors, for a checkpoint."""
        kept = {} if self.best is None else self.best.generators
        return {f"best/{name}/{key}": tensor for name, own in kept.items() for key, tensor in own.items()}

    @staticmethod
    def restored(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "Selection":
        """The opposite of `about` and `tensors`; other tensors may stand among these."""
        generators: dict[str, dict[str, Tensor]] = {}
        for place, tensor in tensors.items():
            if place.startswith("best/"):
                _, name, key = place.split("/", 2)
                generators.setdefault(name, {})[key] = tensor
        best = None if about["best"] is None else Best(generators, **about["best"])
        return Selection(about["judged_by"], [Scored(*row) for row in about["rows"]], best, about["stopped"])


def number(value: float) -> float | None:
    """None for what is not finite: neither a file of metrics nor a comparison can do with it."""
    return value if math.isfinite(value) else None


def _mean(values: Sequence[float | None], *, squared: bool = False) -> float | None:
    """The mean, or of independent errors that of their mean; None where one is missing."""
    there = [value for value in values if value is not None and math.isfinite(value)]
    if not values or len(there) < len(values):
        return None
    return (math.hypot(*there) if squared else math.fsum(there)) / len(there)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _copies(generators: Mapping[str, nn.Module]) -> dict[str, dict[str, Tensor]]:
    return {
        name: {key: tensor.detach().to("cpu", copy=True).contiguous() for key, tensor in network.state_dict().items()}
        for name, network in generators.items()
    }
