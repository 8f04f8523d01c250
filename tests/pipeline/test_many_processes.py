"""`train.launcher`: the train stage as two processes under torchrun, stopped, killed, and continued by more or fewer."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from faults.processes import PATIENCE_SECONDS, Started, injection, mlflow_runs, outputs
from project import run, set_params
from repositories import prepared_repository
from safetensors.torch import load

from cyclegan import config as configuration
from cyclegan import lineage
from cyclegan.pipeline import paths

TWO = "torchrun --standalone --nproc-per-node 2"
SETTINGS = {
    "train.launcher": TWO,
    "train.precision": "float32",
    "model.norm": "none",  # under which two orders of addition stay one training (tests/training/test_parallel.py)
    "schedule.n_epochs": 10,
    "schedule.n_epochs_decay": 10,
    "runtime.sample_every_steps": 20,
    "runtime.checkpoint_every_seconds": 0.1,
}
STEPS = 60
TRAIN = ("stages/train.py",)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Path:
    return prepared_repository(tmp_path_factory.mktemp("many") / "project", mlflow_database, SETTINGS)


@pytest.fixture
def fresh(prepared: Path, tmp_path: Path) -> Path:
    """A project in which nothing is trained yet."""
    return shutil.copytree(prepared, tmp_path / "project", symlinks=True)


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Trained by `dvc repro` with two processes, and what that printed."""
    project = shutil.copytree(prepared, tmp_path_factory.mktemp("undisturbed") / "project", symlinks=True)
    return project, run(project, "dvc", "repro", "train").stdout


def until_checkpoint(project: Path, *command: str, after: int = 0) -> Started:
    """Start training; returns once there is a checkpoint of a later step."""
    often = {"PYTHONPATH": str(injection(project)), "FAULT": "train kill never before 0"}
    process, deadline = Started(project, *command, **often), time.monotonic() + PATIENCE_SECONDS
    while newest(project) <= after:
        assert process.process.poll() is None, process.ended()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def newest(project: Path) -> int:
    """The step of the newest checkpoint; 0 where there is none."""
    return max((int(path.stem[5:]) for path in (project / paths.CHECKPOINTS).glob("*/step-*.safetensors")), default=0)


def torchrun(*command: str) -> list[str]:
    return [*TWO.split(), *command]


def test_dvc_starts_two_processes_of_which_one_speaks_logs_and_writes(undisturbed: tuple[Path, str]) -> None:
    project, said = undisturbed
    assert f"> {TWO} stages/train.py" in said
    assert said.count("on 2 processes (cpu) in float32: 60 steps, 3 an epoch") == 1
    assert said.count(f"step {STEPS}/{STEPS}  epoch") == 1
    history = pd.read_csv(project / paths.HISTORY)
    assert history["step"].tolist() == list(range(2, STEPS + 1, 2))
    ((status, curves, samples),) = mlflow_runs(project)
    assert status == "FINISHED"
    assert [step for step, _ in curves["loss/cycle_A"]] == history["step"].tolist()
    pictures = [f"samples~{direction}+step+{step}" for direction in paths.SAMPLES for step in (0, 20, 40, STEPS)]
    assert samples == sorted(pictures * 2)  # each with its thumbnail
    assert "Running stage" not in run(project, "dvc", "repro", "train").stdout
    locked = yaml.safe_load((project / "dvc.lock").read_text())["stages"]["train"]
    assert locked["cmd"] == f"{TWO} stages/train.py"


def test_killed_it_goes_on_to_the_same_bytes(fresh: Path, undisturbed: tuple[Path, str]) -> None:
    process = until_checkpoint(fresh, "dvc", "repro", "train")
    process.kill()  # torchrun too, whose processes are not of its group: they notice, and write a checkpoint
    saved = newest(fresh)
    assert f"continuing after step {saved}" in run(fresh, "dvc", "repro", "train").stdout
    assert outputs(fresh) == outputs(undisturbed[0])
    assert mlflow_runs(fresh) == mlflow_runs(undisturbed[0])


def test_stopped_it_goes_on_with_another_number_of_processes(fresh: Path, undisturbed: tuple[Path, str]) -> None:
    process = until_checkpoint(fresh, *torchrun(*TRAIN))
    process.process.send_signal(signal.SIGTERM)
    said = process.ended()
    process.wait_for_all()
    saved = newest(fresh)
    assert said.count("finishing this step and writing a checkpoint") == 2
    assert said.count("stopped by signal 15 after step") == 1
    assert f"after step {saved} of {STEPS}; `dvc repro` continues from there" in said
    assert mlflow_runs(fresh)[0][0] == "KILLED"

    process = until_checkpoint(fresh, sys.executable, *TRAIN, after=saved)
    process.kill()
    said = process.log.read_text()
    assert f"continuing after step {saved}" in said
    assert "warning: this training began elsewhere (processes 2 then, 1 now)" in said

    assert "continuing after step" in run(fresh, *torchrun(*TRAIN)).stdout
    expected, ours = outputs(undisturbed[0]), outputs(fresh)
    assert ours.keys() == expected.keys()
    one, other = (json.loads(made[str(paths.TRAINED / paths.TRAINING)]) for made in (expected, ours))
    numbers = []  # of six digits, which another order of addition may change in the last
    for about in (one, other):
        best = {name: about["best"].pop(name) for name in ("value", "se")}
        numbers.append(pd.json_normalize({"health": about.pop("health"), "best": best}).iloc[0].to_dict())
    assert numbers[1] == pytest.approx(numbers[0], rel=1e-3)
    assert other == one  # the key among them
    for name in ("G_AB/generator", "G_BA_ema/generator", "D_A/discriminator"):
        one, other = (load(made[str(paths.TRAINED / f"{name}.safetensors")]) for made in (expected, ours))
        for key, tensor in one.items():
            torch.testing.assert_close(other[key], tensor, rtol=0, atol=1e-4 * tensor.abs().max().item())


def test_all_stop_early_together_and_a_training_that_did_is_finished(fresh: Path) -> None:
    """With a rate too small to change any weight, the first validation stays the best."""
    set_params(fresh, {"optimizer.lr": 1e-30, "train.stop_after_validations": 2})
    said = run(fresh, *torchrun(*TRAIN)).stdout
    metrics = json.loads((fresh / paths.TRAIN_METRICS).read_text())
    stopped = metrics["stopped_early"]
    assert (stopped, metrics["epochs"], metrics["best"]["epoch"], metrics["best"]["weights"]) == (3, 3, 1, "raw")
    assert said.count(f"stopped early after epoch {stopped}: the last 2 validations found nothing better") == 1
    validation = pd.read_csv(fresh / paths.VALIDATION)
    assert validation["epoch"].drop_duplicates().tolist() == list(range(1, stopped + 1))
    ((status, curves, _),) = mlflow_runs(fresh)
    assert status == "FINISHED"
    assert [step for step, _ in curves["val/A_to_B/pair_l1/raw"]] == validation["step"].drop_duplicates().tolist()
    made = outputs(fresh)
    shutil.rmtree(fresh / paths.TRAINED)
    again = run(fresh, sys.executable, *TRAIN).stdout  # by one process, which has nothing left to do
    assert f"continuing after step {3 * stopped}" in again
    assert outputs(fresh) == made


@pytest.mark.complete
def test_a_process_that_dies_ends_the_others(fresh: Path) -> None:
    process = until_checkpoint(fresh, *torchrun(*TRAIN))
    (second,) = [pid for pid in process.processes() if b"RANK=1" in environment(pid)]
    os.kill(second, signal.SIGKILL)
    said = process.ended()
    process.wait_for_all(60)
    assert process.process.returncode != 0
    assert "Signal 9 (SIGKILL) received" in said
    assert said.count("\nerror: ") == 1
    assert "error: another process of this training ended, or cannot be reached any more" in said
    assert mlflow_runs(fresh)[0][0] == "FAILED"


def environment(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda project: set_params(project, {"train.batch_size": 3}), "train.batch_size is 3 in params.yaml, which the 2"),
        pytest.param(
            lambda project: shutil.rmtree(project / paths.PREPARED),
            "there is no prepared data in data/prepared; run",
            marks=pytest.mark.complete,
        ),
    ],
)
def test_a_mistake_is_one_error(fresh: Path, spoil: Callable[[Path], None], error: str) -> None:
    spoil(fresh)
    done = run(fresh, *torchrun(*TRAIN), check=False)
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 1, done.stderr
    assert f"error: {error}" in done.stderr
    assert done.stderr.partition("Root Cause")[2].count(error) == 1  # what torchrun's page shows, too
    assert mlflow_runs(fresh) == []


def test_the_launcher_is_no_part_of_what_identifies_a_training(workspace: Path) -> None:
    keys, given = [], []
    for launcher in ("python", TWO):
        set_params(workspace, {"train.launcher": launcher})
        config = configuration.load(Path("params.yaml"))
        keys.append(lineage.train_key(workspace, config, "data"))
        given.append(lineage.train_params(workspace, config))
    assert keys[0] == keys[1]
    assert given[0] == given[1]
    assert "batch_size" in given[0]["train"]
