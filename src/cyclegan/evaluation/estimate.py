"""A score with its error, and with what each picture adds to that."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cyclegan import randomness
from cyclegan.evaluation.certainty import NORMAL

ABSENT = torch.zeros(1, dtype=torch.float64)  # the influence of a set of pictures that a score is not of


@dataclass(frozen=True)
class Estimate:
    """A score of finitely many pictures: NaN where something is undefined, infinite where the score is.

    Attributes:
        value: the score.
        se: its standard error: how far it would vary with other pictures of the same kind.
        low, high: the interval of 95 %.
        influence: what each picture adds to the score's error, float64, by the name of the set that it is of; the sum of
            all squares is the variance. Empty where there is no error.
    """

    value: float
    se: float = math.nan
    low: float = math.nan
    high: float = math.nan
    influence: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def normal(value: float, influence: Mapping[str, Tensor]) -> "Estimate":
        """With the error that the influences make, and the interval that a normal distribution would have."""
        se = math.sqrt(math.fsum(float(part.square().sum()) for part in influence.values()))
        return Estimate(value, se, value - NORMAL * se, value + NORMAL * se, influence)

    def renamed(self, names: Mapping[str, str]) -> "Estimate":
        """The same, with other names for the sets of pictures."""
        return replace(self, influence={names.get(name, name): part for name, part in self.influence.items()})

    def of_pairs(self) -> "Estimate":
        """The same where the i-th real and the i-th translated picture belong together, and vary together.

        "real" and "fake" become "pair", and "real" holds what has no counterpart.
        """
        real, fake = self.influence["real"], self.influence["fake"]
        return Estimate.normal(self.value, {"pair": real[: len(fake)] + fake, "real": real[len(fake) :]})


def error_of_difference(one: Estimate, other: Estimate) -> float:
    """The standard error of the difference of two scores of one name; NaN where one has none.

    Where both are of the same pictures, as the names of their sets say, they vary together: a picture that is hard for the
    one is often hard for the other, and their difference varies less than their errors would have it.
    """
    if not one.influence or not other.influence:
        return math.nan
    parts = [
        one.influence.get(name, ABSENT) - other.influence.get(name, ABSENT)
        for name in one.influence.keys() | other.influence.keys()
    ]
    return math.sqrt(math.fsum(float(part.square().sum()) for part in parts))


def mean(values: list[float], samples: int, seed: int) -> Estimate:
    """The mean over pictures; its error and interval by the bootstrap (Efron 1979), percentiles of `samples` resamplings.

    Neither depends on the order of the pictures, but for the resamplings' own noise. Infinite values, as the PSNR of
    equal pictures is, make it infinite.
    """
    value = math.fsum(values) / len(values)
    if not math.isfinite(value) or len(values) < 2:
        return Estimate(value)
    numbers = torch.tensor(sorted(values), dtype=torch.float64)
    drawn = randomness.generator(seed, "bootstrap").integers(len(values), size=(samples, len(values)))
    means = numbers[torch.from_numpy(drawn)].mean(1)
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    deviations = torch.tensor(values, dtype=torch.float64) - value
    influence = deviations / (len(values) * (len(values) - 1)) ** 0.5
    return Estimate(value, float(means.std()), low, high, {"fake": influence})


def rounded(value: float) -> float | None:
    """To six significant digits; None where it is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
