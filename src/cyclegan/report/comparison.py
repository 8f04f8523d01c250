"""Several commits or runs side by side: what differs in their settings, and what in their scores the test set can show."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import jinja2

from cyclegan.errors import UserError
from cyclegan.evaluation import catalogue, checks
from cyclegan.evaluation.certainty import Better, Score, Standing, difference, standings, with_error
from cyclegan.evaluation.outcome import DIGEST_SHOWN, Outcome, obstacles
from cyclegan.report.numbers import MARKS, RULE, SAID, decimals, decimals_of, metric, text
from cyclegan.report.verdicts import across, verdict

FOLDER = Path(__file__).parent
DIRECTIONS = ("A_to_B", "B_to_A")
LEGEND = (
    f"{{best}} best of those that can be compared; {{alike}} {SAID['alike']}. In brackets: the 95 % interval, where it is "
    f"known. {RULE}"
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
        files: names of all test pictures of a direction, in their order, where they are known.
        health: values of the checks of health at the end of training by their whole names; None where not recorded.
    """

    label: str
    name: str
    about: str
    outcome: Outcome
    params: Mapping[str, str]
    whole: bool
    galleries: Mapping[str, bytes]
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    health: Mapping[str, float] | None = None

    @property
    def facts(self) -> dict[str, str]:
        """What its scores are scores of, and what it comes to by itself, in a few words each."""
        counts = set(self.outcome.pictures.values())
        return {
            "commit or run": self.name or ABSENT,
            "about": self.about or ABSENT,
            "training data": (self.outcome.data_digest or ABSENT)[:DIGEST_SHOWN],
            "test set": (self.outcome.test_digest or ABSENT)[:DIGEST_SHOWN],
            "test pictures": " and ".join(map(str, sorted(counts))) or ABSENT,
            "weights": self.outcome.weights or ABSENT,
            "health": _health(self.health),
            **{f"verdict {ARROWS[direction]}": self.verdict(direction) for direction in DIRECTIONS},
        }

    def verdict(self, direction: str) -> str:
        """What it comes to beside trivial answers, as its own report says; ABSENT where their scores are not recorded."""
        scores = self.outcome.everybodys.get(direction, {})
        return verdict(scores).headline if scores else ABSENT


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


@dataclass(frozen=True)
class Comparison:
    """All that a page or a screen shows.

    Attributes:
        subjects: at least two.
        params: those that differ: a text a subject, by dotted name.
        tables: rows of scores by direction.
        summaries: where all can be compared: in how many scores which is better, by direction.
        statements: which subjects cannot be compared, and why.
        contradictions: where one score, one direction or one trivial answer says otherwise than another.
    """

    subjects: list[Subject]
    params: dict[str, list[str]]
    tables: dict[str, list[Row]]
    summaries: dict[str, str]
    statements: list[str]
    contradictions: list[str]


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
    summaries = {
        direction: _summary(rows, "better" if len(subjects) == 2 else "best") for direction, rows in tables.items()
    }
    return Comparison(
        list(subjects),
        _differing(subjects),
        tables,
        summaries,
        _statements(subjects, groups),
        [*_contradictions(tables), *_beside_trivial_answers(subjects, directions)],
    )


def _summary(rows: list[Row], word: str) -> str:
    told = [row.better for row in rows if row.better is not None]
    parts = [f"{label} is {word} in {told.count(label)}" for label in dict.fromkeys(told) if label]
    if "" in told:
        parts.append(f"no difference that the test set can show in {told.count('')}")
    return f"Of {len(told)} scores: {', '.join(parts)}." if told else ""


def _contradictions(tables: Mapping[str, list[Row]]) -> list[str]:
    """Where scores of a direction, or a score of both directions, show different ones to be better."""
    said = []
    for direction, rows in tables.items():
        titles: dict[str, list[str]] = {}
        for row in rows:
            if row.better:
                titles.setdefault(row.better, []).append(row.about.title if row.about else row.name)
        if len(titles) > 1:
            sides = "; ".join(f"{label} is better by {', '.join(names)}" for label, names in titles.items())
            said.append(f"{ARROWS[direction]}: the scores contradict each other: {sides}.")
    winners: dict[str, dict[str, str]] = {}
    for direction, rows in tables.items():
        for row in rows:
            if row.better:
                winners.setdefault(row.name, {})[direction] = row.better
    for name, found in winners.items():
        if len(set(found.values())) > 1:
            sides = ", ".join(f"{label} is better in {ARROWS[direction]}" for direction, label in found.items())
            said.append(f"{metric(name).title}: the directions contradict each other: {sides}.")
    return said


def _beside_trivial_answers(subjects: Sequence[Subject], directions: Sequence[str]) -> list[str]:
    """Where a subject is better than trivial answers in one direction and not in the other, or its scores disagree."""
    said = []
    for one in subjects:
        found = {
            ARROWS[direction]: verdict(one.outcome.everybodys[direction])
            for direction in directions
            if one.outcome.everybodys.get(direction)
        }
        said += [f"{one.label}, {name}: {own.contradiction}" for name, own in found.items() if own.contradiction]
        differing = across(found)
        said += [f"{one.label}: {differing}"] if differing else []
    return said


def _health(values: Mapping[str, float] | None) -> str:
    if values is None:
        return ABSENT
    failing = [
        name for name, value in values.items() if checks.parts(name)[1] in checks.CHECKS and checks.fails(name, value)
    ]
    return f"bad: {', '.join(failing)}" if failing else "good"


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
    way = about.better if about else None
    standing: list[Standing] = [""] * len(scores)
    for group in groups:
        for number, found in zip(group, standings([scores[number] for number in group], way), strict=True):
            standing[number] = found
    places, digits = _places(scores), decimals_of(score for score in scores if score is not None)
    cells = [
        Cell(ABSENT) if score is None else Cell(text(score.value, digits), interval(score, digits), how, place)
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


def interval(score: Score, places: int) -> str:
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


def page(comparison: Comparison) -> str:
    """The comparison as HTML: one file without network or scripts; the bytes depend on the arguments alone."""
    from cyclegan.report.page import style
    from cyclegan.report.sheets import by_picture, cells  # which know pictures, and so need PyTorch

    pictures, whole = {}, {}
    for direction in comparison.tables:
        there = {one.label: one.galleries[direction] for one in comparison.subjects if direction in one.galleries}
        files = next((one.files[direction] for one in comparison.subjects if one.files.get(direction)), ())
        pictures[direction] = by_picture(there, files)
        whole[direction] = [
            (label, "data:image/png;base64," + base64.b64encode(sheet).decode())
            for label, sheet in there.items()
            if not cells(sheet)  # drawn by another version
        ]
    return _template().render(
        style=style("comparison.css"),
        comparison=comparison,
        facts=[one.facts for one in comparison.subjects],
        pictures=pictures,
        whole=whole,
        attributions=list(dict.fromkeys(one.outcome.attribution for one in comparison.subjects if one.outcome.attribution)),
        legend=LEGEND.format(**MARKS),
        marks=MARKS,
        said=SAID,
        arrows=ARROWS,
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string((FOLDER / "comparison.html").read_text(encoding="utf-8"))
