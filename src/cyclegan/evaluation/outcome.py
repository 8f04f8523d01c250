"""What an evaluation came to, as its files say: scores with their errors, and what two must share to be compared."""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

SUBJECT = "model"  # of the catalogue: the generators that are exported
SURE = 1.959964  # standard errors to each side of a value that hold the truth 95 times in 100, if errors are normal
DIGEST_SHOWN = 8
DIGEST_KEPT = 36  # digits of a digest that an MLflow run keeps of its data


@dataclass(frozen=True)
class Score:
    """A score, its standard error and its 95 % interval; None where there is none."""

    value: float
    se: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Outcome:
    """The scores of the generators that are exported, and what they were scored on.

    Attributes:
        scores: by direction and name.
        protocol: settings of the scores, by dotted name.
        pictures: how many test pictures each domain has; empty where that is not recorded.
        test_digest: of the test pictures; None in evaluations that do not record it.
        data_digest: of all prepared pictures, those of training included; None where it is not recorded.
        weights: best, ema or raw; "" where that is not recorded.
        attribution: what is to stand beside the pictures; "" where that is not recorded.
    """

    scores: Mapping[str, Mapping[str, Score]]
    protocol: Mapping[str, str]
    pictures: Mapping[str, int]
    test_digest: str | None
    data_digest: str | None
    weights: str
    attribution: str = ""


@dataclass(frozen=True)
class Difference:
    """How much better a score is than another.

    Attributes:
        better_by: above 0 if the first is better; by how much.
        error: half of the 95 % interval of the difference; None where one of the two has no error.
    """

    better_by: float
    error: float | None

    @property
    def shown(self) -> bool:
        """Whether the test pictures show it: it is more than its error."""
        return self.error is not None and abs(self.better_by) > self.error


def read(evaluate: Mapping[str, Any], table: str | None, data_digest: str | None, settings: Mapping[str, str]) -> Outcome:
    """The outcome that metrics/evaluate.json holds, with the errors that reports/scores.csv holds.

    Args:
        evaluate: what the one file holds.
        table: the text of the other; None for evaluations that have none.
        data_digest: of the prepared pictures.
        settings: the protocol, for evaluations that do not say it themselves.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: the files are not what the evaluate stage writes.
    """
    errors = {(row["direction"], row["metric"]): row for row in _rows(table)}
    protocol = dict(evaluate["protocol"]) if "protocol" in evaluate else dict(settings)
    test_digest = protocol.pop("test_digest", None)
    scores = {
        direction: {
            name: _score(value, errors.get((direction, name), {}))
            for name, value in evaluate[direction][SUBJECT].items()
            if value is not None
        }
        for direction in ("A_to_B", "B_to_A")
    }
    pictures = {name: int(count) for name, count in evaluate.get("pictures", {}).items()}
    flat = {name: str(value) for name, value in _flat(protocol)}
    weights, attribution = (evaluate.get(name, "") for name in ("weights", "attribution"))
    return Outcome(scores, flat, pictures, test_digest, data_digest, weights, attribution)


def obstacles(one: Outcome, other: Outcome) -> list[str]:
    """Why the scores of two must not be compared; empty if they may be."""
    found = []
    digests = one.test_digest, other.test_digest
    data = one.data_digest, other.data_digest
    if all(digests):
        if digests[0] != digests[1]:
            found.append(f"the test pictures are others ({_both(*digests)})")
    elif all(data):
        if (data[0] or "")[:DIGEST_KEPT] != (data[1] or "")[:DIGEST_KEPT]:
            found.append(f"the prepared pictures are others ({_both(*data)})")
    else:
        found.append("which test pictures were scored is not recorded of both")
    if one.pictures and other.pictures and one.pictures != other.pictures:
        counts = [" and ".join(str(count) for count in each.pictures.values()) for each in (one, other)]
        found.append(f"{counts[0]} test pictures against {counts[1]}")
    if not one.protocol.keys() & other.protocol.keys():
        return [*found, "the settings of their scores are not recorded alike: different versions scored them"]
    for name in sorted(one.protocol.keys() | other.protocol.keys()):
        values = [each.protocol.get(name, "not recorded") for each in (one, other)]
        if values[0] != values[1]:
            found.append(f"{name} is {values[0]} against {values[1]}")
    return found


def difference(one: Score, other: Score, better: Literal["lower", "higher"]) -> Difference:
    """How much better `one` is than `other`.

    Both were scored on the same pictures, so their errors partly go together: the error of the difference, which takes
    them for independent, is rather too large than too small.
    """
    gain = one.value - other.value if better == "higher" else other.value - one.value
    known = one.se is not None and other.se is not None
    return Difference(gain, SURE * math.hypot(one.se or 0.0, other.se or 0.0) if known else None)


def with_error(value: float, se: float | None, low: float | None = None, high: float | None = None) -> Score:
    """A score whose interval follows from its standard error where it is not given."""
    if se is not None and (low is None or high is None):
        low, high = value - SURE * se, value + SURE * se
    return Score(value, se, low, high)


def _rows(table: str | None) -> list[dict[str, str]]:
    return [row for row in csv.DictReader(io.StringIO(table or "")) if row["subject"] == SUBJECT]


def _score(value: float, row: Mapping[str, str]) -> Score:
    return with_error(float(value), *(_number(row.get(name)) for name in ("se", "low", "high")))


def _number(cell: str | None) -> float | None:
    number = float(cell) if cell else math.nan
    return number if math.isfinite(number) else None


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _both(one: str | None, other: str | None) -> str:
    return f"{(one or '')[:DIGEST_SHOWN]}, {(other or '')[:DIGEST_SHOWN]}"
