"""Scores as text, and as what they say beside one another: one way for a report, a comparison's page and its screen."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cyclegan.evaluation import catalogue
from cyclegan.evaluation.certainty import Better, Difference, Score, Standing, difference, standings
from cyclegan.evaluation.outcome import SUBJECT

if TYPE_CHECKING:
    import pandas as pd

MISSING = "\N{EN DASH}"
MARKS: dict[Standing, str] = {"best": "★", "alike": "≈", "": ""}
SAID: dict[Standing, str] = {"best": "best", "alike": "not shown to differ from the best", "": ""}
RULE = (
    "A difference is shown where it is more than 1.96 of its standard errors. They are made of each picture's "
    "influence on both scores where that is known; else the errors of both count as independent, which is rather too much."
)
MOST_DECIMALS = 6

Scores = Mapping[tuple[str, str], Score]  # by subject and metric


def scores_of(table: "pd.DataFrame", direction: str) -> dict[tuple[str, str], Score]:
    """The scores of a direction by subject and metric, in the table's order; without those that are not defined."""
    rows = table[table["direction"] == direction]
    numbers = rows.reindex(columns=["value", "se", "low", "high", "se_from_model"]).astype(float)
    named = zip(rows["subject"], rows["metric"], numbers.itertuples(index=False, name=None), strict=True)
    return {
        (subject, metric): Score(value, *(one if math.isfinite(one) else None for one in others))
        for subject, metric, (value, *others) in named
        if math.isfinite(value)
    }


def metric(name: str) -> catalogue.Metric:
    """What the catalogue says of a score; a score that it does not know speaks for itself."""
    try:
        return catalogue.metric(name)
    except KeyError:
        return catalogue.Metric(name, None, "not in the catalogue")


def compared(scores: Scores, name: str, one: str, other: str, better: Better) -> Difference:
    """How much better a subject is than another in a score that both have."""
    first, second = scores[one, name], scores[other, name]
    return difference(first, second, better, _se_between(one, first, other, second))


def stand(own: Mapping[str, Score | None], better: Better | None) -> dict[str, Standing]:
    """How the subjects of one evaluation stand beside one another in a score; None does not compete."""
    subjects, scores = list(own), list(own.values())

    def se(one: int, other: int) -> float | None:
        return _se_between(subjects[one], scores[one], subjects[other], scores[other])

    return dict(zip(subjects, standings(scores, better, se), strict=True))


def _se_between(one: str, first: Score | None, other: str, second: Score | None) -> float | None:
    """The standard error of a difference, which is known where one of the two is the model."""
    if first is None or second is None or SUBJECT not in (one, other):
        return None
    return second.se_from_model if one == SUBJECT else first.se_from_model


def decimals(values: Iterable[float]) -> int:
    """How many decimals numbers without errors are printed with: about three digits of the largest."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return 1 if largest >= 10 else 2 if largest >= 1 else 3 if largest >= 0.01 else 4


def decimals_of(scores: Iterable[Score]) -> int:
    """How many decimals scores are printed with: two digits of their smallest error; else as without errors."""
    scores = list(scores)
    errors = [score.se for score in scores if score.se]
    if not errors:
        return decimals(score.value for score in scores)
    return min(MOST_DECIMALS, max(0, 1 - math.floor(math.log10(min(errors)))))


def text(value: float, places: int) -> str:
    """A number with a true minus sign, or a dash where it is not known."""
    if not math.isfinite(value):
        return MISSING
    written = f"{value:.{places}f}".replace("-", "\N{MINUS SIGN}")
    return written if written.strip("\N{MINUS SIGN}0.") else written.lstrip("\N{MINUS SIGN}")  # no minus zero


def interval(score: Score, places: int) -> str:
    """The 95 % interval; empty where it is not known."""
    if score.low is None or score.high is None:
        return ""
    return f"{text(score.low, places)} to {text(score.high, places)}"


def within(value: float, se: float | None) -> str:
    """A value with its standard error, in as many decimals as two digits of the error take."""
    places = decimals_of([Score(value, se)])
    error = f"\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{text(se, places)}" if se is not None else ""
    return f"{text(value, places)}{error}"
