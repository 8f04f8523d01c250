"""How sure scores are: their errors, and the one rule by which a difference between two of them counts as shown.

Reports, comparisons and the choice of the champion all go by it. Nothing here needs PyTorch.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

NORMAL = 1.959964  # standard errors on either side of a normal distribution's middle 95 %

Better = Literal["lower", "higher"]
Standing = Literal["best", "alike", ""]  # beside the others: the best; not shown to differ from it; neither


@dataclass(frozen=True)
class Score:
    """A score; None where something is not known.

    Attributes:
        value: the score.
        se: its standard error.
        low, high: its 95 % interval.
        se_from_model: the standard error of its difference from the score of the subject `model`, of the same pictures.
    """

    value: float
    se: float | None = None
    low: float | None = None
    high: float | None = None
    se_from_model: float | None = None


@dataclass(frozen=True)
class Difference:
    """How much better a score is than another.

    Attributes:
        better_by: above 0 if the first is better; by how much.
        error: half of the 95 % interval of the difference; None where it is not known.
    """

    better_by: float
    error: float | None

    @property
    def shown(self) -> bool:
        """Whether the test pictures show it: it is more than its error."""
        return self.error is not None and abs(self.better_by) > self.error


def difference(one: Score, other: Score, better: Better, se: float | None = None) -> Difference:
    """How much better `one` is than `other`.

    Args:
        se: the standard error of the difference, where it is known. Else the errors of both count as independent. Two
            scores of the same pictures partly go together, so that this error is rather too large than too small.
    """
    gain = one.value - other.value if better == "higher" else other.value - one.value
    if se is None and one.se is not None and other.se is not None:
        se = math.hypot(one.se, other.se)
    return Difference(gain, None if se is None else NORMAL * se)


def standings(
    scores: Sequence[Score | None],
    better: Better | None,
    se: Callable[[int, int], float | None] = lambda _one, _other: None,
) -> list[Standing]:
    """How scores that may be compared stand beside one another; all "" where there are no two, or no way is better.

    Where an error is not known, only equal values are alike.

    Args:
        scores: None does not compete.
        better: which values are.
        se: the standard error of the difference between two of the scores, by their places, where it is known.
    """
    result: list[Standing] = [""] * len(scores)
    known = [(place, score) for place, score in enumerate(scores) if score is not None]
    if better is None or len(known) < 2:
        return result
    best, top = (min if better == "lower" else max)(known, key=lambda one: one[1].value)
    for place, score in known:
        found = difference(top, score, better, se(best, place))
        alike = found.better_by == 0 or (found.error is not None and not found.shown)
        result[place] = "best" if place == best else "alike" if alike else ""
    return result


def with_error(value: float, se: float | None, low: float | None = None, high: float | None = None) -> Score:
    """A score whose interval follows from its standard error where it is not given."""
    if se is not None and (low is None or high is None):
        low, high = value - NORMAL * se, value + NORMAL * se
    return Score(value, se, low, high)
