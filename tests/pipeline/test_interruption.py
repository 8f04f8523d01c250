"""Training that is stopped or killed, as real processes: it goes on from its checkpoint to the same bytes."""

import json
import os
import platform
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from project import child_environment, copy_project, run, set_params

from cyclegan.pipeline import guard, paths

LONG = {"schedule.n_epochs": 8, "schedule.n_epochs_decay": 8, "runtime.checkpoint_every_seconds": 0.1}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Path:
    """A project whose data is prepared and whose training takes some seconds."""
    folder = copy_project(tmp_path_factory.mktemp("interrupted") / "project", LONG)
    (folder / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    for stage in ("download", "preprocess"):
        run(folder, sys.executable, f"stages/{stage}.py")
    return folder


@pytest.fixture(scope="module")
def undisturbed(prepared: Path) -> dict[str, bytes]:
    run(prepared, sys.executable, "stages/train.py")
    return outputs(prepared)


def outputs(project: Path) -> dict[str, bytes]:
    files = [*(project / paths.TRAINED).rglob("*"), project / paths.TRAIN_METRICS]
    files += [project / path for path in (paths.HISTORY, paths.VALIDATION, *paths.SAMPLES.values())]
    return {str(file.relative_to(project)): file.read_bytes() for file in files if file.is_file()}


def start(project: Path) -> subprocess.Popen[str]:
    """Start training anew; returns once it has written a checkpoint."""
    forget_checkpoints(project)
    process = subprocess.Popen(
        [sys.executable, "stages/train.py"],
        cwd=project,
        env=child_environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list((project / paths.CHECKPOINTS).glob("*/step-*[1-9]*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def start_and_signal(project: Path, number: int) -> subprocess.CompletedProcess[str]:
    """Start training anew, send it a signal after its first checkpoint, and wait for its end."""
    process = start(project)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def forget_checkpoints(project: Path) -> None:
    """As the evaluate stage does once DVC has recorded a training's result."""
    for folder in (project / paths.CHECKPOINTS).glob("*/"):
        shutil.rmtree(folder)


def newest_run(project: Path) -> tuple[str, str, int]:
    with sqlite3.connect(project / "mlflow.db") as database:
        ((run_id, status),) = database.execute("select run_uuid, status from runs order by start_time desc limit 1")
        steps = [
            step for (step,) in database.execute("select step from metrics where run_uuid = ? and key = 'lr'", (run_id,))
        ]
    assert len(steps) == len(set(steps))
    return run_id, status, len(steps)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_training_continues_to_the_same_bytes(
    prepared: Path, undisturbed: dict[str, bytes], number: signal.Signals
) -> None:
    stopped = start_and_signal(prepared, number)
    if number == signal.SIGKILL:
        assert stopped.returncode == -signal.SIGKILL
        run(prepared, "cyclegan", "sync")  # until then nobody knows that it ended
    else:
        assert_ended_well(stopped, number)
    run_id, status, _ = newest_run(prepared)
    assert status == "KILLED"
    finished = run(prepared, sys.executable, "stages/train.py")
    assert "continuing after step" in finished.stdout
    assert outputs(prepared) == undisturbed
    assert newest_run(prepared) == (run_id, "FINISHED", 24)


def assert_ended_well(stopped: subprocess.CompletedProcess[str], number: signal.Signals) -> None:
    assert stopped.returncode == 128 + number
    assert "Traceback" not in stopped.stderr
    assert "`dvc repro` continues from there" in stopped.stderr


def test_a_result_that_dvc_never_recorded_is_written_again_without_training(
    prepared: Path, undisturbed: dict[str, bytes]
) -> None:
    shutil.rmtree(prepared / paths.TRAINED)
    again = run(prepared, sys.executable, "stages/train.py")
    assert "continuing after step 48" in again.stdout
    assert outputs(prepared) == undisturbed


def test_a_checkpoint_of_other_params_is_not_continued(prepared: Path, undisturbed: dict[str, bytes]) -> None:
    assert_ended_well(start_and_signal(prepared, signal.SIGTERM), signal.SIGTERM)
    assert newest_run(prepared)[1] == "KILLED"
    set_params(prepared, {"loss.lambda_A": 5.0, "schedule.n_epochs": 1, "schedule.n_epochs_decay": 1})
    try:
        other = run(prepared, sys.executable, "stages/train.py")
        assert "continuing" not in other.stdout
        assert outputs(prepared) != undisturbed
    finally:
        set_params(prepared, {"loss.lambda_A": 10.0} | LONG)
    assert "continuing after step" in run(prepared, sys.executable, "stages/train.py").stdout
    assert outputs(prepared) == undisturbed


def test_training_of_one_kind_elsewhere_is_waited_for_by_name(prepared: Path, undisturbed: dict[str, bytes]) -> None:
    """As a queued experiment of DVC, which works in a folder of its own, may find it."""
    key = json.loads((prepared / paths.TRAINED / paths.TRAINING).read_text())["train_key"]
    lock = prepared / paths.CHECKPOINTS / f"{key}.lock"
    with guard.sole_holder(lock, "the training of the same params, data and code", "elsewhere"):
        second = run(prepared, sys.executable, "stages/train.py", check=False)
    assert second.returncode == 1
    assert (
        f"error: the training of the same params, data and code (process {os.getpid()} on {platform.node()}, since "
        in second.stderr
    )
    assert outputs(prepared) == undisturbed
    assert {path.suffix for path in lock.parent.iterdir() if path.is_file()} == {".lock"}
