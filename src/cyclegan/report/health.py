"""The health of the networks at the end of their training, as a table with what fails said in sentences."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cyclegan.evaluation.checks import CHECKS, explain, fails, is_wanted
from cyclegan.report.numbers import text

PLACES = 3  # decimals
DIRECTIONS = {"A_to_B": "D_B", "B_to_A": "D_A"}  # with the discriminator that judges what it makes


@dataclass(frozen=True)
class Line:
    """A check: its name, a value a direction with whether it is bad, when it would be, and what a bad one says."""

    name: str
    cells: list[tuple[str, bool]]
    limit: str
    meaning: str


@dataclass(frozen=True)
class Health:
    """All checks, in the order of DIRECTIONS, and a sentence for each value that is bad."""

    lines: list[Line]
    faults: list[str]


def health(values: Mapping[str, Mapping[str, float]], gan_mode: object) -> Health | None:
    """The table of values by direction or discriminator and check; None where there are none, as of imported models."""
    named = {(subject, check): value for subject, own in values.items() for check, value in own.items() if check in CHECKS}
    if not named:
        return None
    lines, faults = [], []
    for check, about in CHECKS.items():
        cells = []
        for direction, judge in DIRECTIONS.items():
            subject = judge if (judge, check) in named else direction
            value = named.get((subject, check), math.nan)
            bad = math.isfinite(value) and fails(check, value) and not is_wanted(check, gan_mode)
            cells.append((text(value, PLACES), bad))
            if bad:
                faults.append(explain(f"{subject}/{check}", value))
        limit = (
            "never bad: a critic is to be right"
            if is_wanted(check, gan_mode)
            else f"bad: {about.bad} {text(about.threshold, PLACES)}"
        )
        lines.append(Line(check, cells, limit, about.meaning))
    return Health(lines, faults)
