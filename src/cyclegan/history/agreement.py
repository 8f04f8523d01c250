"""Whether a result that was made again is the recorded one: by every digest, and every number of its metrics."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cyclegan.history.lock import read_json

Word = Literal["identical", "identical within tolerance", "different"]
Leaf = str | int | float | bool | None
Metrics = Mapping[str, Mapping[str, Leaf]]


@dataclass(frozen=True)
class Tolerance:
    """How far a decimal may be off: by `absolute`, in its own unit, and by `relative`, a share of the larger of both."""

    relative: float
    absolute: float

    def __str__(self) -> str:
        return f"{100 * self.relative:.0f} % + {self.absolute}"


# What other roundings may do: another processor, number of threads, or version of torch. Measured: docs/reproducing.md.
SCORES = Tolerance(0.15, 0.02)
LOSSES = Tolerance(0.5, 0.1)  # of a few steps, while two networks chase one another
CHOICE = re.compile(r"best\.(epoch|step|weights)")  # among near ties; its score is judged as others are
LOSS = re.compile(r"loss\..+")


@dataclass(frozen=True)
class Result:
    """What a commit recorded, or what was made again.

    Attributes:
        outs: the digests of outs by their paths, by stage, in pipeline order.
        files: the digests of the files in an out that is a folder, by their paths in it; without outs of which nothing
            more than their own digest is known.
        metrics: the numbers and texts of each file of metrics, by dotted name.
    """

    outs: Mapping[str, Mapping[str, str]]
    files: Mapping[str, Mapping[str, str]]
    metrics: Metrics


@dataclass(frozen=True)
class OtherOut:
    """An out that is not as recorded, and which files in it; none where that is not known."""

    stage: str
    path: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.path} of the stage {self.stage}"

    def some_files(self) -> str:
        """How many files in it, and the first of them."""
        some = f" ({len(self.files)} files: {', '.join(self.files[:3])}{', ...' if len(self.files) > 3 else ''})"
        return some if self.files else ""


@dataclass(frozen=True)
class OtherValue:
    """A value that is not as recorded; None where one of both has no such value, or null.

    Attributes:
        share: how far off it is, as a share of what is allowed; infinite where nothing is.
    """

    file: str
    name: str
    recorded: Leaf
    made: Leaf
    share: float

    @property
    def within(self) -> bool:
        """Whether other roundings account for it."""
        return self.share <= 1

    def __str__(self) -> str:
        change = f"{self.file}: {self.name} {_shown(self.recorded)} -> {_shown(self.made)}"
        return change if math.isinf(self.share) else f"{change} ({100 * self.share:.0f} % of what is allowed)"


@dataclass(frozen=True)
class Verdict:
    """What the comparison found.

    Attributes:
        outs, values: how many there are to compare.
        other_outs: in pipeline order.
        other_values: by file, the farthest off first.
        reason: why it is different although every value is within tolerance; "" otherwise.
    """

    outs: int
    values: int
    other_outs: tuple[OtherOut, ...]
    other_values: tuple[OtherValue, ...]
    reason: str

    @property
    def word(self) -> Word:
        if not self.other_outs and not self.other_values:
            return "identical"
        if self.reason or not all(value.within for value in self.other_values):
            return "different"
        return "identical within tolerance"


def compare(recorded: Result, made: Result, *, same_software: bool) -> Verdict:
    """Compare every out and every value.

    Args:
        same_software: the packages here are those that the commit locked. Then bytes that differ while every number is
            exactly as recorded are no matter of roundings, which numbers of six digits show.
    """
    outs = tuple(_other_outs(recorded, made))
    values = tuple(_other_values(recorded.metrics, made.metrics))
    unexplained = outs and not values and same_software
    reason = (
        "every number and every package is exactly as recorded, these bytes are not; other roundings would have shown in "
        "the numbers, so that dvc.lock hardly records this result"
        if unexplained
        else ""
    )
    return Verdict(sum(map(len, recorded.outs.values())), sum(map(len, recorded.metrics.values())), outs, values, reason)


def _other_outs(recorded: Result, made: Result) -> Iterator[OtherOut]:
    for stage, outs in recorded.outs.items():
        now = made.outs.get(stage, {})
        for path in dict.fromkeys([*outs, *now]):
            if outs.get(path) == now.get(path):
                continue
            files: tuple[str, ...] = ()
            if path in recorded.files and path in made.files:
                there, here = recorded.files[path], made.files[path]
                files = tuple(sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name)))
            yield OtherOut(stage, path, files)


def _other_values(recorded: Metrics, made: Metrics) -> Iterator[OtherValue]:
    for file in dict.fromkeys([*recorded, *made]):
        there, here = recorded.get(file, {}), made.get(file, {})
        others = [
            OtherValue(file, name, there.get(name), here.get(name), _share(name, there.get(name), here.get(name)))
            for name in dict.fromkeys([*there, *here])
            if not (name in there and name in here and _same(there[name], here[name]))
        ]
        yield from sorted(others, key=lambda value: -value.share)


def _same(recorded: Leaf, made: Leaf) -> bool:
    return type(recorded) is type(made) and recorded == made


def _share(name: str, recorded: Leaf, made: Leaf) -> float:
    """Only decimals may differ, and which validation was the best: counts, digests and other words are what they are."""
    if CHOICE.fullmatch(name) and recorded is not None and made is not None:
        return 0.0
    if not (isinstance(recorded, float) and isinstance(made, float)):
        return math.inf
    allowed = LOSSES if LOSS.fullmatch(name) else SCORES
    return abs(recorded - made) / (allowed.absolute + allowed.relative * max(abs(recorded), abs(made)))


def leaves(data: bytes | None) -> dict[str, Leaf]:
    """The values of a file of metrics by dotted name; none where it is no JSON."""
    return dict(_leaves(read_json(data), ""))


def _leaves(value: Any, name: str) -> Iterable[tuple[str, Leaf]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{name}.{index}")
    else:
        yield name, value


def lines(verdict: Verdict, most: int = 8) -> list[str]:
    """The verdict for people: its word last, before it what differs, the first in pipeline order first."""
    said = [f"other bytes  {out}{out.some_files()}" for out in verdict.other_outs]
    shown: dict[str, int] = {}
    for value in verdict.other_values:
        shown[value.file] = shown.get(value.file, 0) + 1
        if shown[value.file] <= most:
            said.append(f"other value  {value}")
    said += [f"             {file}: and {count - most} more" for file, count in shown.items() if count > most]
    return [*said, _sentence(verdict)]


def _shown(value: Leaf) -> str:
    return "none" if value is None else str(value)


def _sentence(verdict: Verdict) -> str:
    same_outs, same_values = verdict.outs - len(verdict.other_outs), verdict.values - len(verdict.other_values)
    counts = f"{same_outs} of {verdict.outs} outs and {same_values} of {verdict.values} values are as recorded"
    if verdict.word == "identical":
        return f"identical: all {verdict.outs} outs and all {verdict.values} values are as recorded"
    farthest = max(verdict.other_values, key=lambda value: value.share, default=None)
    if verdict.word == "identical within tolerance":
        off = f"; the farthest off is {farthest}" if farthest else ""
        return f"identical within tolerance ({SCORES}; of losses {LOSSES}): {counts}{off}"
    first = f"; the first bytes that are not: {verdict.other_outs[0]}" if verdict.other_outs else ""
    beyond = f"; the value farthest off: {farthest}" if farthest and not farthest.within else ""
    return f"different: {counts}{first}{beyond}"
