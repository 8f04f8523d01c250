"""The scores of an evaluation as a table: a row a direction, a subject and a metric."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cyclegan.evaluation.estimate import Estimate, error_of_difference, rounded
from cyclegan.evaluation.outcome import GENERATORS, SUBJECT
from cyclegan.evaluation.protocol import Table

COLUMNS = ["direction", "subject", "metric", "value", "se", "low", "high", "se_from_model", "pictures"]


def table(tables: Mapping[str, Table], pictures: Mapping[str, int]) -> pd.DataFrame:
    """The scores by direction, and how many pictures were translated, in COLUMNS; six significant digits, NaN for none.

    `se_from_model` is the standard error of a score's difference from that of the generators that are exported: both are of
    the same pictures, so that it is not what their own errors would make it.
    """
    rows = [
        (
            direction,
            subject,
            metric,
            *(rounded(number) for number in (found.value, found.se, found.low, found.high)),
            None if subject == SUBJECT else rounded(_error_from(subjects[SUBJECT].get(metric), found)),
            pictures[direction],
        )
        for direction, subjects in tables.items()
        for subject, scores in subjects.items()
        for metric, found in scores.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[3:8], float))


def _error_from(reference: Estimate | None, found: Estimate) -> float:
    return math.nan if reference is None else error_of_difference(reference, found)


def nested(scores: pd.DataFrame) -> dict[str, Any]:
    """The values alone, by direction, subject and metric."""
    values: dict[str, Any] = {}
    for direction, subject, metric, value in scores[COLUMNS[:4]].itertuples(index=False):
        values.setdefault(direction, {}).setdefault(subject, {})[metric] = None if math.isnan(value) else value
    return values


def flat(scores: pd.DataFrame) -> dict[str, float]:
    """Values as direction/subject/metric, and their errors as direction/subject/metric_se, where there are any."""
    values: dict[str, float] = {}
    for direction, subject, metric, value, se in scores[COLUMNS[:5]].itertuples(index=False):
        name = f"{direction}/{subject}/{metric}"
        values |= {key: number for key, number in ((name, value), (f"{name}_se", se)) if not math.isnan(number)}
    return values


def write(scores: pd.DataFrame, path: Path) -> None:
    """Write the table as CSV; cells of what is undefined are empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scores.to_csv(path, index=False, lineterminator="\n")


def as_text(scores: pd.DataFrame) -> str:
    """A table a direction for the screen: a row a metric, a column a subject; with intervals of 95 % for generators."""
    parts = []
    for direction, rows in scores.groupby("direction", sort=False):
        cells = rows.assign(cell=[_cell(row) for row in rows.itertuples()])
        shown = cells.pivot_table(index="metric", columns="subject", values="cell", aggfunc="first", sort=False)
        columns = list(dict.fromkeys(rows["subject"]))
        parts.append(shown[columns].rename_axis(index=None, columns=str(direction)).to_string(na_rep="-"))
    return "\n\n".join(parts)


def _cell(row: Any) -> str:
    if math.isnan(row.value):
        return "-"
    interval = f" [{row.low:.4g}, {row.high:.4g}]" if row.subject in GENERATORS and not math.isnan(row.low) else ""
    return f"{row.value:.4g}{interval}"
