"""What the stages read and write, relative to the workspace; dvc.yaml says the same, and a test compares the two."""

from pathlib import Path
from typing import Literal

RAW = Path("data/raw")
PREPARED = Path("data/prepared")
PREVIEWS: dict[Literal["A", "B"], Path] = {"A": Path("reports/preview_A.png"), "B": Path("reports/preview_B.png")}
PROBLEMS = Path("reports/problems.csv")
DATASET_METRICS = Path("metrics/dataset.json")
TRAINED = Path("models/trained")
TRAINING = "training.json"  # in a model folder: where its weights come from
STATE = "state.safetensors"  # in a model folder: all that `train.continue_from` needs
HISTORY = Path("reports/history.csv")
VALIDATION = Path("reports/validation.csv")
SAMPLES = {"A_to_B": Path("reports/samples_A_to_B.png"), "B_to_A": Path("reports/samples_B_to_A.png")}
TRAIN_METRICS = Path("metrics/train.json")
EVALUATE_METRICS = Path("metrics/evaluate.json")
SCORES = Path("reports/scores.csv")
PER_PICTURE = Path("reports/per_picture.csv")
GALLERIES = {"A_to_B": Path("reports/gallery_A_to_B.png"), "B_to_A": Path("reports/gallery_B_to_A.png")}
REPORT = Path("reports/evaluation.html")
EXPORTED = Path("models/exported")
EXPORT_METRICS = Path("metrics/export.json")

# Under the project's folder, not the workspace, and never a DVC output:
CHECKPOINTS = Path(".checkpoints")
DOWNLOADS = Path(".downloads")
FEATURES = Path(".features")


def generator(model: Path, name: str, weights: str) -> Path:
    """The folder of a generator in a model folder: name "G_AB" or "G_BA", weights "raw", "ema" or "best"."""
    return model / (name if weights == "raw" else f"{name}_{weights}")
