"""Several commits or runs side by side: what differs in their settings, and what in their scores the test set can show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cyclegan.comparison.rows import Row, row_of
from cyclegan.comparison.subject import ABSENT, ARROWS, Subject
from cyclegan.errors import UserError
from cyclegan.evaluation.outcome import DIRECTIONS, obstacles
from cyclegan.report.numbers import RULE, SAID, metric
from cyclegan.report.verdicts import across, verdict

LEGEND = (
    f"{{best}} best of those that can be compared; {{alike}} {SAID['alike']}. In brackets: the 95 % interval, where it is "
    f"known. {RULE}"
)


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
        rows = [row_of(name, direction, subjects, groups) for name in metrics or there]
        tables[direction] = [one for one in rows if any(cell.value != ABSENT for cell in one.cells)]
    words = ("better", "difference") if len(subjects) == 2 else ("best", "single best")
    summaries = {direction: _summary(rows, *words) for direction, rows in tables.items()}
    return Comparison(
        list(subjects),
        _differing(subjects),
        tables,
        summaries,
        _statements(subjects, groups),
        [*_contradictions(tables), *_beside_trivial_answers(subjects, directions)],
    )


def _summary(rows: list[Row], word: str, otherwise: str) -> str:
    told = [row.better for row in rows if row.better is not None]
    parts = [f"{label} is {word} in {told.count(label)}" for label in dict.fromkeys(told) if label]
    if "" in told:
        parts.append(f"no {otherwise} that the test set can show in {told.count('')}")
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
