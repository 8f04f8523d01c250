"""The door to MLflow, against a real store in a temporary folder."""

from pathlib import Path

import numpy as np
import pytest

from cyclegan import tracking
from cyclegan.config import TrackingConfig

CONFIG = TrackingConfig(experiment="test", uri=None, system_metrics=False)
DATA = {"source": "shapes", "digest": "d" * 36, "commit": "c" * 40}


@pytest.fixture
def root(tmp_path: Path, mlflow_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    return tmp_path


def start(root: Path, run_id: str | None = None, key: str = "k1") -> tracking.TrainingRun:
    tags = {tracking.KEY_TAG: key}
    return tracking.start_training(CONFIG, root, run_id, "name", {"a": 1, "long": "x" * 7000}, tags, DATA)


def test_a_resumed_run_is_the_same_run_without_doubled_steps(root: Path) -> None:
    first = start(root)
    grid = np.zeros((8, 8, 3), dtype=np.uint8)
    for step in (10, 20):
        first.curve({"epoch": 1.0, "loss/x": step / 10}, step)
    first.curve({"val/cycle_A": 5.0}, 25)
    first.samples(10, {"A_to_B": grid})
    first.finish("KILLED")
    assert first.client.get_run(first.id).info.status == "KILLED"

    second = start(root, first.id)
    assert second.id == first.id
    for step in (10, 20, 30):
        second.curve({"epoch": 1.0, "loss/x": step / 10}, step)
    second.curve({"val/cycle_A": 5.0}, 25)
    second.samples(10, {"A_to_B": grid})
    second.samples(20, {"A_to_B": grid})
    second.finish("FINISHED")
    found = second.client.get_run(first.id)
    assert found.info.status == "FINISHED"
    assert [(m.step, m.value) for m in second.client.get_metric_history(first.id, "loss/x")] == [(10, 1), (20, 2), (30, 3)]
    assert [metric.step for metric in second.client.get_metric_history(first.id, "val/cycle_A")] == [25]
    names = [entry.path for entry in second.client.list_artifacts(first.id, "images")]
    assert len([name for name in names if name.endswith(".png")]) == 2


def test_a_run_that_was_deleted_is_replaced(root: Path) -> None:
    first = start(root)
    first.finish("KILLED")
    first.client.delete_run(first.id)
    second = start(root, first.id)
    second.finish("FINISHED")
    assert second.id != first.id


def test_long_params_are_visibly_cut(root: Path) -> None:
    run = start(root)
    run.finish("FINISHED")
    params = run.client.get_run(run.id).data.params
    assert params["a"] == "1"
    assert len(params["long"]) == tracking.PARAM_LENGTH
    assert params["long"].endswith("...")


def test_find_prefers_a_finished_run_and_leaves_it_finished(root: Path) -> None:
    finished = start(root)
    finished.finish("FINISHED")
    killed = start(root)
    killed.finish("KILLED")
    start(root, key="other").finish("FINISHED")
    before = finished.client.get_run(finished.id).info
    found = tracking.find(CONFIG, root, "k1", "name")
    assert found.id == finished.id
    found.metrics({"test/x": 1.0})
    after = found.client.get_run(found.id)
    assert after.data.metrics["test/x"] == 1.0
    assert (after.info.status, after.info.end_time) == ("FINISHED", before.end_time)


def test_without_a_run_of_the_training_one_is_made_that_says_so(root: Path) -> None:
    found = tracking.find(CONFIG, root, "unknown", "name")
    run = found.client.get_run(found.id)
    assert run.info.run_name == "name (trained elsewhere)"
    assert run.info.status == "FINISHED"
    assert tracking.find(CONFIG, root, "unknown", "name").id == found.id


def test_flatten() -> None:
    assert tracking.flatten({"a": {"b": 1, "c": {"d": 2}}, "e": 3}) == {"a.b": 1, "a.c.d": 2, "e": 3}
