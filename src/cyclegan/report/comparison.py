"""Several commits or runs side by side: what differs in their settings, and what in their scores the test set can show."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from cyclegan.errors import UserError
from cyclegan.evaluation import catalogue
from cyclegan.evaluation.outcome import DIGEST_SHOWN, Outcome, Score, difference, obstacles, with_error

FOLDER = Path(__file__).parent
DIRECTIONS = ("A_to_B", "B_to_A")
BEST, ALIKE = "*", "~"
LEGEND = (
    f"{BEST} best of those that can be compared; {ALIKE} no difference from it that the test set can show. In brackets: "
    f"the 95 % interval, where it is known. A difference is shown where it is more than 1.96 of its standard errors; the "
    f"errors of both count as independent."
)
ARROWS = {"A_to_B": "A → B", "B_to_A": "B → A"}
ABSENT = "-"  # of a key that a subject has not


@dataclass(frozen=True)
class Subject:
    """One commit or run.

    Attributes:
        label: how the user named it.
        name: a short commit, the beginning of a run's id, or "".
        about: a commit's subject line, or a run's name.
        params: by dotted name, as text.
        whole: whether `params` are all there were; a run knows only those that training and evaluation depend on.
        galleries: PNG files by direction.
    """

    label: str
    name: str
    about: str
    outcome: Outcome
    params: Mapping[str, str]
    whole: bool
    galleries: Mapping[str, bytes]

    @property
    def facts(self) -> dict[str, str]:
        """What its scores are scores of, in a few words each."""
        digest = self.outcome.test_digest or self.outcome.data_digest
        counts = set(self.outcome.pictures.values())
        return {
            "commit or run": self.name or ABSENT,
            "about": self.about or ABSENT,
            "test pictures": " and ".join(map(str, sorted(counts))) or ABSENT,
            "data": digest[:DIGEST_SHOWN] if digest else ABSENT,
            "weights": self.outcome.weights or ABSENT,
        }


@dataclass(frozen=True)
class Cell:
    """A score of a subject: as text, its interval or "", its mark or "", and how it is placed from 0 to 1 in its row."""

    value: str
    interval: str = ""
    mark: str = ""
    place: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Row:
    """A score of all subjects.

    Attributes:
        about: what it is; None if it is one of another version.
        cells: a subject each.
        verdict: of two that can be compared, how they differ.
        better: of these two, the label of the one that is shown to be better; "" where no difference is shown, None where
            that cannot be told.
    """

    name: str
    about: catalogue.Metric | None
    cells: list[Cell]
    verdict: str = ""
    better: str | None = None


@dataclass(frozen=True)
class Comparison:
    """All that a page or a screen shows.

    Attributes:
        subjects: at least two.
        params: those that differ: a text a subject, by dotted name.
        tables: rows of scores by direction.
        summaries: of two that can be compared: in how many scores which is better, by direction.
        statements: which subjects cannot be compared, and why.
    """

    subjects: list[Subject]
    params: dict[str, list[str]]
    tables: dict[str, list[Row]]
    summaries: dict[str, str]
    statements: list[str]


def compare(subjects: Sequence[Subject], metrics: Sequence[str] = (), directions: Sequence[str] = DIRECTIONS) -> Comparison:
    """Put subjects side by side.

    Args:
        metrics: scores to show, in this order; none: all that there are.

    Raises:
        UserError: a score is asked for that no subject has.
    """
    there = list(
        dict.fromkeys(
            name for one in subjects for direction in directions for name in one.outcome.scores.get(direction, {})
        )
    )
    for name in metrics:
        if name not in there:
            raise UserError(f"there is no score {name} in any of them; there are {', '.join(there) or 'none'}")
    groups = _groups(subjects)
    tables = {}
    for direction in directions:
        rows = [_row(name, direction, subjects, groups) for name in metrics or there]
        tables[direction] = [row for row in rows if any(cell.value != ABSENT for cell in row.cells)]
    summaries = {direction: _summary(rows) for direction, rows in tables.items()}
    return Comparison(list(subjects), _differing(subjects), tables, summaries, _statements(subjects, groups))


def _summary(rows: list[Row]) -> str:
    told = [row.better for row in rows if row.better is not None]
    parts = [f"{label} is better in {told.count(label)}" for label in dict.fromkeys(told) if label]
    if "" in told:
        parts.append(f"no difference that the test set can show in {told.count('')}")
    return f"Of {len(told)} scores: {', '.join(parts)}." if told else ""


def _groups(subjects: Sequence[Subject]) -> list[list[int]]:
    """Subjects that can be compared with one another, by their numbers."""
    groups: list[list[int]] = []
    for number, one in enumerate(subjects):
        fitting = (group for group in groups if not obstacles(subjects[group[0]].outcome, one.outcome))
        group = next(fitting, None)
        if group is None:
            groups.append([number])
        else:
            group.append(number)
    return groups


def _statements(subjects: Sequence[Subject], groups: list[list[int]]) -> list[str]:
    labels = [", ".join(subjects[number].label for number in group) for group in groups]
    first = subjects[groups[0][0]].outcome
    return [
        f"{label} cannot be compared with {labels[0]}: {'; '.join(obstacles(first, subjects[group[0]].outcome))}"
        for label, group in zip(labels[1:], groups[1:], strict=True)
    ]


def _differing(subjects: Sequence[Subject]) -> dict[str, list[str]]:
    found = {}
    for name in sorted({name for one in subjects for name in one.params}):
        values = [one.params.get(name, ABSENT) for one in subjects]
        if len({value for value, one in zip(values, subjects, strict=True) if one.whole or name in one.params}) > 1:
            found[name] = values
    return found


def _row(name: str, direction: str, subjects: Sequence[Subject], groups: list[list[int]]) -> Row:
    scores = [one.outcome.scores.get(direction, {}).get(name) for one in subjects]
    about = _about(name)
    better = about.better if about else None
    marks = [""] * len(scores)
    for group in groups:
        members = [number for number in group if scores[number] is not None]
        if better is None or len(members) < 2:
            continue
        best = (min if better == "lower" else max)(members, key=lambda number: _value(scores[number]))
        for number in members:
            one, other = scores[best], scores[number]
            assert one is not None
            assert other is not None
            found = difference(one, other, better)
            alike = found.better_by == 0 or (found.error is not None and not found.shown)
            marks[number] = BEST if number == best else ALIKE if alike else ""
    places, digits = _places(scores), _decimals(scores)
    cells = [
        Cell(ABSENT) if score is None else Cell(text(score.value, digits), interval(score, digits), mark, place)
        for score, mark, place in zip(scores, marks, places, strict=True)
    ]
    if len(groups) > 1 or len(scores) != 2 or scores[0] is None or scores[1] is None:
        return Row(name, about, cells)
    found = difference(scores[1], scores[0], better or "lower")
    if found.error is None:
        return Row(name, about, cells, f"{text(abs(found.better_by), None)}, error unknown")
    digits = _decimals([with_error(found.better_by, found.error)])
    size = f"{text(abs(found.better_by), digits)} ± {text(found.error, digits)}"
    if not found.shown:
        return Row(name, about, cells, f"no difference shown: {size}", "" if better else None)
    if better is None:
        return Row(name, about, cells, f"they differ: {size}")
    label = subjects[found.better_by > 0].label
    return Row(name, about, cells, f"{label} is better: {size}", label)


def _about(name: str) -> catalogue.Metric | None:
    try:
        return catalogue.metric(name)
    except KeyError:  # of another version
        return None


def _value(score: Score | None) -> float:
    assert score is not None
    return score.value


def _decimals(scores: Sequence[Score | None]) -> int | None:
    """Decimals that show two digits of the smallest standard error; None where there is no error."""
    errors = [score.se for score in scores if score is not None and score.se]
    return max(0, 1 - math.floor(math.log10(min(errors)))) if errors else None


def text(value: float, decimals: int | None) -> str:
    """A number as people read it; four digits of it where no error says how many decimals tell something."""
    return f"{value:.4g}" if decimals is None else f"{value:.{decimals}f}"


def interval(score: Score, decimals: int | None) -> str:
    """Its 95 % interval, or ""."""
    if score.low is None or score.high is None:
        return ""
    return f"[{text(score.low, decimals)}, {text(score.high, decimals)}]"


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


def page(comparison: Comparison) -> str:
    """The comparison as HTML: one file without network or scripts; the bytes depend on the arguments alone."""
    galleries = {
        direction: [
            (one.label, "data:image/png;base64," + base64.b64encode(one.galleries[direction]).decode())
            for one in comparison.subjects
            if direction in one.galleries
        ]
        for direction in comparison.tables
    }
    return _template().render(
        style=Markup((FOLDER / "comparison.css").read_text(encoding="utf-8")),  # noqa: S704 - this package's own file
        comparison=comparison,
        facts=[one.facts for one in comparison.subjects],
        galleries=galleries,
        attributions=list(dict.fromkeys(one.outcome.attribution for one in comparison.subjects if one.outcome.attribution)),
        legend=LEGEND,
        best=BEST,
        alike=ALIKE,
        arrows=ARROWS,
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string((FOLDER / "comparison.html").read_text(encoding="utf-8"))
