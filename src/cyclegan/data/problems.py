"""What is wrong with a data set, a row a file: as CSV, and as a table for the screen."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal

from rich.cells import cell_len

Kind = Literal["bad", "leak", "note"]


@dataclass(frozen=True)
class Problem:
    """One row of the report.

    Attributes:
        problem: bad (a picture that cannot be used), leak (one that lies in another set, too), or note (all else that
            was decided silently).
        set: the folder of raw pictures it is in: trainA, ...
        file: its name there, or a pattern of names.
        detail: what is wrong with it.
        other: of a twin the other one, as set/file.
    """

    problem: Kind
    set: str
    file: str
    detail: str
    other: str = ""


def as_csv(problems: Sequence[Problem]) -> str:
    """A header and a row a problem; the same problems give the same text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Problem)])
    writer.writerows(astuple(problem) for problem in problems)
    return text.getvalue()


def as_table(problems: Sequence[Problem], raw: Path) -> str:
    """For the screen: a line a problem, its files with their folder `raw` before them, and a line that counts them."""
    rows = [
        (row.problem, f"{raw}/{row.set}/{row.file}", row.detail, f"{raw}/{row.other}" if row.other else "")
        for row in problems
    ]
    shown = [("problem", "file", "detail", "other"), *(tuple(map(_one_line, row)) for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*shown, strict=True)]
    lines = [
        "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    ]
    return "\n".join([*lines, count(problems)])


def count(problems: Sequence[Problem]) -> str:
    """How many problems of each kind there are."""
    number = Counter(problem.problem for problem in problems)
    leaks, notes = (f"{number[kind]} {kind}{'' if number[kind] == 1 else 's'}" for kind in ("leak", "note"))
    return f"{number['bad']} bad, {leaks}, {notes}"


def _one_line(text: str) -> str:
    """`text` with what would break or recolour the line spelled out."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
