"""Generators as MLflow models with signatures, for `models:/` addresses."""

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cyclegan.tracking.store import Connection

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

WEIGHTS = "generator.safetensors"
RECORD_TAG, DIGEST_TAG = "record", "sha256"  # which call logged a model, and the digest of its weights' file


def digest_of(folder: Path) -> str:
    """The SHA-256 of the weights of a generator's folder."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def log_generator(to: Connection, folder: Path, record: str, example_side: int) -> "LoggedModel":
    """Log the generator of a folder as an MLflow model of the run, whose batch, height and width are free.

    MLflow's `log_model` in its single steps: it cannot go on with a model where an earlier attempt was cut.

    Args:
        record: a model that was logged, or begun, under this name is that model.
        example_side: side in px of the pictures that serve as its input example.
    """
    import mlflow.pytorch
    import torch  # here, so that who only reads runs need not wait for it
    from mlflow.entities import LoggedModelOutput, Metric
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    from cyclegan import randomness
    from cyclegan.models.networks import any_size
    from cyclegan.models.weights import load_generator

    network, spec = load_generator(folder, torch.device("cpu"))
    client, run_id, experiment_id = to.client, to.run_id, to.experiment_id
    tags = {RECORD_TAG: record, DIGEST_TAG: digest_of(folder)}
    run = client.get_run(run_id)
    model = next(iter(client.search_logged_models([experiment_id], f"tags.{RECORD_TAG} = '{record}'")), None)
    if model is None:
        model = client.create_logged_model(experiment_id, spec.direction, run_id, tags, run.data.params)
    if model.status == "READY":
        return model
    noise = randomness.generator(0, "example").random((2, spec.channels_in, example_side, example_side), dtype="float32")
    example = 2 * noise - 1
    with torch.no_grad():
        shapes = [(-1, pictures.shape[1], -1, -1) for pictures in (example, network(torch.from_numpy(example)))]
    inputs, outputs = (Schema([TensorSpec(example.dtype, shape)]) for shape in shapes)
    with tempfile.TemporaryDirectory() as temporary, any_size():
        mlflow.pytorch.save_model(
            network,
            f"{temporary}/model",
            mlflow_model=Model(model.artifact_location, run_id, model_uuid=model.model_id, model_id=model.model_id),
            input_example=example,  # of a tensor MLflow would make no python_function
            signature=ModelSignature(inputs=inputs, outputs=outputs),
            pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
            serialization_format="pt2",
        )
        client.log_model_artifacts(model.model_id, f"{temporary}/model")
    if model.model_id not in [output.model_id for output in (run.outputs.model_outputs if run.outputs else ())]:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    scores = [client.get_metric_history(run_id, name)[-1] for name in run.data.metrics if name.startswith("test/")]
    data = [entry.dataset for entry in (run.inputs.dataset_inputs if run.inputs else ())]
    of = {"dataset_name": data[0].name, "dataset_digest": data[0].digest} if data else {}  # none where trained elsewhere
    of_model = [Metric(s.key, s.value, s.timestamp, s.step, model.model_id, run_id=run_id, **of) for s in scores]
    client.log_batch(run_id, metrics=of_model)
    return client.finalize_logged_model(model.model_id, "READY")


def logged_generator(to: Connection, digest: str) -> "LoggedModel | None":
    """A model of the run whose weights have this digest; None where none is whole."""
    found = to.client.search_logged_models([to.experiment_id], f"tags.{DIGEST_TAG} = '{digest}'")
    return next((model for model in found if model.source_run_id == to.run_id and model.status == "READY"), None)
