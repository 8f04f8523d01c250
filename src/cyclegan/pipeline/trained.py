"""What a model folder says of itself."""

from pathlib import Path
from typing import Any, Literal

from cyclegan.errors import UserError
from cyclegan.models.specs import TRAIN_KEY
from cyclegan.pipeline import paths
from cyclegan.pipeline.files import read_json

SUBJECTS = {"best": "best", "raw": "last", "ema": "last_ema"}  # of an evaluation, by the weights that are scored


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


def choose_weights(model: Path, wanted: Literal["auto", "best", "ema", "raw"]) -> dict[str, str]:
    """Which weights of a model folder are scored, by subject.

    "model" is what is exported. Where validation chose the best, the others stand beside it: "best", "last", the weights as
    trained, and "last_ema", their averages.

    Raises:
        UserError: the folder holds none of the kind that is wanted.
    """
    kept = [weights for weights in ("best", "ema", "raw") if paths.generator(model, "G_AB", weights).is_dir()]
    if wanted not in ("auto", "raw", *kept):
        why = "no averages (train.ema_decay was 0)" if wanted == "ema" else "none chosen by validation"
        raise UserError(f"evaluate.weights is {wanted} in params.yaml, but {model} holds {why}; set it to auto")
    chosen = wanted if wanted != "auto" else (kept or ["raw"])[0]
    subjects = {"model": chosen}
    if "best" in kept:
        subjects |= {subject: weights for weights, subject in SUBJECTS.items() if weights in kept and weights != chosen}
    return subjects
