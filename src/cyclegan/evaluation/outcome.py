"""What an evaluation came to, as its files say: scores with their errors, and what two must share to be compared."""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cyclegan.evaluation.certainty import Score, with_error

SUBJECT = "model"  # of the catalogue: the generators that are exported
GENERATORS = (SUBJECT, "best", "last", "last_ema")  # the subjects that are neither trivial answers nor real pictures
DIRECTIONS = ("A_to_B", "B_to_A")
DIGEST_SHOWN = 8
DIGEST_KEPT = 36  # digits of a digest that an MLflow run keeps of its data

Everybodys = Mapping[tuple[str, str], Score]  # by subject and name


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
        everybodys: by direction, the scores of all subjects, trivial answers among them, by subject and name; empty where
            they are not recorded.
    """

    scores: Mapping[str, Mapping[str, Score]]
    protocol: Mapping[str, str]
    pictures: Mapping[str, int]
    test_digest: str | None
    data_digest: str | None
    weights: str
    attribution: str = ""
    everybodys: Mapping[str, Everybodys] = field(default_factory=dict)


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
    errors = {(row["direction"], row["subject"], row["metric"]): row for row in _rows(table)}
    protocol = dict(evaluate["protocol"]) if "protocol" in evaluate else dict(settings)
    test_digest = protocol.pop("test_digest", None)
    everybodys = {
        direction: {
            (subject, name): _score(value, errors.get((direction, subject, name), {}))
            for subject, values in evaluate[direction].items()
            for name, value in values.items()
            if value is not None
        }
        for direction in DIRECTIONS
    }
    for direction in DIRECTIONS:
        evaluate[direction][SUBJECT]  # without which it is no evaluation
    pictures = {name: int(count) for name, count in evaluate.get("pictures", {}).items()}
    flat = {name: str(value) for name, value in _flat(protocol)}
    weights, attribution = (evaluate.get(name, "") for name in ("weights", "attribution"))
    return Outcome(of_model(everybodys), flat, pictures, test_digest, data_digest, weights, attribution, everybodys)


def of_model(everybodys: Mapping[str, Everybodys]) -> dict[str, dict[str, Score]]:
    """The scores of the generators that are exported, by direction and name."""
    return {way: {name: score for (who, name), score in own.items() if who == SUBJECT} for way, own in everybodys.items()}


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


def _rows(table: str | None) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table or "")))


def _score(value: float, row: Mapping[str, str]) -> Score:
    se, low, high, se_from_model = (_number(row.get(name)) for name in ("se", "low", "high", "se_from_model"))
    return replace(with_error(float(value), se, low, high), se_from_model=se_from_model)


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
