"""Fixtures that many tests share: tiny configurations, and a tiny prepared data set made by the real modules."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import project
import pytest
import torch
import yaml
from hypothesis import settings
from project import mlflow_database, workspace
from repositories import finished

from cyclegan import config as configuration
from cyclegan.config import Config
from cyclegan.data import layout
from cyclegan.data.batches import Streaming
from cyclegan.data.inspection import inspect
from cyclegan.data.plan import Plan
from cyclegan.data.store import Store, Writer
from cyclegan.evaluation.validation import Judge
from cyclegan.levels import from_pixels
from cyclegan.sources import shapes
from cyclegan.training.loop import Samples
from cyclegan.training.state import Canvas, TrainState, initial
from cyclegan.training.validation import Validation

__all__ = ["finished", "mlflow_database", "workspace"]  # fixtures from project.py and repositories.py

PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"
TINY = project.TINY | {
    "dataset.n_val": 0,
    "train.validate_every_epochs": 0,
    "schedule.n_epochs_decay": 1,
    "train.precision": "float32",
    "runtime.checkpoint_every_seconds": 3600.0,
}
CPU = torch.device("cpu")

torch.set_num_threads(1)  # quicker than many for tiny networks, above all beside other work
settings.register_profile("cyclegan", deadline=None, derandomize=True)  # the same examples on every machine, fast or slow
settings.load_profile("cyclegan")


@pytest.fixture(scope="session")
def make_config() -> Callable[..., Config]:
    """make_config(**{"train.batch_size": 3}): the project's params.yaml, made tiny, with changes by dotted name."""
    text = PARAMS.read_text(encoding="utf-8")

    def make(**overrides: Any) -> Config:
        params = yaml.safe_load(text)
        for name, value in (TINY | overrides).items():
            *section, key = name.split(".")
            (params[section[0]] if section else params)[key] = value
        return configuration.parse(params, PARAMS.name)

    return make


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, make_config: Callable[..., Config]) -> Path:
    """A prepared folder of `shapes`: 6 training pictures of 36 px a domain and 4 true test pairs of 32 px."""
    config = make_config()
    raw, folder = (tmp_path_factory.mktemp("shapes") / name for name in ("raw", "prepared"))
    dataset = config.dataset
    source = shapes.make(raw, dataset.image_size, dataset.n_train, dataset.n_test, config.seed)
    writer = Writer(folder)
    report = inspect(raw, config, paired_test=True, use=writer.add)
    assert not report.failures
    writer.finish(vars(source), skipped=[])
    return folder


@dataclass(frozen=True)
class Data:
    """What the loop takes its pictures from."""

    plan: Plan
    loader: Streaming
    samples: Samples
    validation: Validation | None


@pytest.fixture(scope="session")
def make_data(prepared: Path) -> Callable[[Config], Data]:
    """make_data(config): plan, loader and samples over the prepared folder, as the train stage makes them."""
    store = Store(prepared)

    def make(config: Config) -> Data:
        train_A, train_B = store.open("train", "A"), store.open("train", "B")
        plan = Plan(
            seed=config.seed,
            n_A=len(train_A),
            n_B=len(train_B),
            batch_size=config.train.batch_size,
            pool_size=config.train.pool_size,
            flip=config.preprocess.flip,
        )
        held_out = [from_pixels(store.open("test", domain).stack(0, config.train.n_samples)) for domain in layout.DOMAINS]
        validation = None
        if config.dataset.val_fraction > 0:
            validation = Validation(*held_out, batch_size=1)
        if validation is not None and config.train.validate_every_epochs > 0:
            judge = Judge(config.train.validate_metric, *held_out, "the prepared pairs", paired=True, device=CPU)
            every, patience = config.train.validate_every_epochs, config.train.stop_after_validations
            validation = replace(validation, judge=judge, every=every, patience=patience)
        return Data(plan, Streaming(train_A, train_B, config.preprocess.crop_size), Samples(*held_out), validation)

    return make


@pytest.fixture(scope="session")
def make_state() -> Callable[[Config], TrainState]:
    """make_state(config): the state before the first step of a training on crops."""

    def make(config: Config) -> TrainState:
        canvas = Canvas(config.preprocess.crop_size, config.preprocess.crop_size)
        return initial(config, canvas, canvas, CPU)

    return make
