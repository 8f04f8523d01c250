"""A reproduction as a run of its own, and a run planted in a store that is thrown away."""

import shutil
import sqlite3
from pathlib import Path

from cyclegan import tracking
from cyclegan.config import TrackingConfig
from cyclegan.history.agreement import OtherOut, OtherValue, Verdict
from cyclegan.history.record import Record, log_reproduction, plant_run
from cyclegan.history.runs import runs_of_key, the_run

KEY = "a" * 64
VERDICT = Verdict(10, 30, (OtherOut("train", "models/trained", ()),), (OtherValue("m", "n", 1.0, 1.1, 0.6),), "")
RECORD = Record("c" * 40, KEY, VERDICT, "the text", 12.5, ["numpy 1 locked, 2 here"])


def store_in(folder: Path, mlflow_database: Path) -> tracking.Store:
    shutil.copy(mlflow_database, folder / "mlflow.db")
    config = TrackingConfig(experiment="own", uri=f"sqlite:///{folder / 'mlflow.db'}", system_metrics=False)
    return tracking.store_of(config, folder)


def test_it_is_one_finished_run_that_no_evaluation_is_added_to(tmp_path: Path, mlflow_database: Path) -> None:
    store = store_in(tmp_path, mlflow_database)
    said = log_reproduction(store, RECORD)
    (run,) = runs_of_key(store, KEY)
    assert said == f"logged as the run {run.id}"
    assert run.kind == "reproduction"
    assert run.commit == "c" * 40
    assert run.entry.state == "FINISHED"
    assert run.entry.name == "reproduces cccccccc: identical within tolerance"
    assert run.entry.tags["verdict"] == "identical within tolerance"
    assert run.entry.tags["mlflow.note.content"] == "the text"
    assert tracking.KEY_TAG not in run.entry.tags
    assert the_run([run]) is None  # no result of its own
    assert run.entry.metrics == {
        "outs": 10,
        "outs_as_recorded": 9,
        "values": 30,
        "values_as_recorded": 29,
        "packages_not_as_locked": 1,
        "seconds": 12.5,
    }
    assert tracking.list_files(store, run.id) == {"verdict.txt"}


def test_a_store_that_is_away_costs_no_verdict(tmp_path: Path) -> None:
    away = tracking.Store("http://127.0.0.1:9", "own", None, str(tmp_path / "lock"))
    said = log_reproduction(away, RECORD)
    assert said.startswith("warning: not logged: MLflow at http://127.0.0.1:9 cannot be used")


def test_a_run_is_planted_with_its_own_id_and_tags(tmp_path: Path, mlflow_database: Path) -> None:
    store = store_in(tmp_path, mlflow_database)
    plant_run(tmp_path / "mlflow.db", "b" * 32, {tracking.KEY_TAG: KEY, "mlflow.runName": "shapes 0badcafe"})
    found = tracking.read_entry(store, "b" * 32)
    assert found is not None
    assert (found.name, found.tags[tracking.KEY_TAG]) == ("shapes 0badcafe", KEY)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("select run_uuid from runs").fetchall() == [("b" * 32,)]
