"""The only door to MLflow: one run a training, to which evaluation and export add."""

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclegan import images
from cyclegan.config import TrackingConfig
from cyclegan.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from torch import Tensor, nn

KEY_TAG = "train_key"
KIND_TAG = "mlflow.experimentKind"  # without it the UI may open with its pages for language models
FLUSH_SECONDS = 5.0
BATCH = 900  # metrics a request; MLflow takes 1000
POINTS = 50  # points of all curves together a request
PARAM_LENGTH, TAG_LENGTH = 6000, 8000  # MLflow cuts longer values without a word

FIRST_OF_CURVES = ("epoch", "val/cycle_A")  # of the training's curves, and of those of its validation
SAMPLE_STEP = re.compile(r"\+step\+(\d+)\+")


class Run:
    """An MLflow run that is written to through the client, whether it is still open or long finished."""

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self.client = client
        self.id = run_id

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log numbers under their names."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entries = [Metric(name, value, now, step) for name, value in values.items()]
        for start in range(0, len(entries), BATCH):
            self.client.log_batch(self.id, metrics=entries[start : start + BATCH])

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags; a value that MLflow would cut ends in an ellipsis instead."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.id, tags=[RunTag(name, _shorten(text, TAG_LENGTH)) for name, text in values.items()])

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file to the run's artifacts."""
        self.client.log_artifact(self.id, str(path), folder)

    def text(self, text: str, path: str) -> None:
        """Write a text file among the run's artifacts."""
        self.client.log_text(self.id, text, path)

    def tag(self, name: str) -> str | None:
        """A tag of the run, None if it is not set."""
        value: str | None = self.client.get_run(self.id).data.tags.get(name)
        return value

    def generator(self, name: str, network: "nn.Module", example: "Tensor") -> None:
        """Log a generator as an MLflow model whose batch, height and width are free.

        Args:
            name: the model's name, "G_AB" or "G_BA".
            network: float32 [N, C, H, W] -> [N, C', H, W], in evaluation mode, on the CPU.
            example: an input of at least two pictures.
        """
        import mlflow.pytorch
        import torch
        from mlflow.models import Model, ModelSignature
        from mlflow.types import Schema, TensorSpec

        with torch.no_grad():
            shapes = [(-1, tensor.shape[1], -1, -1) for tensor in (example, network(example))]
        inputs, outputs = (Schema([TensorSpec(example.numpy().dtype, shape)]) for shape in shapes)
        Model.log(
            artifact_path=None,
            flavor=mlflow.pytorch,
            name=name,
            run_id=self.id,
            pytorch_model=network,
            input_example=example.numpy(),  # of a tensor MLflow would make no python_function
            signature=ModelSignature(inputs=inputs, outputs=outputs),
            pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
            serialization_format="pt2",
        )


class TrainingRun(Run):
    """The run of a training while it trains: buffered curves, sample grids, system metrics, and an honest end.

    Once it is open, trouble with the store is a warning: training is worth more than its log, and curves wait and are
    sent when the store is back.
    """

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        super().__init__(client, run_id)
        self.pending: list[tuple[dict[str, float], int]] = []
        self.flushed_at = time.monotonic()
        # A resumed training repeats the steps after its last checkpoint, with the same values: they are there already.
        histories = {curve: client.get_metric_history(run_id, curve) for curve in FIRST_OF_CURVES}
        self.last_step = {
            curve: max((metric.step for metric in history), default=-1) for curve, history in histories.items()
        }
        names = [entry.path for entry in client.list_artifacts(run_id, "images")]
        self.sampled = {int(match[1]) for name in names if (match := SAMPLE_STEP.search(name))}

    def curve(self, values: dict[str, float], step: int) -> None:
        """Add a point to curves that go together, the first of them one of `FIRST_OF_CURVES`; sent every few seconds."""
        if step > self.last_step[next(iter(values))]:
            self.pending.append((values, step))
        if time.monotonic() - self.flushed_at >= FLUSH_SECONDS:
            with _as_warning("the curves wait"):
                self.flush()

    def flush(self) -> None:
        """Send the points that wait."""
        from mlflow.entities import Metric

        self.flushed_at = time.monotonic()
        now = int(time.time() * 1000)
        while self.pending:
            points = self.pending[:POINTS]
            entries = [Metric(name, value, now, step) for values, step in points for name, value in values.items()]
            self.client.log_batch(self.id, metrics=entries)
            del self.pending[: len(points)]

    def samples(self, step: int, grids: dict[str, images.Pixels]) -> None:
        """Log grids (uint8: MLflow would rescale floats by their own extremes) so that the UI steps through them."""
        if step not in self.sampled:
            with _as_warning(f"the sample grids of step {step} are lost"):
                for name, grid in grids.items():
                    self.client.log_image(self.id, grid, key=f"samples_{name}", step=step)

    def finish(self, status: str) -> None:
        """Send what waits and end the run as FINISHED, FAILED or KILLED."""
        import mlflow

        with _as_warning(f"the last points of run {self.id}, or its end as {status}, are lost"):
            mlflow.flush_artifact_async_logging()
            self.flush()
            mlflow.end_run(status)


@contextmanager
def _as_warning(consequence: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        print(f"warning: MLflow: {error}; {consequence}", flush=True)


def start_training(
    config: TrackingConfig,
    root: Path,
    run_id: str | None,
    name: str,
    params: Mapping[str, object],
    tags: Mapping[str, str],
    data: Mapping[str, str],
) -> TrainingRun:
    """Open the run of a training, or `run_id` again if it still exists.

    Args:
        root: the project's folder, where a local store lies.
        name: the run's name.
        params: what to log once as parameters.
        tags: among them the train_key, by which `find` finds the run.
        data: the data's source and digest, and the commit whose code prepared it.

    Raises:
        UserError: the store cannot be reached or used.
    """
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.exceptions import MlflowException

    client = _connect(config, root)
    if run_id is not None:
        try:
            if client.get_run(run_id).info.lifecycle_stage != "active":
                run_id = None
        except MlflowException:
            run_id = None
    mlflow.start_run(run_id=run_id, run_name=None if run_id else name, log_system_metrics=config.system_metrics)
    active = mlflow.active_run()
    assert active is not None
    try:
        run = TrainingRun(client, active.info.run_id)
        run.tags(tags)
        if run_id is None:
            mlflow.log_params({key: _shorten(str(value), PARAM_LENGTH) for key, value in params.items()})
            made_by = CodeDatasetSource(tags={name: data[name] for name in ("source", "commit")})
            data_set = MetaDataset(made_by, name=data["source"], digest=data["digest"])  # type: ignore[abstract]
            mlflow.log_input(data_set, context="training")
    except BaseException:
        mlflow.end_run("FAILED")  # else MLflow would end it as FINISHED when the process ends
        raise
    return run


def find(config: TrackingConfig, root: Path, train_key: str, name: str) -> Run:
    """The newest run of a training, finished ones before others; where there is none, a new one that says so.

    A clone that pulled trained weights from a cache has no run of the training itself.
    """
    client = _connect(config, root)
    experiment = client.get_experiment_by_name(config.experiment)
    assert experiment is not None
    runs = client.search_runs(
        [experiment.experiment_id], f"tags.{KEY_TAG} = '{train_key}'", order_by=["attributes.start_time DESC"]
    )
    finished = [run for run in runs if run.info.status == "FINISHED"]
    for run in finished or runs:
        return Run(client, run.info.run_id)
    tags = {
        KEY_TAG: train_key,
        "mlflow.note.content": "Weights trained elsewhere: only evaluation and export are logged here.",
    }
    created = client.create_run(experiment.experiment_id, run_name=f"{name} (trained elsewhere)", tags=tags)
    client.set_terminated(created.info.run_id, "FINISHED")
    return Run(client, created.info.run_id)


def _connect(config: TrackingConfig, root: Path) -> "MlflowClient":
    """A client of the configured store, with the experiment made if it is new."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    from filelock import FileLock
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    local = f"sqlite:///{root / 'mlflow.db'}"
    uri = config.uri or os.environ.get("MLFLOW_TRACKING_URI") or local
    mlflow.set_tracking_uri(uri)
    try:
        client = MlflowClient()
        with FileLock(root / ".mlflow.lock"):  # several processes creating one database at once fail
            if client.get_experiment_by_name(config.experiment) is None:
                artifacts = str(root / "mlartifacts") if uri == local else None
                client.create_experiment(config.experiment, artifacts, tags={KIND_TAG: "custom_model_development"})
        mlflow.set_experiment(config.experiment)
    except MlflowException as error:
        raise UserError(
            f"MLflow at {uri} cannot be used: {error}; start that server, set tracking.uri in params.yaml to another one, "
            f"or to null for the file mlflow.db"
        ) from None
    return client


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
