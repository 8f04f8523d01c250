"""A server that asks who is there: names and passwords come from the environment, and a refusal costs nothing but delay."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import services
from mlflow import MlflowClient
from services import MlflowServer
from tracking.logs import CONFIG, root, store_in, write_addition, write_only

from cyclegan import tracking

__all__ = ["root"]  # a fixture
pytestmark = pytest.mark.complete
WORDS = {"admin": "the word of the first", "anna": "the word of anna", "ben": "the word of ben"}


@pytest.fixture
def server(tmp_path: Path, mlflow_database: Path) -> Iterator[MlflowServer]:
    """With an administrator and two users, who may read what others made, as MLflow has it by default."""
    services.needs("flask_wtf", "dev")
    made = MlflowServer(tmp_path / "server", mlflow_database, "--app-name", "basic-auth")
    settings = made.folder / "auth.ini"
    settings.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{made.folder}/auth.db\nadmin_username = admin\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    made.environment |= {"MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of the cookies"}
    made.environment["MLFLOW_AUTH_ADMIN_PASSWORD"] = WORDS["admin"]
    with services.running(made):
        for name in ("anna", "ben"):
            administer(made, "2.0/mlflow/users/create", username=name, password=WORDS[name])
        yield made


def administer(server: MlflowServer, request: str, **values: str) -> None:
    answer = requests.post(f"{server.uri}/api/{request}", json=values, auth=("admin", WORDS["admin"]), timeout=20)
    assert answer.ok, answer.text


def login(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", WORDS[name])


def end(log: tracking.Recorder) -> None:
    log.outbox.add("end", status="FINISHED")
    log.outbox.close()


def test_who_may_not_yet_loses_nothing_and_is_told_what_helps(
    root: Path, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(root))  # where MLflow looks for a file with a password
    to = store_in(root, uri=server.uri)
    end(write_only(root, "t1", to=to))
    stranger = "(it wants a name and a password: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD)"
    problem = tracking.trouble(to)
    assert problem is not None
    assert problem.endswith(stranger)
    (problem,) = tracking.sync(root)
    assert problem.endswith(stranger)

    login(monkeypatch, "anna")
    assert tracking.trouble(to) is None
    for file in (root / ".tracking").rglob("*.json*"):
        assert WORDS["anna"] not in file.read_text()
    assert tracking.sync(root) == []

    login(monkeypatch, "ben")
    assert tracking.trouble(to) is None
    addition = write_addition(root, to=to)
    addition.metrics({"test/x": 1.5})
    addition.text("scored", "scores.txt", "evaluation")
    addition.outbox.close()
    (problem,) = tracking.sync(root)
    assert problem.endswith("(who runs the server can permit it: docs/team.md says how)")
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name(CONFIG.experiment)
    assert experiment is not None
    permission = {"resource_type": "experiment", "resource_id": experiment.experiment_id, "permission": "EDIT"}
    administer(server, "3.0/mlflow/users/permissions/grant", username="ben", **permission)
    assert tracking.sync(root) == []
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics["test/x"] == 1.5
    assert [file.path for file in client.list_artifacts(run.info.run_id, "evaluation")] == ["evaluation/scores.txt"]
