"""An MLflow store: a server or a database, the experiment in it, and the run that an outbox is for."""

import contextlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from filelock import FileLock

from cyclegan.config import TrackingConfig
from cyclegan.errors import UserError
from cyclegan.tracking import imports, moved
from cyclegan.tracking.values import PARAM_LENGTH, TAG_LENGTH, shorten, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY_TAG = "train_key"
ID_TAG = "training_id"
NOTE_TAG = "mlflow.note.content"
KIND_TAG = "mlflow.experimentKind"  # without it the UI may open with its pages for language models
APART = "CYCLEGAN_TRACKING_URI"  # by which `cyclegan reproduce` keeps the runs of a commit's stages apart
SERVERS = ("http", "https", "postgresql", "mysql", "mssql")
LOCK, ARTIFACTS = ".mlflow.lock", "mlartifacts"  # in the project's folder, or beside a database elsewhere
PARAMS_A_REQUEST = 100
LOCK_SECONDS = 60
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # with the password in it
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # at once, for a connection that lay idle; MLflow's own: 7, over minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # seconds; MLflow's own: 120
}


class WaitsError(Exception):
    """A run cannot be added to before the log of its training has made it."""


@dataclass(frozen=True)
class Store:
    """Where runs are kept.

    Attributes:
        uri: as MLflow takes it.
        experiment: its name.
        artifacts: where a new experiment's files go; None: where the store says.
        lock: held while the database may be created.
    """

    uri: str
    experiment: str
    artifacts: str | None
    lock: str

    @property
    def database(self) -> Path | None:
        """The file that it is; None for a server."""
        return Path(self.uri.partition(":///")[2]) if self.uri.startswith("sqlite") else None

    @property
    def missing(self) -> bool:
        """Whether it is a file that is not there; a client would make it."""
        return self.database is not None and not self.database.is_file()

    def __str__(self) -> str:
        """The address without a password."""
        return without_password(self.uri)


def store_of(config: TrackingConfig, root: Path) -> Store:
    """The store that params.yaml and the environment name; by default the file mlflow.db in the project's folder.

    What `APART` names comes before what params.yaml says.

    Raises:
        UserError: not the address of a server or of a database in a file.
    """
    local = f"sqlite:///{root / 'mlflow.db'}"
    apart = os.environ.get(APART)
    uri = apart or config.uri or os.environ.get("MLFLOW_TRACKING_URI") or local
    if not _is_address(uri):
        variable = f"the environment variable {APART if apart else 'MLFLOW_TRACKING_URI'}"
        name = "tracking.uri in params.yaml" if config.uri and not apart else variable
        raise UserError(
            f"{name} is {without_password(uri)}; it must be the address of an MLflow server (http://HOST:5000) or a "
            f"database (sqlite:///FILE.db, postgresql://...): MLflow no longer writes runs to plain folders"
        )
    if uri.startswith("http"):
        return Store(uri, config.experiment, None, str(root / LOCK))
    if not uri.startswith("sqlite"):
        return Store(uri, config.experiment, str(root / ARTIFACTS), str(root / LOCK))
    start, _, file = uri.partition(":///")
    database = root / file  # a stage of a DVC experiment runs in another folder, `cyclegan sync` anywhere
    place = database.parent
    return Store(f"{start}:///{database}", config.experiment, str(place / ARTIFACTS), str(place / f".{database.stem}.lock"))


def _is_address(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return False
    kind = parts.scheme.partition("+")[0]
    if kind == "sqlite":
        return ":///" in uri and parts.path.strip("/") not in ("", ":memory:")
    return kind in SERVERS and bool(parts.netloc)


@dataclass(frozen=True)
class Connection:
    """A run in a store, to be written to."""

    client: "MlflowClient"
    experiment_id: str
    run_id: str


def connect(store: Store, about: Mapping[str, Any], *, training_waits: bool) -> Connection:
    """Find the run that `about` describes, or make it; the experiment and the database too.

    Args:
        training_waits: the log of the training that `about` is to be added to waits itself; the run must come from there.

    Raises:
        MlflowException, OSError: the store cannot be reached or used.
        WaitsError: the training's own log must be sent first.
    """
    client, experiment_id = open_store(store)
    if about["training_id"] is None:
        return Connection(client, experiment_id, _run_of_key(client, experiment_id, about, training_waits=training_waits))
    return Connection(client, experiment_id, _run_of_training(client, experiment_id, about))


def commit_of(store: Store, train_key: str) -> str | None:
    """The commit that a training ran on, as its run says; None where there is no run, or the store cannot be reached."""
    with contextlib.suppress(Exception):  # drivers of databases raise what they like
        client, experiment_id = open_store(store)
        for run in client.search_runs([experiment_id], f"tags.{KEY_TAG} = '{train_key}'", max_results=1):
            commit: str | None = run.data.tags.get("mlflow.source.git.commit")
            return commit
    return None


def at_home(store: Store) -> int:
    """Let the database of a project that was moved or copied say where its files are now; how many places it mended.

    Raises:
        sqlite3.Error: the database cannot be read or written.
    """
    if store.artifacts is None or store.database is None:
        return 0
    return moved.follow(store.database, Path(store.artifacts))


def client_of(store: Store) -> "MlflowClient":
    """A client that gives up soon and says nothing; where there is no database it makes one."""
    at_home(store)
    _import_mlflow()
    from mlflow import MlflowClient

    for noisy in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # what they log of trouble, they raise as well
    if not store.uri.startswith("http"):
        from mlflow.store.db import utils

        utils.MAX_RETRY_COUNT = 2  # MLflow's own 10 take minutes
    return MlflowClient(store.uri, store.uri)


def _import_mlflow() -> None:
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    imports.load()


def open_store(store: Store) -> tuple["MlflowClient", str]:
    """A client of the store and the id of the experiment in it, both made where they are missing.

    Raises:
        MlflowException, OSError: the store cannot be reached or used, or the experiment is deleted.
    """
    _import_mlflow()
    from mlflow.exceptions import MlflowException

    Path(store.lock).parent.mkdir(parents=True, exist_ok=True)
    with FileLock(store.lock, timeout=LOCK_SECONDS):  # several processes creating one database at once fail
        client = client_of(store)
        found = client.get_experiment_by_name(store.experiment)
        if found is None:
            tags = {KIND_TAG: "custom_model_development"}
            return client, client.create_experiment(store.experiment, store.artifacts, tags=tags)
    if found.lifecycle_stage != "active":
        raise MlflowException(
            f"the experiment {store.experiment} is deleted; restore it with `mlflow experiments restore --experiment-id "
            f"{found.experiment_id}`, or set tracking.experiment in params.yaml to another name"
        )
    return client, found.experiment_id


def _run_of_training(client: "MlflowClient", experiment_id: str, about: Mapping[str, Any]) -> str:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag, Param, RunTag

    tags = {name: shorten(value, TAG_LENGTH) for name, value in about["tags"].items() if value}
    tags |= {ID_TAG: about["training_id"], KEY_TAG: about["train_key"]}
    found = client.search_runs([experiment_id], f"tags.{ID_TAG} = '{about['training_id']}'", max_results=1)
    if found:
        run_id: str = found[0].info.run_id
        if found[0].info.run_name in about.get("former_names", ()):
            client.update_run(run_id, name=about["name"])
        for name in found[0].data.tags.keys() & {name for name, value in about["tags"].items() if not value}:
            client.delete_tag(run_id, name)  # an earlier start, on another commit say, gave it
    else:
        run_id = client.create_run(experiment_id, about["time"], tags, about["name"]).info.run_id
    params = [Param(name, shorten(value, PARAM_LENGTH)) for name, value in about["params"].items()]
    for start in range(0, len(params), PARAMS_A_REQUEST):
        client.log_batch(run_id, params=params[start : start + PARAMS_A_REQUEST])
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
    data = about["data"]
    made_by = CodeDatasetSource(tags={name: data[name] for name in ("source", "commit")})
    data_set = MetaDataset(made_by, name=data["source"], digest=data["digest"])  # type: ignore[abstract]
    entity = data_set._to_mlflow_entity()  # noqa: SLF001 - MLflow's own log_input does the same; it needs an active run
    client.log_inputs(run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])])
    return run_id


def _run_of_key(client: "MlflowClient", experiment_id: str, about: Mapping[str, Any], *, training_waits: bool) -> str:
    """The newest run of a training, finished ones before others; where there is none, a new one that says so.

    A clone that pulled trained weights from a cache has no run of the training itself.
    """
    key = about["train_key"]
    order = ["attributes.start_time DESC"]
    runs = client.search_runs([experiment_id], f"tags.{KEY_TAG} = '{key}'", order_by=order)
    for run in [*(run for run in runs if run.info.status == "FINISHED"), *runs]:
        run_id: str = run.info.run_id
        if ID_TAG not in run.data.tags and run.info.status == "RUNNING":  # made below, by one who came no further
            client.set_terminated(run_id, "FINISHED")
        return run_id
    if training_waits:
        raise WaitsError(f"the log of the training {key[:12]} itself must be sent first")
    note = "Weights trained elsewhere: only evaluation and export are logged here."
    name = f"{about['name']} (trained elsewhere)"
    tags = {KEY_TAG: key, NOTE_TAG: note}
    created = client.create_run(experiment_id, about["time"], tags, name)
    client.set_terminated(created.info.run_id, "FINISHED")
    return str(created.info.run_id)
