"""What a report is made of: plain data, so that anybody can make one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from cyclegan.images import Pixels

DIRECTIONS = {"A_to_B": ("A", "B"), "B_to_A": ("B", "A")}


@dataclass(frozen=True)
class Row:
    """A test picture and what became of it, each uint8 [H, W, C] in 0..255 with C of 1 or 3.

    Attributes:
        input: the picture.
        output: its translation.
        truth: its true counterpart; None where there is none.
        rebuilt: the input, reconstructed from the output.
    """

    input: Pixels
    output: Pixels
    truth: Pixels | None
    rebuilt: Pixels


class Rows(Protocol):
    """The test pictures of a direction in the order of per-picture scores; only those that are shown are asked for."""

    def __getitem__(self, index: int, /) -> Row:
        """The picture of a place."""


@dataclass(frozen=True)
class Origin:
    """Where the generators and the pictures come from.

    Attributes:
        model: the folder of the generators.
        train_key: names their training.
        weights: which of its weights were scored: best, ema or raw.
        best: how the best ones were chosen, as training.json says: epoch, step, weights, metric, value, se; else None.
        trained_on: the digest of the prepared pictures they were trained on; None where it is not recorded.
        scored_on: that of the prepared pictures they were scored on.
        test_digest: that of the test pictures alone, which scores depend on.
    """

    model: str
    train_key: str
    weights: str
    best: Mapping[str, Any] | None
    trained_on: str | None
    scored_on: str
    test_digest: str


@dataclass(frozen=True)
class Evaluation:
    """All that a report shows.

    Attributes:
        source: of the pictures, as its provenance says: name, domain_A, domain_B, licence, attribution.
        scores: rows of scores.csv: direction, subject, metric, value, se, low, high, pictures.
        per_picture: rows of per_picture.csv: direction, file, and scores.
        pictures: the test pictures of each direction.
        history: rows of history.csv: step, epoch, losses, lr; empty where they are not known.
        validation: rows of validation.csv: step, epoch, weights, direction, metric, value, se; may be empty.
        settings: parameters by dotted name.
        origin: of generators and pictures.
        health: values of the checks of health at the end of training, by direction or discriminator and check;
            may be empty.
    """

    source: Mapping[str, Any]
    scores: pd.DataFrame
    per_picture: pd.DataFrame
    pictures: Mapping[str, Rows]
    history: pd.DataFrame
    validation: pd.DataFrame
    settings: Mapping[str, object]
    origin: Origin
    health: Mapping[str, Mapping[str, float]]
