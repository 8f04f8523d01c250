"""A score of all that are compared: how they stand beside one another, as a row of cells."""

from collections.abc import Sequence
from dataclasses import dataclass

from cyclegan.comparison.subject import ABSENT, Subject
from cyclegan.evaluation import catalogue
from cyclegan.evaluation.certainty import Better, Score, Standing, difference, standings, with_error
from cyclegan.report.numbers import decimals, decimals_of, text


@dataclass(frozen=True)
class Cell:
    """A score of a subject: as text, its interval or "", how it stands, and how it is placed from 0 to 1 in its row."""

    value: str
    interval: str = ""
    standing: Standing = ""
    place: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Row:
    """A score of all subjects.

    Attributes:
        about: what it is; None if it is one of another version.
        cells: a subject each.
        verdict: of two that can be compared, how they differ.
        better: the label of the one that is shown to be better than all others; "" where none is, None where that cannot
            be told.
    """

    name: str
    about: catalogue.Metric | None
    cells: list[Cell]
    verdict: str = ""
    better: str | None = None


def row_of(name: str, direction: str, subjects: Sequence[Subject], groups: list[list[int]]) -> Row:
    """A score of all subjects; only those of one of the `groups`, by their numbers, can be compared."""
    scores = [one.outcome.scores.get(direction, {}).get(name) for one in subjects]
    about = _about(name)
    way = about.better if about else None
    standing: list[Standing] = [""] * len(scores)
    for group in groups:
        for number, found in zip(group, standings([scores[number] for number in group], way), strict=True):
            standing[number] = found
    places, digits = _places(scores), decimals_of(score for score in scores if score is not None)
    cells = [
        Cell(ABSENT) if score is None else Cell(text(score.value, digits), _interval(score, digits), how, place)
        for score, how, place in zip(scores, standing, places, strict=True)
    ]
    better = _better(subjects, scores, standing) if len(groups) == 1 and way else None
    return Row(name, about, cells, _verdict(scores, way, better) if len(groups) == 1 else "", better)


def _better(subjects: Sequence[Subject], scores: list[Score | None], standing: list[Standing]) -> str | None:
    """The label of the one that is shown to be better than all others; see `Row.better`."""
    there = [score for score in scores if score is not None]
    if "best" not in standing or any(score.se is None for score in there):
        return None
    return "" if "alike" in standing else subjects[standing.index("best")].label


def _verdict(scores: list[Score | None], way: Better | None, better: str | None) -> str:
    """How two differ; "" for more."""
    if len(scores) != 2 or scores[0] is None or scores[1] is None:
        return ""
    found = difference(scores[1], scores[0], way or "lower")
    if found.error is None:
        digits = decimals(score.value for score in scores if score is not None)
        return f"{text(abs(found.better_by), digits)}, error unknown"
    digits = decimals_of([with_error(found.better_by, found.error)])
    size = f"{text(abs(found.better_by), digits)} ± {text(found.error, digits)}"
    if not found.shown:
        return f"no difference shown: {size}"
    return f"{better} is better: {size}" if better else f"they differ: {size}"


def _about(name: str) -> catalogue.Metric | None:
    try:
        return catalogue.metric(name)
    except KeyError:  # of another version
        return None


def _interval(score: Score, places: int) -> str:
    """Its 95 % interval, or ""."""
    if score.low is None or score.high is None:
        return ""
    return f"[{text(score.low, places)}, {text(score.high, places)}]"


def _places(scores: list[Score | None]) -> list[tuple[float, float, float] | None]:
    """Low end, value and high end of each on a common scale from 0 to 1; None without an interval."""
    known = [score for score in scores if score is not None and score.low is not None and score.high is not None]
    ends = [end for score in known for end in (score.low, score.value, score.high) if end is not None]
    if not ends or max(ends) == min(ends):
        return [None] * len(scores)
    low, width = min(ends), max(ends) - min(ends)
    return [
        ((score.low - low) / width, (score.value - low) / width, (score.high - low) / width)
        if score is not None and score.low is not None and score.high is not None
        else None
        for score in scores
    ]
