"""Scores as a table: a row a metric, a column a subject."""

from dataclasses import dataclass

from cyclegan.evaluation import catalogue
from cyclegan.evaluation.certainty import Score, Standing
from cyclegan.evaluation.outcome import GENERATORS
from cyclegan.report.numbers import MISSING, Scores, decimals_of, interval, metric, stand, text

HEADS = {  # in this order: what a model is to be held against stands beside it, also on a narrow screen
    "model": "model",
    "copy_input": "copied input",
    "mean_colour": "mean colour",
    "real_train": "real pictures",
    "best": "best",
    "last": "last",
    "last_ema": "last, averaged",
}
FLOOR = "real_train"  # what could be reached: it does not compete
GROUPS = {
    "Like the other domain": ("fid_", "kid_"),
    "Like the true counterpart": ("pair_",),
    "The way back": ("cycle_",),
    "The translation itself": ("",),
}
PERFECT = ("cycle_", "structure")  # in which a copied input is perfect by definition, and does not compete


@dataclass(frozen=True)
class Cell:
    """A value as text, its interval, and how it stands beside the others of its row."""

    value: str
    interval: str
    standing: Standing


@dataclass(frozen=True)
class Line:
    """A metric by its name, what the catalogue says of it, and a cell a subject."""

    name: str
    about: catalogue.Metric
    cells: list[Cell]


@dataclass(frozen=True)
class Table:
    """Heads by subject, in the order of HEADS; lines by group."""

    heads: dict[str, str]
    groups: dict[str, list[Line]]


def table(scores: Scores) -> Table:
    """The table of a direction."""
    present = dict.fromkeys(subject for subject, _ in scores)
    subjects = [name for name in HEADS if name in present]
    subjects += [name for name in present if name not in subjects]
    groups: dict[str, list[Line]] = {}
    names = dict.fromkeys(name for _, name in scores)
    waiting = list(names)
    for group, prefixes in GROUPS.items():
        own = [name for name in waiting if name.startswith(prefixes)]
        waiting = [name for name in waiting if name not in own]
        if own:
            groups[group] = [_line(name, subjects, scores) for name in own]
    return Table({name: HEADS.get(name, name) for name in subjects}, groups)


def _line(name: str, subjects: list[str], scores: Scores) -> Line:
    own = {subject: scores.get((subject, name)) for subject in subjects}
    standing = stand({subject: score for subject, score in own.items() if _competes(subject, name)}, metric(name).better)
    generators = [score for subject, score in own.items() if score is not None and subject in GENERATORS]
    places = decimals_of(generators or [score for score in own.values() if score is not None])
    return Line(name, metric(name), [_cell(score, places, standing.get(subject, "")) for subject, score in own.items()])


def _cell(score: Score | None, places: int, standing: Standing) -> Cell:
    if score is None:
        return Cell(MISSING, "", "")
    return Cell(text(score.value, places), interval(score, places), standing)


def _competes(subject: str, name: str) -> bool:
    return subject != FLOOR and not (subject == "copy_input" and name.startswith(PERFECT))
