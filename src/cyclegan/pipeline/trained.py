"""What a model folder says of itself."""

from pathlib import Path
from typing import Any

from cyclegan.errors import UserError
from cyclegan.models.specs import TRAIN_KEY
from cyclegan.pipeline import paths
from cyclegan.pipeline.files import read_json


def read_training(model: Path) -> dict[str, Any]:
    """What a model folder says of the training that made it: its `train_key`, its source, its parameters.

    Raises:
        UserError: it says nothing, or the key is none.
    """
    training = read_json(model / paths.TRAINING)
    key = training.get("train_key")
    if not isinstance(key, str) or not key or not TRAIN_KEY.fullmatch(key):
        raise UserError(
            f"{model / paths.TRAINING} is damaged: its train_key is no key; restore it with `dvc checkout`, or import or "
            f"train the model again"
        )
    return training
