"""Scores as a table: a row a metric, a column a subject."""

from collections.abc import Mapping
from dataclasses import dataclass

from cyclegan.evaluation import catalogue
from cyclegan.report.numbers import MISSING, Score, decimals, interval, metric, text

HEADS = {  # in this order: what a model is to be held against stands beside it, also on a narrow screen
    "model": "model",
    "copy_input": "copied input",
    "mean_colour": "mean colour",
    "real_train": "real pictures",
    "best": "best",
    "last": "last",
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
    """A value as text, its interval, and whether it is the best of its row."""

    value: str
    interval: str
    best: bool


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


def table(scores: Mapping[tuple[str, str], Score]) -> Table:
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


def _line(name: str, subjects: list[str], scores: Mapping[tuple[str, str], Score]) -> Line:
    own = {subject: scores[subject, name] for subject in subjects if (subject, name) in scores}
    places = decimals(score.value for score in own.values())
    best = {text(own[subject].value, places) for subject in _best(name, own)}  # equal as printed: equally good
    cells = []
    for subject in subjects:
        score = own.get(subject)
        if score is None:
            cells.append(Cell(MISSING, "", best=False))
        else:
            cells.append(
                Cell(
                    text(score.value, places),
                    interval(score, places),
                    best=_competes(subject, name) and text(score.value, places) in best,
                )
            )
    return Line(name, metric(name), cells)


def _best(name: str, own: Mapping[str, Score]) -> set[str]:
    """The subjects with the best value, where one is better than another."""
    better = metric(name).better
    rivals = {subject: score.value for subject, score in own.items() if _competes(subject, name)}
    if better is None or len(rivals) < 2:
        return set()
    top = min(rivals.values()) if better == "lower" else max(rivals.values())
    return {subject for subject, value in rivals.items() if value == top}


def _competes(subject: str, name: str) -> bool:
    return subject != FLOOR and not (subject == "copy_input" and name.startswith(PERFECT))
