"""Which test pictures are shown: the best, the median and the worst by a score that is named."""

import math
from dataclasses import dataclass

import pandas as pd

from cyclegan.report.contents import Rows
from cyclegan.report.numbers import decimals, metric, text
from cyclegan.report.pictures import ENLARGED, data_uri

EACH = 4  # pictures of each group
WHY = {
    "pair_l1": "the distance from the true counterpart. Pictures with much empty background score better than busy ones",
    "cycle_l1": "how far the rebuilt picture is from the input, since no true counterparts are known. It does not say "
    "whether the output looks right: an output that hides the input well scores well",
}


@dataclass(frozen=True)
class Picture:
    """A picture on the page: its label and its data."""

    label: str
    uri: str


@dataclass(frozen=True)
class Strip:
    """A test picture and what became of it: input, output, truth if there is one, rebuilt."""

    file: str
    score: str
    pictures: list[Picture]
    small: bool
    width: int
    height: int


@dataclass(frozen=True)
class Gallery:
    """A direction's pictures in groups, by a score; `first` is the one before and after which the slider starts."""

    name: str
    title: str
    why: str
    pictures: int
    groups: dict[str, list[Strip]]
    first: Strip


def gallery(rows: pd.DataFrame, pictures: Rows) -> Gallery | None:
    """The gallery of a direction, whose per-picture scores are `rows`; None where there are neither pictures nor scores.

    They are ordered by pair_l1 where true counterparts are known, else by cycle_l1; equal ones as they come.
    """
    name = next((name for name in WHY if name in rows and rows[name].notna().any()), None)
    if name is None:
        return None
    scores = [float(value) for value in rows[name]]
    order = sorted(range(len(scores)), key=lambda index: (not math.isfinite(scores[index]), scores[index]))
    about, places = metric(name), decimals(scores)

    def strip(index: int) -> Strip:
        row = pictures[index]
        named = {"input": row.input, "output": row.output, "truth": row.truth, "rebuilt": row.rebuilt}
        shown = [Picture(label, data_uri(pixels)) for label, pixels in named.items() if pixels is not None]
        height, width = row.output.shape[:2]
        file = str(rows["file"].iloc[index])
        return Strip(file, text(scores[index], places), shown, max(height, width) < ENLARGED, width, height)

    groups = {title: [strip(index) for index in chosen] for title, chosen in _chosen(order).items()}
    middle = groups.get("Median") or next(iter(groups.values()))
    return Gallery(name, about.title, WHY[name], len(scores), groups, middle[len(middle) // 2])


def _chosen(order: list[int]) -> dict[str, list[int]]:
    """Groups of places from the best to the worst; all in one group where the groups would overlap."""
    if len(order) <= 3 * EACH:
        return {"All, the best first" if len(order) > 1 else "The only one": order}
    start = (len(order) - EACH) // 2
    return {"Best": order[:EACH], "Median": order[start : start + EACH], "Worst": order[-EACH:]}
