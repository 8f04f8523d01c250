"""The loss curves: every step's terms on the host, their means over windows, and the refusal to train past a NaN."""

import math
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from cyclegan.errors import UserError

Row = dict[str, float]


class History:
    """Means of the unweighted loss terms over windows of `every` steps, and of the learning rate.

    Sums are float64 on the host, step by step, so that the rows do not depend on how often losses are read back.
    """

    def __init__(self, terms: list[str], every: int) -> None:
        self.names = [*terms, "lr"]
        self.every = every
        self.rows: list[list[float]] = []
        self.sums = [0.0] * len(self.names)
        self.count = 0

    def add(self, step: int, epoch: int, values: list[float], last: bool) -> Row | None:
        """Take the terms and the learning rate of `step` (from 1); returns the window's row when it is complete.

        Raises:
            UserError: a value is NaN or infinite; names it and the step.
        """
        for name, value in zip(self.names, values, strict=True):
            if not math.isfinite(value):
                raise UserError(
                    f"the loss {name} is {value} at step {step}; training stopped, and the last checkpoint is from before. "
                    f"Lower optimizer.lr, or set train.precision to float32, in params.yaml and run `dvc repro` again"
                )
        self.sums = [total + value for total, value in zip(self.sums, values, strict=True)]
        self.count += 1
        if self.count < self.every and not last:
            return None
        self.rows.append([float(step), float(epoch), *(total / self.count for total in self.sums)])
        self.sums, self.count = [0.0] * len(self.names), 0
        return self.row(-1)

    def row(self, index: int) -> Row:
        """A row by name: step, epoch (from 1), each term's mean, lr."""
        return dict(zip(["step", "epoch", *self.names], self.rows[index], strict=True))

    def write_csv(self, path: Path) -> None:
        """Write all rows, values to nine significant digits."""
        table = pd.DataFrame([self.row(i) for i in range(len(self.rows))]).astype({"step": int, "epoch": int})
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False, float_format="%.9g", lineterminator="\n")

    def tensors(self) -> dict[str, Tensor]:
        """The history as tensors, for a checkpoint."""
        rows = torch.tensor(self.rows, dtype=torch.float64).reshape(-1, len(self.names) + 2)
        return {"history/rows": rows, "history/sums": torch.tensor([*self.sums, self.count], dtype=torch.float64)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """The opposite of `tensors`."""
        self.rows = tensors["history/rows"].tolist()
        *self.sums, count = tensors["history/sums"].tolist()
        self.count = int(count)
