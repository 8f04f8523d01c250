"""A project that is moved, renamed or copied: its runs keep their files, and none writes among another's."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service import utils
from tracking.logs import Unsent, root, runs, start, store_in, train

from cyclegan import tracking
from cyclegan.tracking import moved, outbox, recorder

__all__ = ["root"]  # a fixture


@pytest.fixture
def project(root: Path) -> Path:
    """A project with a run that has files."""
    folder = root / "project"
    folder.mkdir()
    shutil.move(root / "mlflow.db", folder)
    log = start(folder, "t1")
    train(log, range(1, 3))
    log.text("words", "note.txt", "some")
    log.finish("FINISHED")
    return folder


def another_process() -> None:
    """What a client remembers of where runs have their files is forgotten."""
    utils._artifact_repos_cache.clear()


def moved_to(project: Path, target: Path) -> Path:
    another_process()
    return project.rename(target)


def copied_to(project: Path, target: Path) -> Path:
    another_process()
    return shutil.copytree(project, target)


def text_of(folder: Path, run_id: str) -> str:
    return Path(MlflowClient(store_in(folder).uri).download_artifacts(run_id, "some/note.txt")).read_text()


def places(folder: Path) -> set[str]:
    """All that its database says of where files are, apart from the experiment that MLflow makes by itself."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        return {
            place
            for table, columns in moved.COLUMNS.items()
            for column in columns
            for (place,) in database.execute(f"SELECT {column} FROM {table}")
            if place and "/mlartifacts" in place
        }


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_a_moved_project_has_the_files_of_its_runs_and_writes_new_ones_beside_them(project: Path, tmp_path: Path) -> None:
    (before,) = runs(project)
    after_the_move = moved_to(project, tmp_path / "another name")
    assert tracking.at_home(store_in(after_the_move)) == 2  # the experiment and the run
    assert tracking.at_home(store_in(after_the_move)) == 0
    assert runs(after_the_move) == [before]
    assert text_of(after_the_move, before["id"]) == "words"
    another_process()
    start(after_the_move, "t2", key="k2").finish("FINISHED")
    with tracking.add_to(store_in(after_the_move), after_the_move, "k1", "name") as log:
        log.text("more", "more.txt", "some")
    assert all(place.startswith(f"{after_the_move}/mlartifacts") for place in places(after_the_move))
    assert ("some/more.txt", 4) in runs(after_the_move)[0]["artifacts"]
    assert not project.exists()


def test_any_stage_that_logs_brings_it_home(project: Path, tmp_path: Path) -> None:
    after_the_move = moved_to(project, tmp_path / "moved")
    with tracking.add_to(store_in(after_the_move), after_the_move, "k1", "name") as log:
        log.text("more", "more.txt", "some")
    (run,) = runs(after_the_move)
    assert {name for name, _ in run["artifacts"] if name.startswith("some/")} == {"some/note.txt", "some/more.txt"}
    assert not project.exists()


def test_a_copied_project_leaves_the_original_alone(project: Path, tmp_path: Path) -> None:
    copied = copied_to(project, tmp_path / "copied")
    original = files(project)
    with tracking.add_to(store_in(copied), copied, "k1", "name") as log:
        log.text("more", "more.txt", "some")
    log = start(copied, "t2", key="k2")
    log.text("own", "own.txt")
    log.finish("FINISHED")
    assert files(project) == original
    assert tracking.at_home(store_in(project)) == 0
    assert {name for name, _ in runs(copied)[0]["artifacts"] if name.startswith("some/")} == {
        "some/note.txt",
        "some/more.txt",
    }
    assert all(place.startswith(f"{copied}/mlartifacts") for place in places(copied))


def test_a_copied_database_alone_reads_the_original_s_files_and_writes_its_own(project: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    shutil.copy(project / "mlflow.db", copied)
    original = files(project)
    log = start(copied, "t2", key="k2")
    log.text("own", "own.txt")
    log.finish("FINISHED")
    (first, second) = runs(copied)
    assert text_of(copied, first["id"]) == "words"
    assert ("own.txt", 3) in second["artifacts"]
    assert (copied / "mlartifacts").is_dir()
    assert files(project) == original


def test_files_that_did_not_come_along_stay_where_they_are(project: Path, tmp_path: Path) -> None:
    other = start(project, "t2", key="k2")
    other.text("words", "note.txt", "some")
    other.finish("FINISHED")
    (first, second) = (run["id"] for run in runs(project))
    copied = copied_to(project, tmp_path / "copied")
    shutil.rmtree(copied / "mlartifacts" / second)
    tracking.at_home(store_in(copied))
    assert {text_of(copied, run_id) for run_id in (first, second)} == {"words"}
    assert str(project / "mlartifacts" / second / "artifacts") in places(copied)


def test_a_place_that_somebody_chose_is_left_alone(project: Path, tmp_path: Path) -> None:
    """A folder of the same name elsewhere, even one that is away now, without a sign that the project came from there."""
    client = MlflowClient(store_in(project).uri)
    chosen = [str(tmp_path / "disk/mlartifacts"), "s3://bucket/mlartifacts"]
    ids = [client.create_experiment(f"chosen {number}", place) for number, place in enumerate(chosen)]
    runs_there = [client.create_run(experiment_id).info for experiment_id in ids]
    assert tracking.at_home(store_in(project)) == 0
    after_the_move = moved_to(project, tmp_path / "moved")
    assert tracking.at_home(store_in(after_the_move)) == 2
    client = MlflowClient(store_in(after_the_move).uri)
    assert [client.get_experiment(experiment_id).artifact_location for experiment_id in ids] == chosen
    assert [client.get_run(run.run_id).info.artifact_uri for run in runs_there] == [run.artifact_uri for run in runs_there]


def test_what_goes_wrong_changes_nothing(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after_the_move = moved_to(project, tmp_path / "moved")
    before = places(after_the_move)
    real, calls = moved._mend, []

    def cut(*arguments: object) -> int:
        calls.append(arguments)
        if len(calls) == 3:
            raise sqlite3.OperationalError("disk I/O error")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(moved, "_mend", cut)
    with pytest.raises(sqlite3.OperationalError):
        tracking.at_home(store_in(after_the_move))
    assert places(after_the_move) == before


def test_of_a_database_without_tables_or_of_none_nothing_is_said(tmp_path: Path) -> None:
    assert moved.follow(tmp_path / "none.db", tmp_path / "mlartifacts") == 0
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "empty.db").touch()
    assert moved.follow(tmp_path / "empty.db", tmp_path / "mlartifacts") == 0


def test_what_waits_in_a_moved_project_is_sent_to_where_its_store_is_now(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = root / "project"
    project.mkdir()
    shutil.move(root / "mlflow.db", project)
    with monkeypatch.context() as patched:
        patched.setattr(recorder, "Sender", lambda *_: Unsent())
        log = start(project, "t1")
    log.text("words", "note.txt", "some")
    log.outbox.add("end", status="FINISHED")
    log.outbox.close()
    after_the_move = moved_to(project, tmp_path / "moved")
    assert tracking.sync(after_the_move) == []
    (run,) = runs(after_the_move)
    assert run["status"] == "FINISHED"
    assert text_of(after_the_move, run["id"]) == "words"
    assert not project.exists()


def test_what_waits_for_a_server_or_a_database_elsewhere_is_sent_there_still(root: Path, tmp_path: Path) -> None:
    project = root / "project"
    elsewhere = store_in(root)
    for to in (store_in(project, uri=f"http://host{project}/x"), elsewhere):
        about = {"training_id": "t", "train_key": "k", "root": str(project), "store": vars(to), "time": 0}
        outbox.Outbox(tmp_path / "moved" / outbox.FOLDER / to.uri[:4], about).add("end", status="FINISHED")
    found = [about["store"] for _, about in outbox.left_behind(tmp_path / "moved")]
    assert sorted(store["uri"] for store in found) == [f"http://host{project}/x", elsewhere.uri]
