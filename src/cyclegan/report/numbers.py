"""Scores as text and as what they say of one another."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from cyclegan.evaluation import catalogue

MISSING = "\N{EN DASH}"
SURE = 1.96  # standard errors: two values further apart than so many differ, at a level of 5 %


@dataclass(frozen=True)
class Score:
    """A value, its standard error and its 95 % interval; NaN where they are not known."""

    value: float
    se: float = math.nan
    low: float = math.nan
    high: float = math.nan


def scores_of(table: pd.DataFrame, direction: str) -> dict[tuple[str, str], Score]:
    """The scores of a direction by subject and metric, in the table's order; without those that are not defined."""
    rows = table[table["direction"] == direction]
    numbers = rows.reindex(columns=["value", "se", "low", "high"]).astype(float).itertuples(index=False, name=None)
    named = zip(rows["subject"], rows["metric"], numbers, strict=True)
    return {(subject, metric): Score(*values) for subject, metric, values in named if math.isfinite(values[0])}


def metric(name: str) -> catalogue.Metric:
    """What the catalogue says of a score; a score that it does not know speaks for itself."""
    try:
        return catalogue.metric(name)
    except KeyError:
        return catalogue.Metric(name, None, "not in the catalogue")


def decimals(values: Iterable[float]) -> int:
    """How many decimals a row of numbers is printed with: about three digits of the largest."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return 1 if largest >= 10 else 2 if largest >= 1 else 3 if largest >= 0.01 else 4


def text(value: float, places: int) -> str:
    """A number with a true minus sign, or a dash where it is not known."""
    return f"{value:.{places}f}".replace("-", "\N{MINUS SIGN}") if math.isfinite(value) else MISSING


def interval(score: Score, places: int) -> str:
    """The 95 % interval; empty where it is not known."""
    if not (math.isfinite(score.low) and math.isfinite(score.high)):
        return ""
    return f"{text(score.low, places)} to {text(score.high, places)}"


def ahead(one: Score, other: Score, better: str) -> bool | None:
    """Whether `one` is better than `other` by more than chance would have it; None where that cannot be told.

    Errors count as independent, which is careful for scores of the same pictures. Where none is known, the values decide.
    """
    gain = other.value - one.value if better == "lower" else one.value - other.value
    error = math.sqrt(sum(score.se**2 for score in (one, other) if math.isfinite(score.se)))
    return None if abs(gain) <= SURE * error else gain > 0
