"""Where runs are kept, and how a run is found there again."""

import os
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tracking.logs import CONFIG, PARAMS, TAGS, root, runs, start, store_in, write_only

from cyclegan import tracking
from cyclegan.errors import UserError
from cyclegan.tracking import store
from cyclegan.tracking.values import PARAM_LENGTH, TAG_LENGTH, shorten, without_password

__all__ = ["root"]  # a fixture


@pytest.mark.parametrize(
    "uri",
    [
        "mlruns",
        "./mlruns",
        "/somewhere/mlruns",
        "file:///somewhere/mlruns",
        "localhost:5000",
        "127.0.0.1:5000",
        "http:localhost:5000",
        "http://",
        "http:///path",
        "http://host:port",
        "http://host:99999",
        "http://[::1",
        "ftp://host",
        "databricks",
        "sqlite:mlflow.db",
        "sqlite://",
        "sqlite:///",
        "sqlite://mlflow.db",
        "sqlite:///:memory:",
        "postgresql://",
        "htp://user:secret@host/mlflow",
    ],
)
@pytest.mark.parametrize("from_environment", [False, True])
def test_what_is_no_address_is_an_error_that_names_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, from_environment: bool
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if from_environment:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError) as error:
        store_in(tmp_path, **({} if from_environment else {"uri": uri}))
    place = "the environment variable MLFLOW_TRACKING_URI" if from_environment else "tracking.uri in params.yaml"
    assert str(error.value).startswith(f"{place} is {without_password(uri)}; it must be the address")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "uri",
    ["http://localhost:5000", "https://user:pass@host/path", "postgresql+psycopg2://user@host/runs", "mysql://host/runs"],
)
def test_a_server_is_used_as_it_is_named(tmp_path: Path, uri: str) -> None:
    found = store_in(tmp_path, uri=uri)
    assert (found.uri, found.lock) == (uri, str(tmp_path / ".mlflow.lock"))
    assert found.artifacts == (None if uri.startswith("http") else str(tmp_path / "mlartifacts"))


def test_a_reproduction_keeps_its_runs_apart_whatever_params_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    monkeypatch.setenv("CYCLEGAN_TRACKING_URI", "sqlite:////apart/mlflow.db")
    assert store_in(tmp_path, uri="http://params").uri == "sqlite:////apart/mlflow.db"
    monkeypatch.setenv("CYCLEGAN_TRACKING_URI", "nowhere")
    with pytest.raises(UserError, match=r"^the environment variable CYCLEGAN_TRACKING_URI is nowhere"):
        store_in(tmp_path, uri="http://params")


def test_params_come_before_the_environment_and_that_before_the_file_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    here = store_in(tmp_path)
    assert here.uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert here.artifacts == f"{tmp_path}/mlartifacts"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert store_in(tmp_path).uri == "http://environment"
    assert store_in(tmp_path, uri="http://params").uri == "http://params"


def test_a_database_has_one_lock_and_one_place_for_files_from_wherever_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    here, other = tmp_path / "here", tmp_path / "other"
    expected = store_in(here)
    assert store_in(here, uri="sqlite:///mlflow.db") == expected, "a stage of a DVC experiment runs in another folder"
    assert store_in(other, uri=f"sqlite:///{here}/mlflow.db") == expected
    assert store_in(other, uri="sqlite:///shared/runs.db") == tracking.Store(
        f"sqlite:///{other}/shared/runs.db", "test", f"{other}/shared/mlartifacts", f"{other}/shared/.runs.lock"
    )


def test_passwords_are_never_shown() -> None:
    for text, shown in {
        "http://user:secret@host/path": "http://host/path",
        "postgresql://user:s@cret@host:5/db": "postgresql://host:5/db",
        "at https://u:secret@a/x and https://secret@b": "at https://a/x and https://b",
        "sqlite:////home/me@here/mlflow.db": "sqlite:////home/me@here/mlflow.db",
        "who@where": "who@where",
    }.items():
        assert without_password(text) == shown
    assert str(store_in(Path("/"), uri="http://user:secret@host")) == "http://host"


def test_a_new_database_and_its_folder_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow, as MLflow makes it in hundreds of steps; everything else copies one that is made."""
    to = store_in(tmp_path, uri=f"sqlite:///{tmp_path}/new/folder/runs.db")
    client, experiment_id = store.open_store(to)
    assert client.get_experiment(experiment_id).artifact_location == str(tmp_path / "new/folder/mlartifacts")
    assert client.get_experiment(experiment_id).tags[store.KIND_TAG] == "custom_model_development"


def test_a_deleted_experiment_is_named_with_the_remedy(root: Path) -> None:
    start(root, "t1").finish("FINISHED")
    client = MlflowClient(store_in(root).uri)
    experiment = client.get_experiment_by_name(CONFIG.experiment)
    client.delete_experiment(experiment.experiment_id)
    log = write_only(root, "t2", key="k2")
    log.outbox.add("end", status="FINISHED")
    log.outbox.close()
    (problem,) = tracking.sync(root)
    assert f"mlflow experiments restore --experiment-id {experiment.experiment_id}" in problem
    client.restore_experiment(experiment.experiment_id)
    assert tracking.sync(root) == []
    assert [run["status"] for run in runs(root)] == ["FINISHED", "FINISHED"]


def test_long_params_and_tags_are_visibly_cut(root: Path) -> None:
    start(root, "t1").finish("FINISHED")
    (run,) = runs(root)
    assert run["params"] == {"a": "1", "long": "x" * (PARAM_LENGTH - 3) + "..."}
    assert run["tags"]["long"] == "y" * (TAG_LENGTH - 3) + "..."
    assert shorten("x" * PARAM_LENGTH, PARAM_LENGTH) == "x" * PARAM_LENGTH
    assert (len(PARAMS["long"]), len(TAGS["long"])) > (PARAM_LENGTH, TAG_LENGTH)


def test_more_params_than_a_request_holds(root: Path) -> None:
    params = {f"p{number}": number for number in range(250)}
    data = {"source": "s", "digest": "d", "commit": "c"}
    tracking.start_training(store_in(root), root, "t1", "k", "n", params, {}, data, system_metrics=False).finish("FINISHED")
    assert runs(root)[0]["params"] == {name: str(value) for name, value in params.items()}


def test_what_a_run_says_of_a_training_can_be_asked(root: Path) -> None:
    start(root, "t1").finish("FINISHED")
    to = store_in(root)
    assert tracking.commit_of(to, "k1") == "c" * 40
    assert tracking.commit_of(to, "unknown") is None
    run_id = runs(root)[0]["id"]
    entry = tracking.read_entry(to, run_id)
    assert entry is not None
    assert entry.tags[tracking.KEY_TAG] == "k1"
    assert tracking.read_entry(to, "0" * 32) is None


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "postgresql+nonsense://host/db"])
def test_of_a_store_that_cannot_be_used_nothing_is_known(root: Path, uri: str) -> None:
    to = store_in(root, uri=uri)
    assert tracking.commit_of(to, "k1") is None
    with pytest.raises(tracking.AwayError, match="cannot be used"):
        tracking.read_entry(to, "0" * 32)


def test_mlflow_s_own_settings_of_the_user_stay(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    store.open_store(store_in(root))
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "MLFLOW_TRACKING_URI" not in os.environ, "or the next store_of would take it for the user's wish"
