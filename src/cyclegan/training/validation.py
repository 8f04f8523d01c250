"""Validation: what the generators make of pictures held out of training, and the choice of the best by it."""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from cyclegan.models.networks import evaluating
from cyclegan.models.specs import Weights
from cyclegan.training.losses import distance
from cyclegan.training.selection import Better, Scored
from cyclegan.training.state import TrainState


class Judge(Protocol):
    """Who scores translations of the validation pictures: the same ones give the same score, at any time.

    Attributes:
        metric: the score's name in evaluation.catalogue.
        better: whether a lower or a higher one is.
        wants_cycle: whether it looks at reconstructions.
        about: metric and pictures; equal where scores can be compared.
    """

    metric: str
    better: Better
    wants_cycle: bool
    about: str

    def score(self, direction: str, fake: Tensor, cycle: Tensor | None) -> tuple[float | None, float | None]:
        """The score of a direction and its standard error, None where undefined.

        Args:
            direction: "A_to_B" or "B_to_A".
            fake: translations of all validation pictures, float32 [N, C, H, W] in [-1, 1], on the CPU.
            cycle: reconstructions of them, the same, if `wants_cycle`.
        """


@dataclass(frozen=True)
class Made:
    """What a pair of generators makes of one domain's validation pictures.

    Attributes:
        fake: float32 [N, C, H, W], on the CPU; empty where nobody judges.
        cycle: the way back, the same; None where the judge does not want it.
        loss: mean L1 of the cycles; NaN where these are not made.
    """

    fake: Tensor
    cycle: Tensor | None
    loss: float


@dataclass(frozen=True)
class Validation:
    """Held-out training pictures, and what they are for.

    Attributes:
        real_A, real_B: float32 [N, C, H, W] in [-1, 1].
        batch_size: how many go through the networks at once.
        judge: scores what generators make of them; None where only their cycle losses are asked for.
        every: epochs from one scoring to the next.
        patience: validations in a row without anything better after which training ends; 0 for no end.
    """

    real_A: Tensor
    real_B: Tensor
    batch_size: int
    judge: Judge | None = None
    every: int = 1
    patience: int = 0

    def after_epoch(
        self, state: TrainState, epoch: int, precision: AbstractContextManager[None], *, last: bool
    ) -> tuple[float, float]:
        """What there is to do after `epoch` (from 1); returns the mean L1 of the cycles A -> B -> A and B -> A -> B.

        Where it is time to score, and after the `last` epoch always, the scores go into the state's selection; so does the
        end of training, unless this is the last epoch anyway.
        """
        judge = self.judge if epoch % self.every == 0 or last else None
        raw = state.networks.generators()
        made = self._make(raw, judge, precision, cycle=True)
        if judge is not None:
            self._score(judge, state, epoch, "raw", raw, made)
            if state.average:
                averaged = self._make(state.average, judge, precision, cycle=judge.wants_cycle)
                self._score(judge, state, epoch, "ema", state.average, averaged)
            if 0 < self.patience <= state.selection.in_vain() and not last:
                state.selection.stopped = epoch
        return made["A_to_B"].loss, made["B_to_A"].loss

    def _score(
        self,
        judge: Judge,
        state: TrainState,
        epoch: int,
        weights: Weights,
        generators: dict[str, nn.Module],
        made: dict[str, Made],
    ) -> None:
        rows = [
            Scored(state.step, epoch, weights, direction, judge.metric, *judge.score(direction, one.fake, one.cycle))
            for direction, one in made.items()
        ]
        state.selection.consider(rows, generators, judge.better)

    def _make(
        self,
        generators: dict[str, nn.Module],
        judge: Judge | None,
        precision: AbstractContextManager[None],
        *,
        cycle: bool,
    ) -> dict[str, Made]:
        G_AB, G_BA = generators["G_AB"], generators["G_BA"]
        with evaluating(G_AB, G_BA), precision:
            return {
                "A_to_B": self._translate(G_AB, G_BA, self.real_A, judge, cycle=cycle),
                "B_to_A": self._translate(G_BA, G_AB, self.real_B, judge, cycle=cycle),
            }

    def _translate(self, forth: nn.Module, back: nn.Module, real: Tensor, judge: Judge | None, *, cycle: bool) -> Made:
        """A batch at a time; only what the judge wants is kept."""
        fakes, cycles, loss = [torch.empty(0)], [torch.empty(0)], 0.0
        for part in torch.split(real, self.batch_size):
            fake = forth(part)
            if judge is not None:
                fakes.append(fake.float().cpu())
            if cycle:
                reconstructed = back(fake).float()
                loss += distance(reconstructed, part).item() * len(part)
                if judge is not None and judge.wants_cycle:
                    cycles.append(reconstructed.cpu())
        kept = torch.cat(cycles) if len(cycles) > 1 else None
        return Made(torch.cat(fakes), kept, loss / len(real) if cycle else math.nan)
