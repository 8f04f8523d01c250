"""PostgreSQL named directly as tracking.uri, without a server of MLflow's before it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import services
from mlflow import MlflowClient
from services import Postgres
from tracking.logs import CONFIG, GRID, root, start, store_in, write_addition, write_only

from cyclegan import tracking

__all__ = ["root"]  # a fixture
pytestmark = pytest.mark.complete


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    """Empty: the first who comes makes MLflow's tables."""
    with services.postgres() as made:
        yield made


def test_a_wrong_password_is_told_without_it_and_the_log_waits_for_the_right_one(root: Path, database: Postgres) -> None:
    wrong = store_in(root, uri=database.uri.replace("secret", "guess"))
    log = write_only(root, "t0", key="k0", to=wrong)
    log.outbox.add("end", status="FINISHED")
    log.outbox.close()
    (problem,) = tracking.sync(root)
    assert "password authentication failed" in problem
    assert "guess" not in problem
    assert len(list((root / ".tracking").iterdir())) == 1


def test_two_trainings_begin_at_once_in_an_empty_database_and_are_added_to(root: Path, database: Postgres) -> None:
    to = store_in(root, uri=database.uri)
    logs = [start(root, f"t{number}", key=f"k{number}", to=to) for number in (1, 2)]
    for log in logs:
        log.curve({"epoch": 1.0, "loss/x": 0.5}, 1)
        log.samples(1, {"A_to_B": GRID})
    ends = [threading.Thread(target=log.finish, args=("FINISHED",)) for log in logs]
    for each in ends:
        each.start()
    for each in ends:
        each.join()
    addition = write_addition(root, key="k1", to=to)
    addition.metrics({"test/x": 1.5})
    addition.outbox.close()
    assert tracking.sync(root) == []
    client = MlflowClient(database.uri)
    experiment = client.get_experiment_by_name(CONFIG.experiment)
    assert experiment is not None
    runs = {run.data.tags[tracking.KEY_TAG]: run for run in client.search_runs([experiment.experiment_id])}
    assert {key: run.info.status for key, run in runs.items()} == {"k1": "FINISHED", "k2": "FINISHED"}
    assert runs["k1"].data.metrics == {"epoch": 1.0, "loss/x": 0.5, "test/x": 1.5}
    assert runs["k2"].data.metrics == {"epoch": 1.0, "loss/x": 0.5}
    assert Path(runs["k1"].info.artifact_uri.removeprefix("file://")).is_relative_to(root / "mlartifacts"), (
        "as docs/team.md says"
    )
    assert len(client.list_artifacts(runs["k2"].info.run_id, "images")) == 2
    found = tracking.find_run(to, runs["k1"].info.run_id[:8], [])
    assert found is not None
    assert found.tags[tracking.KEY_TAG] == "k1"
