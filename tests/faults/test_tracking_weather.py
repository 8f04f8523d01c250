"""Trouble with MLflow, as real processes meet it: training ends in the same bytes, its log comes whole, now or later."""

import resource
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from faults import unprivileged
from faults.processes import Started, outputs
from project import child_environment, git_commit, run, set_params
from repositories import changed, repository
from services import MlflowServer

from cyclegan.pipeline import paths

SMALL = {
    "train.precision": "float32",
    "train.keep_state": False,
    "dataset.n_val": 0,
    "dataset.val_fraction": 0.34,
    "train.validate_metric": "cycle_l1",
    "schedule.n_epochs": 15,
    "schedule.n_epochs_decay": 15,
    "runtime.sample_every_steps": 20,
    "runtime.checkpoint_every_seconds": 0.1,
    "tracking.system_metrics": False,
}
PATIENCE_SECONDS = 180
TRAIN = (sys.executable, "stages/train.py")
SYNC = ("cyclegan", "sync")
Logged = tuple[str, dict[str, list[tuple[int, float]]], list[str]]  # status, curves, names of grids without their dates


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Path:
    """A committed project whose training was logged without any trouble."""
    folder = repository(tmp_path_factory.mktemp("undisturbed") / "project", mlflow_database, SMALL)
    for stage in ("download", "preprocess", "train"):
        run(folder, sys.executable, f"stages/{stage}.py")
    git_commit(folder, "trained")
    ((status, curves, grids),) = logged(folder)
    assert status == "FINISHED"
    assert [step for step, _ in curves["epoch"]] == list(range(2, 61, 2))
    assert [step for step, _ in curves["val/cycle_A"]] == list(range(2, 61, 2))
    assert len(grids) == 2 * 2 * 4  # both ways, in two sizes, at steps 0, 20, 40 and 60
    return folder


@pytest.fixture
def project(undisturbed: Path, tmp_path: Path, mlflow_database: Path) -> Path:
    """The same, before its training: with an empty store."""
    folder = shutil.copytree(undisturbed, tmp_path / "project", symlinks=True)
    for left in (paths.CHECKPOINTS, paths.TRAINED, Path("mlartifacts")):
        shutil.rmtree(folder / left)
    shutil.copy(mlflow_database, folder / "mlflow.db")
    return folder


def logged(folder: Path) -> list[Logged]:
    """Every run in the database of a folder, a project's or a server's."""
    found = []
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        for run_id, status, place in database.execute(
            "select run_uuid, status, artifact_uri from runs order by start_time"
        ):
            curves: dict[str, list[tuple[int, float]]] = {}
            for key, step, value in database.execute(
                "select key, step, value from metrics where run_uuid = ? order by key, step", (run_id,)
            ):
                curves.setdefault(key, []).append((step, value))
            files = Path(place.replace("mlflow-artifacts:", f"{folder}/artifacts").removeprefix("file://"))
            grids = sorted("+".join(file.name.split("+")[:3]) for file in files.glob("images/*"))
            found.append((status, curves, grids))
    return found


def assert_as_undisturbed(project: Path, undisturbed: Path, store: Path | None = None) -> None:
    """The bytes that training made, and everything that it logged; nothing waits any more."""
    assert outputs(project) == outputs(undisturbed)
    assert logged(store or project) == logged(undisturbed)
    assert waiting(project) == []


def waiting(project: Path) -> list[str]:
    return [path.name for path in (project / ".tracking").glob("*")]


def train(project: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """The train stage, with `preexec_fn` and the like."""
    environment = child_environment(project) | options.pop("environment", {})
    return subprocess.run(TRAIN, cwd=project, env=environment, capture_output=True, text=True, check=False, **options)


def sync(project: Path) -> None:
    assert run(project, *SYNC).stdout == "what stages left behind is sent\n"


def until(reached: Callable[[], Any], process: Started | None = None) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        assert process is None or process.process.poll() is None, process.log.read_text()
        time.sleep(0.05)


@pytest.fixture
def server(tmp_path: Path, mlflow_database: Path) -> Iterator[MlflowServer]:
    """Not started yet."""
    made = MlflowServer(tmp_path / "server", mlflow_database)
    yield made
    made.kill()


def sitecustomize(folder: Path, program: str) -> dict[str, str]:
    """An environment in which Python does this first."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(textwrap.dedent(program))
    return {"PYTHONPATH": str(folder)}


@contextmanager
def paused(project: Path) -> Iterator[tuple[Started, Path]]:
    """A training that has stopped for a while at its 30th step of 60, its log's thread at work.

    It goes on when the file that is given beside it appears.
    """
    place = project.parent / "pause"
    pausing = sitecustomize(
        place,
        """
        import os, sys, time
        folder, left, real = os.path.dirname(__file__), 30, time.monotonic
        def monotonic():
            global left
            if sys._getframe(1).f_code.co_name == "due":  # asked at every step, whether a checkpoint is
                left -= 1
                if left == 0:
                    os.mkdir(os.path.join(folder, "here"))
                    while not os.path.exists(os.path.join(folder, "go")):
                        time.sleep(0.02)
            return real()
        time.monotonic = monotonic
        """,
    )
    training = Started(project, *TRAIN, **pausing)
    try:
        until((place / "here").exists, training)
        yield training, place / "go"
    finally:
        (place / "go").touch()
        training.ended()


def test_nonsense_for_an_address_is_one_clear_error_before_anything_is_done(project: Path) -> None:
    set_params(project, {"tracking.uri": "mlruns"})
    done = train(project)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: tracking.uri in params.yaml is mlruns; it must be the address of")
    assert done.stderr.count("\n") == 1
    assert not list((project / paths.CHECKPOINTS).glob("*/step-*"))


def test_a_clock_that_jumps_back_and_forth_doubles_and_loses_nothing(project: Path, undisturbed: Path) -> None:
    jumping = sitecustomize(
        project.parent / "clock",
        """
        import itertools, time
        real, calls = time.time, itertools.count()
        time.time = lambda: real() + 3600 * (next(calls) * 7 % 23 - 11)
        """,
    )
    done = train(project, environment=jumping)
    assert done.returncode == 0, done.stderr
    assert_as_undisturbed(project, undisturbed)


@pytest.mark.complete
def test_a_full_disk_under_the_outbox_alone_costs_a_warning(project: Path, undisturbed: Path) -> None:
    full = sitecustomize(
        project.parent / "full",
        """
        import errno, pathlib
        real = pathlib.Path.open
        def opened(path, mode="r", *arguments, **keywords):
            if ".tracking" in str(path) and mode[0] in "aw" and path.name != "about.tmp":
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return real(path, mode, *arguments, **keywords)
        pathlib.Path.open = opened
        """,
    )
    done = train(project, environment=full)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("warning") == 1
    assert "cannot be written: No space left on device; what is for MLflow waits in memory" in done.stdout
    assert_as_undisturbed(project, undisturbed)


def limited(size: int) -> Callable[[], None]:
    """For preexec_fn: no file may grow beyond so many bytes."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    return limit


@pytest.mark.complete
def test_a_database_that_may_not_grow_is_a_warning_and_gets_all_later(project: Path, undisturbed: Path) -> None:
    largest = max(file.stat().st_size for file in (undisturbed / paths.CHECKPOINTS).rglob("step-*"))
    database = project / "mlflow.db"
    with closing(sqlite3.connect(database)) as opened:  # it must not fit where a checkpoint does
        opened.execute("create table ballast (content blob)")
        opened.execute("insert into ballast values (zeroblob(?))", (2 * largest,))
        opened.commit()
    assert database.stat().st_size > 1.5 * largest
    done = train(project, preexec_fn=limited(int(1.5 * largest)))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("warning") == 1
    assert len(waiting(project)) == 1
    sync(project)
    assert_as_undisturbed(project, undisturbed)


@pytest.mark.complete
def test_a_disk_full_from_the_start_stops_training_and_loses_nothing(project: Path, undisturbed: Path) -> None:
    shutil.rmtree(project / paths.TRAINED, ignore_errors=True)
    done = train(project, preexec_fn=limited(10_000))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (project / paths.TRAINED).exists()
    done = train(project)
    assert done.returncode == 0, done.stderr
    assert_as_undisturbed(project, undisturbed)


@pytest.mark.complete
def test_without_permission_for_the_store_training_goes_on_and_sync_delivers(project: Path, undisturbed: Path) -> None:
    (project / "mlartifacts").mkdir()
    for name, mode in {"mlflow.db": 0o444, "mlartifacts": 0o555}.items():
        (project / name).chmod(mode)
    done = train(project, preexec_fn=unprivileged.drop)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("warning") == 1
    assert len(waiting(project)) == 1
    assert logged(project) == []
    (project / "mlflow.db").chmod(0o644)
    refused = subprocess.run(
        SYNC,
        cwd=project,
        env=child_environment(project),
        preexec_fn=unprivileged.drop,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "Permission denied" in refused.stderr
    assert len(waiting(project)) == 1
    (project / "mlartifacts").chmod(0o755)
    sync(project)
    assert_as_undisturbed(project, undisturbed)


@pytest.mark.complete
def test_a_database_locked_by_others_gets_all_when_they_are_done(project: Path, undisturbed: Path) -> None:
    with closing(sqlite3.connect(project / "mlflow.db")) as other:
        other.execute("begin exclusive")
        with paused(project) as (training, goes_on):
            until(lambda: "warning: MLflow at" in training.log.read_text(), training)
            other.rollback()
            goes_on.touch()
            said = training.ended()
    assert training.process.returncode == 0, said
    assert "database is locked" in said
    assert "Traceback" not in said
    assert said.count("warning") == 1
    assert said.count("is back; what waited is sent") == 1
    assert_as_undisturbed(project, undisturbed)


@pytest.mark.complete
def test_two_trainings_share_one_new_database(project: Path, undisturbed: Path, tmp_path: Path) -> None:
    other = shutil.copytree(project, tmp_path / "other", symlinks=True)
    set_params(other, {"loss.lambda_A": 5.0})
    uri = f"sqlite:///{tmp_path}/shared/mlflow.db"
    started = [Started(folder, *TRAIN, MLFLOW_TRACKING_URI=uri) for folder in (project, other)]
    for training in started:
        said = training.ended()
        assert training.process.returncode == 0, said
        assert "warning" not in said
    assert outputs(project) == outputs(undisturbed)
    assert waiting(project) == waiting(other) == []
    both = logged(tmp_path / "shared")
    assert len(both) == 2
    expected = logged(undisturbed)[0]
    assert expected in both
    assert [(status, grids) for status, _, grids in both] == [(expected[0], expected[2])] * 2
    assert [{name: len(points) for name, points in curves.items()} for _, curves, _ in both] == [
        {name: len(points) for name, points in expected[1].items()}
    ] * 2
    assert changed(project) == []
    assert logged(project) == []


@pytest.mark.complete
def test_a_server_away_for_three_stages_gets_one_whole_run_from_sync(
    project: Path, undisturbed: Path, server: MlflowServer
) -> None:
    for stage in ("train", "evaluate", "export"):
        if stage == "export":
            set_params(project, {"export.register": True})
        done = run(project, sys.executable, f"stages/{stage}.py", MLFLOW_TRACKING_URI=server.uri)
        assert done.stdout.count(f"warning: MLflow at {server.uri}: ") == 1
        assert done.stdout.count("`cyclegan sync` sends them") == 1
        assert "Connection refused" in done.stdout
        noise = [line for line in done.stderr.splitlines() if "mlflow" in line.lower() or "urllib3" in line]
        assert noise == []
        if stage == "train":
            assert outputs(project) == outputs(undisturbed)
            assert changed(project) == []
    assert done.stdout.count(f"warning: MLflow at {server.uri} cannot be used: it does not answer") == 1
    assert "the generators are not registered: `cyclegan register` does it later" in done.stdout
    assert len(waiting(project)) == 3
    refused = run(project, *SYNC, check=False)
    assert refused.returncode == 1
    assert refused.stderr.count("Connection refused") == 3
    assert len(waiting(project)) == 3
    server.start()
    sync(project)
    assert waiting(project) == []
    ((status, curves, grids),) = logged(server.folder)
    expected = logged(undisturbed)[0]
    assert (status, grids) == (expected[0], expected[2])
    assert {name: points for name, points in curves.items() if not name.startswith("test/")} == expected[1]
    assert {len(points) for name, points in curves.items() if name.startswith("test/")} == {1}
    assert "test/A_to_B/model/cycle_l1" in curves
    with closing(sqlite3.connect(server.folder / "mlflow.db")) as database:
        models = database.execute("select name, status from logged_models order by name").fetchall()
    ready = 2
    assert models == [("G_AB", ready), ("G_BA", ready)]
    files = {file.name for file in (server.folder / "artifacts").rglob("*") if file.is_file()}
    assert {"MLmodel", "README.md", "export.json", "per_picture.csv", "gallery_A_to_B.png", "history.csv"} <= files
    said = run(project, "cyclegan", "register", MLFLOW_TRACKING_URI=server.uri).stdout
    assert said.startswith("registered shapes_A_to_B version 1 and shapes_B_to_A version 1\nchampion: kid_x1000_test is ")
    with closing(sqlite3.connect(server.folder / "mlflow.db")) as database:
        assert database.execute("select alias, version from registered_model_aliases").fetchall() == [("champion", 1)] * 2
        models = database.execute("select 'models:/' || model_id from logged_models").fetchall()
        assert sorted(database.execute("select source from model_versions").fetchall()) == sorted(models)  # none anew


@pytest.mark.complete
def test_a_server_that_dies_in_the_middle_and_comes_back_has_it_all(
    project: Path, undisturbed: Path, server: MlflowServer
) -> None:
    set_params(project, {"tracking.uri": server.uri})
    server.start()
    with paused(project) as (training, goes_on):
        until(lambda: logged(server.folder) and logged(server.folder)[0][1].get("epoch"), training)
        ((status, before, _),) = logged(server.folder)
        assert status == "RUNNING"
        server.kill()
        goes_on.touch()
        until(lambda: "warning: MLflow at" in training.log.read_text())
        said = training.ended()
    assert training.process.returncode == 0, said
    assert said.count("warning: MLflow at") == 1
    assert len(waiting(project)) == 1
    server.start()
    sync(project)
    assert len(before["epoch"]) < 30
    assert_as_undisturbed(project, undisturbed, server.folder)


@pytest.mark.complete
def test_a_server_that_is_back_before_the_end_has_it_all_by_then(
    project: Path, undisturbed: Path, server: MlflowServer
) -> None:
    set_params(project, {"tracking.uri": server.uri})
    with paused(project) as (training, goes_on):
        until(lambda: "warning: MLflow at" in training.log.read_text(), training)
        server.start()
        goes_on.touch()
        said = training.ended()
    assert training.process.returncode == 0, said
    assert said.count("is back; what waited is sent") == 1
    assert_as_undisturbed(project, undisturbed, server.folder)


@pytest.mark.complete
def test_a_killed_training_is_marked_so_and_goes_on_as_the_same_run(project: Path, undisturbed: Path) -> None:
    with paused(project) as (training, _):
        until(lambda: logged(project), training)
        training.kill()
    assert len(waiting(project)) == 1
    sync(project)
    assert waiting(project) == []
    ((status, curves, _),) = logged(project)
    assert status == "KILLED"
    expected = logged(undisturbed)[0][1]
    assert {name: expected[name][: len(points)] for name, points in curves.items()} == curves
    done = train(project)
    assert "continuing after step" in done.stdout
    assert done.returncode == 0, done.stderr
    assert_as_undisturbed(project, undisturbed)
