"""Each of the four published CycleGANs, by its preset, through the whole pipeline on drawn pictures at reduced size."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from project import copy_project, run, set_params
from safetensors.torch import load_file

from cyclegan.pipeline import paths

REDUCED = {  # size, number and time; what makes the method stays as the preset says
    "dataset.name": "shapes",
    "dataset.image_size": 36,
    "dataset.n_train": 3,
    "dataset.n_test": 3,
    "preprocess.load_size": 36,
    "preprocess.crop_size": 32,
    "model.ngf": 2,
    "model.ndf": 2,
    "schedule.n_epochs": 1,
    "schedule.n_epochs_decay": 1,
    "train.history_every_steps": 1,
    "train.n_samples": 2,
    "evaluate.protocols": [],
    "evaluate.gallery_size": 2,
    "tracking.system_metrics": False,
    "runtime.device": "cpu",
}
U_NET = {"preprocess.load_size": 256, "preprocess.crop_size": 256}  # which halves its pictures eight times
STAGES = """
from pathlib import Path
from cyclegan import config
from cyclegan.pipeline import download, evaluate, export, preprocess, train
settings = config.load(Path("params.yaml"))
download.download(settings, lambda: None)
preprocess.preprocess(settings, lambda: None)
train.train(settings, lambda: None)
evaluate.evaluate(settings, lambda: None)
export.export(settings, lambda: None)
"""


@pytest.fixture
def trained(tmp_path: Path, mlflow_database: Path) -> Callable[..., tuple[Path, dict[str, Any]]]:
    """trained("course", **overrides): a project that went through all stages under the preset, and its parameters."""

    def train(preset: str, **overrides: Any) -> tuple[Path, dict[str, Any]]:
        project = copy_project(tmp_path / "project")
        shutil.copy(mlflow_database, project / "mlflow.db")
        run(project, "cyclegan", "preset", "apply", preset, GIT_CEILING_DIRECTORIES=str(tmp_path))
        set_params(project, REDUCED | overrides)
        run(project, sys.executable, "-c", STAGES, GIT_CEILING_DIRECTORIES=str(tmp_path))
        return project, yaml.safe_load((project / "params.yaml").read_text())

    return train


def specs(project: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the exported generator and the trained discriminator say they are."""
    generator = json.loads((project / paths.EXPORTED / "G_AB/generator.json").read_text())
    return generator, json.loads((project / paths.TRAINED / "D_B/discriminator.json").read_text())


def has_learnt_statistics(project: Path) -> bool:
    """Whether BatchNorm's running means of the exported generator have left their zeros."""
    tensors = load_file(project / paths.EXPORTED / "G_AB/generator.safetensors")
    return all(bool(tensor.any()) for key, tensor in tensors.items() if key.endswith("running_mean"))


def history(project: Path) -> pd.DataFrame:
    table = pd.read_csv(project / paths.HISTORY)
    assert table.notna().all().all()
    return table


def test_reference(trained: Callable[..., tuple[Path, dict[str, Any]]]) -> None:
    project, params = trained("reference")
    generator, discriminator = specs(project)
    assert (generator["netG"], generator["norm"], generator["weights"]) == ("resnet_9blocks", "instance", "raw")
    assert (discriminator["netD"], discriminator["n_layers"]) == ("basic", 3)
    assert params["loss"]["lambda_identity"] == 0.5
    table = history(project)
    assert {"idt_A", "idt_B", "cycle_A", "D_A"} <= set(table)
    assert table["lr"].tolist() == pytest.approx([0.0002] * 3 + [0.0001] * 3)


def test_walkthrough(trained: Callable[..., tuple[Path, dict[str, Any]]]) -> None:
    project, params = trained("walkthrough", **{"dataset.limit": 2})
    assert params["loss"]["score_per"] == "picture"
    assert params["preprocess"]["mode"] == "scale_shortside_and_crop"
    counts = json.loads((project / paths.DATASET_METRICS).read_text())
    assert [counts[name]["pictures"] for name in ("trainA", "trainB", "testA", "testB")] == [2, 2, 2, 2]
    assert "idt_A" in history(project)


def test_course(trained: Callable[..., tuple[Path, dict[str, Any]]]) -> None:
    project, _ = trained("course", **U_NET)
    generator, discriminator = specs(project)
    assert (generator["netG"], generator["norm"], discriminator["norm"]) == ("unet_256", "batch", "batch")
    assert has_learnt_statistics(project)
    assert "idt_A" not in history(project)


def test_male2female(trained: Callable[..., tuple[Path, dict[str, Any]]]) -> None:
    project, params = trained("male2female")
    generator, discriminator = specs(project)
    assert (generator["norm"], discriminator["netD"]) == ("batch", "same_size")
    assert has_learnt_statistics(project)
    assert params["train"]["epoch_length"] == "min"
    assert "idt_A" not in history(project)
