"""Logs as stages write them, stores that fail at an exact request, and what a store holds in the end."""

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from cyclegan import tracking
from cyclegan.config import TrackingConfig
from cyclegan.tracking import outbox, recorder, sender, store

DATA = {"source": "shapes", "digest": "d" * 36, "commit": "c" * 40}
PARAMS = {"a": 1, "long": "x" * 7000}
TAGS = {"mlflow.source.git.commit": "c" * 40, "long": "y" * 9000}
CONFIG = TrackingConfig(experiment="test", uri=None, system_metrics=False)
OPEN = store.open_store
GRID = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)


@pytest.fixture
def root(tmp_path: Path, mlflow_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with an empty store, of which nothing else knows."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    shutil.copy(mlflow_database, tmp_path / "mlflow.db")
    return tmp_path


def store_in(root: Path, **changes: Any) -> tracking.Store:
    return tracking.store_of(CONFIG.model_copy(update=changes), root)


def start(root: Path, training_id: str, key: str = "k1", to: tracking.Store | None = None) -> tracking.TrainingRecorder:
    """A training's log, with its thread."""
    return tracking.start_training(
        to or store_in(root), root, training_id, key, "name", PARAMS, TAGS, DATA, system_metrics=False
    )


class Unsent:
    """Instead of the thread that sends: nobody does."""

    def finish(self) -> bool:
        return True


def write_only(
    root: Path, training_id: str, key: str = "k1", to: tracking.Store | None = None
) -> recorder.TrainingRecorder:
    """A training's log without its thread: all that it says waits until `sync`, if `close` is called."""
    about = {"training_id": training_id, "train_key": key, "name": "name", "store": vars(to or store_in(root))}
    about |= {"params": {name: str(value) for name, value in PARAMS.items()}, "tags": TAGS, "data": DATA}
    box = outbox.Outbox(root / outbox.FOLDER / training_id, about)
    return recorder.TrainingRecorder(box, Unsent(), system_metrics=False)  # type: ignore[arg-type]


def write_addition(root: Path, key: str = "k1", to: tracking.Store | None = None) -> recorder.Recorder:
    """What evaluation and export add, without its thread."""
    about = {"training_id": None, "train_key": key, "name": "name", "store": vars(to or store_in(root))}
    return recorder.Recorder(outbox.Outbox(root / outbox.FOLDER / uuid4().hex, about))


def train(log: recorder.TrainingRecorder, steps: range, measured: range = range(0)) -> None:
    """What a training says between its begin and its end; the same step, the same values."""
    for step in steps:
        log.curve({"epoch": 1.0, "loss/x": step / 10, "lr": 0.1}, step)
        if step % 2 == 0:
            log.curve({"val/cycle_A": step / 7, "val/cycle_B": step / 9}, step)
            log.curve({"health/failing": 0.0, "health/A_to_B/copying": step / 11}, step)
            log.samples(step, {"A_to_B": GRID + step, "B_to_A": GRID - step})
    for number in measured:
        log.outbox.add("system", values={sender.SYSTEM: number, "system/memory": -number}, time=1_000_000 + number)


class Faulty:
    """A client whose n-th request is cut: before the store has it, or before its answer comes back."""

    def __init__(self, client: Any, requests: "Requests") -> None:
        self.client, self.requests = client, requests

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.client, name)

        def request(*arguments: Any, **keywords: Any) -> Any:
            number = next(self.requests.numbers)
            self.requests.names.append(name)
            if (number, "before") == self.requests.cut:
                raise OSError("cut")
            answer = real(*arguments, **keywords)
            if (number, "after") == self.requests.cut:
                raise OSError("cut")
            return answer

        return request


class Requests:
    """Counts requests, and cuts one."""

    def __init__(self, cut: tuple[int, str] | None = None) -> None:
        self.cut = cut
        self.numbers = itertools.count()
        self.names: list[str] = []


def through(requests: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every client from now on be one of these."""

    def opened(to: tracking.Store) -> tuple[Any, str]:
        client, experiment_id = OPEN(to)
        return Faulty(client, requests), experiment_id

    monkeypatch.setattr(store, "open_store", opened)


def runs(root: Path, tag: tuple[str, str] | None = None) -> list[Mapping[str, Any]]:
    """Of each run, or those of a tag, what matters, older first: everything but times."""
    from mlflow import MlflowClient

    client = MlflowClient(store_in(root).uri)
    experiment = client.get_experiment_by_name(CONFIG.experiment)
    if experiment is None:
        return []
    of_tag = f"tags.{tag[0]} = '{tag[1]}'" if tag else ""
    found = client.search_runs([experiment.experiment_id], of_tag, order_by=["attributes.start_time ASC"])
    models = client.search_logged_models([experiment.experiment_id])
    return [_facts(client, run, models) for run in found]


def _facts(client: Any, run: Any, models: Any) -> Mapping[str, Any]:
    run_id = run.info.run_id
    own = [model for model in models if model.source_run_id == run_id]
    assert sorted(model.model_id for model in own) == sorted(output.model_id for output in run.outputs.model_outputs)
    return {
        "id": run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "params": run.data.params,
        "tags": run.data.tags,
        "metrics": {
            name: [(point.step, point.value) for point in client.get_metric_history(run_id, name)]
            for name in sorted(run.data.metrics)
        },
        "artifacts": sorted(_paths(client, run_id)),
        "inputs": [(entry.dataset.name, entry.dataset.digest) for entry in run.inputs.dataset_inputs],
        "models": sorted(
            (model.name, str(model.status), tuple(sorted((score.key, score.value) for score in model.metrics or ())))
            for model in own
        ),
    }


def _paths(client: Any, run_id: str, folder: str | None = None) -> list[tuple[str, int]]:
    """Files and their sizes; names of pictures without date and id."""
    found: list[tuple[str, int]] = []
    for entry in client.list_artifacts(run_id, folder):
        if entry.is_dir:
            found += _paths(client, run_id, entry.path)
        else:
            name, _, rest = entry.path.partition("+timestamp+")
            found.append((name + rest.partition("+")[2][36:], entry.file_size))  # without 1762000000000+UUID
    return found
