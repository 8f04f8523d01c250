"""What a report is made of, gathered from what evaluation has and what the model's folder says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from cyclegan import images
from cyclegan.config import EvaluateConfig
from cyclegan.data.store import test_digest
from cyclegan.errors import UserError
from cyclegan.levels import to_pixels
from cyclegan.pipeline import paths
from cyclegan.report.contents import Evaluation, Origin, Row

COLUMNS = ["step", "epoch", "weights", "direction", "metric", "value", "se"]


@dataclass(frozen=True)
class Shown:
    """A direction's test pictures and what became of them, float32 [N, C, H, W] in [-1, 1]; `truth` where it is known."""

    real: Tensor
    fake: Tensor
    reconstructed: Tensor
    truth: Tensor | None


class _Rows:
    """Pictures as the report takes them, made when they are asked for: it shows few of many."""

    def __init__(self, pictures: Shown) -> None:
        self.pictures = pictures

    def __getitem__(self, index: int) -> Row:
        own = self.pictures
        truth = None if own.truth is None else _pixels(own.truth, index)
        return Row(_pixels(own.real, index), _pixels(own.fake, index), truth, _pixels(own.reconstructed, index))


def compose(
    model: Path,
    training: Mapping[str, Any],
    data: Mapping[str, Any],
    weights: str,
    settings: EvaluateConfig,
    scores: pd.DataFrame,
    per_picture: pd.DataFrame,
    pictures: Mapping[str, Shown],
) -> Evaluation:
    """What the report of an evaluation shows.

    Curves are those that lie in the model's folder, so that they are of its training whatever else was trained since;
    imported models have none.

    Args:
        model: the folder of the generators.
        training: what its training.json says.
        data: the summary of the prepared pictures.
        weights: which of the model's weights were scored: best, ema or raw.
        settings: of the evaluation.
        scores, per_picture: as in scores.csv and per_picture.csv.
        pictures: of each direction, in the order of its rows in `per_picture`.

    Raises:
        UserError: the model's curves are damaged.
    """
    trained_on = training.get("data") or {}
    return Evaluation(
        source=data["source"],
        scores=scores,
        per_picture=per_picture,
        pictures={direction: _Rows(own) for direction, own in pictures.items()},
        history=_curves(model / paths.HISTORY.name, ["step", "epoch"]),
        validation=_curves(model / paths.VALIDATION.name, COLUMNS),
        settings={
            **training.get("params", {}),
            **{f"evaluate.{name}": value for name, value in settings.model_dump(mode="json").items()},
        },
        origin=Origin(
            model.as_posix(),
            training["train_key"],
            weights,
            training.get("best"),
            trained_on.get("digest"),
            data["digest"],
            test_digest(data),
        ),
        health=training.get("health", {}),
    )


def _curves(path: Path, columns: list[str]) -> pd.DataFrame:
    """A table of curves; empty where there is none."""
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        return pd.DataFrame(columns=columns)
    except (ValueError, OSError) as error:
        raise UserError(f"{path} is damaged: {error}; restore it with `dvc checkout`, or delete it") from None
    missing = [name for name in columns if name not in table]
    if missing:
        raise UserError(f"{path} is damaged: it has no {missing[0]}; restore it with `dvc checkout`, or delete it")
    return table


def _pixels(pictures: Tensor, index: int) -> images.Pixels:
    pixels: images.Pixels = to_pixels(pictures[index : index + 1])[0]
    return pixels
