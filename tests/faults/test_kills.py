"""SIGKILL at any moment, also while a checkpoint is written: the same `dvc repro` ends in an undisturbed one's bytes."""

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import voluptuous
import yaml
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from faults.processes import KILLED, Started, files, injection, mlflow_runs, outputs
from project import run, set_params
from repositories import changed, prepared_repository, repository

from cyclegan import lineage
from cyclegan.device import choose_device, choose_precision
from cyclegan.pipeline import paths

SMALL = {
    "train.precision": "float32",
    "schedule.n_epochs": 20,
    "schedule.n_epochs_decay": 20,
    "runtime.sample_every_steps": 20,
    "runtime.checkpoint_every_seconds": 0.1,  # as often as a hundredth of the time allows: every second or two
}
PLATEAU = {
    "dataset.n_val": 0,
    "dataset.val_fraction": 0.34,
    "schedule.lr_policy": "plateau",
    "train.validate_metric": "cycle_l1",
}
BF16 = {"train.precision": "bf16"}
CASES: dict[str, dict[str, Any]] = {
    "lsgan and averages": {},
    "vanilla and dropout without averages": {"loss.gan_mode": "vanilla", "model.dropout": True, "train.ema_decay": 0.0},
    "hinge and plateau": {"loss.gan_mode": "hinge"} | PLATEAU,
    "wgangp in bf16": {"loss.gan_mode": "wgangp"} | BF16,
    "batch norm and plateau in bf16": {"model.norm": "batch", "train.ema_decay": 0.0} | PLATEAU | BF16,
    "dropout in bf16": {"model.dropout": True, "train.pool_size": 0} | BF16,
}
KILLS_A_CASE = 6
HAS_BF16 = choose_precision("auto", choose_device("cpu")) == "bf16"
CHECKPOINT_MOMENTS = [
    "file before 1",
    "file half 1",
    "file half 2",
    "file after 1",
    "sync before 1",
    "sync after 2",
    "rename before 1",
    "rename after 1",
    "rename after 2",
    "sync-folder before 1",
    "sync-folder after 1",
    "prune before 1",
    "prune after 1",
]


@dataclass(frozen=True)
class Undisturbed:
    """What a training leaves when nothing happens to it, and the commit before it from which others begin."""

    start: Path
    outputs: dict[str, bytes]
    files: set[str]
    runs: list[Any]
    seconds: float

    def fresh(self, target: Path) -> Path:
        return shutil.copytree(self.start, target / "project", symlinks=True)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Path:
    return prepared_repository(tmp_path_factory.mktemp("kills") / "project", mlflow_database, SMALL)


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], Undisturbed]:
    def make(overrides: dict[str, Any]) -> Undisturbed:
        start = shutil.copytree(prepared, tmp_path_factory.mktemp("start") / "project", symlinks=True)
        set_params(start, overrides)
        run(start, "git", "commit", "-qa", "--allow-empty", "-m", "case")
        project = shutil.copytree(start, tmp_path_factory.mktemp("undisturbed") / "project", symlinks=True)
        before = time.monotonic()
        run(project, "dvc", "repro", "train")
        seconds = time.monotonic() - before
        return Undisturbed(start, outputs(project), files(project), mlflow_runs(project), seconds)

    return make


def assert_explained(project: Path) -> None:
    """Nothing has changed but what the pipeline writes."""
    assert set(changed(project)) <= {"dvc.lock", *lineage.outputs(project)}


def assert_as(project: Path, reference: Undisturbed) -> None:
    """As if nothing had happened: bytes, files, and one finished run without a gap or a repetition."""
    assert outputs(project) == reference.outputs
    assert files(project) == reference.files
    assert_explained(project)
    assert mlflow_runs(project) == reference.runs
    ((status, curves, samples),) = reference.runs
    assert status == "FINISHED"
    assert all(len({step for step, _ in points}) == len(points) for points in curves.values())
    assert len(curves["loss/cycle_A"]) == len(reference.outputs[str(paths.HISTORY)].splitlines()) - 1
    assert len(samples) > 0
    assert "Running stage" not in run(project, "dvc", "repro", "train").stdout


class KillSomewhere:
    """At moments by chance in the life of `dvc repro train`, one after another."""

    def __init__(self, seed: str, seconds: float) -> None:
        self.rng, self.seconds = random.Random(seed), seconds

    def __call__(self, project: Path) -> bool:
        """Start it and kill it; whether it lived long enough for that."""
        started, moment = time.monotonic(), self.rng.uniform(0, self.seconds)
        with one_or_more_workers(project, self.rng):
            process = Started(project, "dvc", "repro", "train")
            try:
                process.process.wait(moment)
            except subprocess.TimeoutExpired:
                if self.rng.random() < 0.75:
                    process.kill()
                else:
                    kill_dvc_alone(process)
                hit = True
            else:
                assert process.process.returncode == 0, process.ended()
                self.seconds = time.monotonic() - started
                hit = False
        assert_explained(project)
        if hit:
            restore_lock(project)
        return hit


@contextmanager
def one_or_more_workers(project: Path, rng: random.Random) -> Iterator[None]:
    """No result depends on their number."""
    before = (project / "params.yaml").read_bytes()
    set_params(project, {"runtime.workers": rng.choice([1, 3])})
    yield
    (project / "params.yaml").write_bytes(before)


def kill_dvc_alone(process: Started) -> None:
    """The orphan and the next `dvc repro` do not harm one another, whoever of the two is to work."""
    process.process.kill()
    process.process.wait()
    restore_lock(process.project)
    second = Started(process.project, "dvc", "repro", "train")
    said = second.ended()
    assert second.process.returncode == 0 or "is at work" in said, said
    process.wait_for_all()


def restore_lock(project: Path) -> None:
    """As docs/questions.md says, where DVC died while it wrote dvc.lock: it empties the file first and then fills it."""
    lock = project / "dvc.lock"
    if not lock.exists():
        return
    try:
        COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(lock.read_text()))
    except (yaml.YAMLError, voluptuous.Invalid):
        lock.unlink()
        run(project, "git", "checkout", "--", *run(project, "git", "ls-files", "dvc.lock").stdout.split())


def kill_dvc_within_its_lock(project: Path) -> bool:
    """DVC dies between emptying dvc.lock and filling it, and says that when it is started again."""
    process = Started(project, "dvc", "repro", "train", PYTHONPATH=str(injection(project)), FAULT="dvc kill lock before 1")
    said = process.ended()
    assert process.process.returncode == -signal.SIGKILL, said
    assert (project / "dvc.lock").read_bytes() == b""
    again = Started(project, "dvc", "repro", "train")
    assert "'./dvc.lock' validation failed" in again.ended()
    restore_lock(project)
    return True


def kill_within(project: Path, moment: str) -> bool:
    """Start `dvc repro train`, which kills itself while it writes a checkpoint; whether it came to that."""
    fault = f"train kill {moment}"
    process = Started(project, "dvc", "repro", "train", PYTHONPATH=str(injection(project)), FAULT=fault)
    said = process.ended()
    assert process.processes() == []
    assert process.process.returncode == 0 or any(words in said for words in KILLED), said
    assert_explained(project)
    return process.process.returncode != 0


def survives(reference: Undisturbed, folder: Path, kills: list[Callable[[Path], bool]]) -> None:
    """Strike one training after another, until every kill has hit; each ends as the undisturbed one did."""
    waiting, rounds = list(kills), 0
    while waiting:
        rounds += 1
        assert rounds <= len(kills), f"{waiting[0]} never hits"
        project = reference.fresh(folder / str(rounds))
        while waiting and waiting[0](project):
            waiting.pop(0)
        run(project, "dvc", "repro", "train")
        assert_as(project, reference)


def test_killed_now_and_then_training_ends_in_the_same_bytes(
    undisturbed: Callable[[dict[str, Any]], Undisturbed], tmp_path: Path
) -> None:
    reference = undisturbed({"schedule.n_epochs": 6, "schedule.n_epochs_decay": 6})
    somewhere = KillSomewhere("now and then", reference.seconds)
    within = [partial(kill_within, moment=moment) for moment in ("file half 1", "rename after 1", "sync before 1")]
    survives(reference, tmp_path, [somewhere, *within, somewhere, kill_dvc_within_its_lock])


@pytest.mark.complete
@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_moment_training_ends_in_the_same_bytes(
    undisturbed: Callable[[dict[str, Any]], Undisturbed], tmp_path: Path, case: str
) -> None:
    if "bf16" in case and not HAS_BF16:
        pytest.skip("this CPU has no bf16")
    reference = undisturbed(CASES[case])
    survives(reference, tmp_path, [KillSomewhere(case, reference.seconds)] * KILLS_A_CASE)


@pytest.mark.complete
def test_killed_while_it_writes_a_checkpoint_training_ends_in_the_same_bytes(
    undisturbed: Callable[[dict[str, Any]], Undisturbed], tmp_path: Path
) -> None:
    survives(undisturbed({}), tmp_path, [partial(kill_within, moment=moment) for moment in CHECKPOINT_MOMENTS])


@pytest.mark.complete
def test_killed_at_any_moment_the_whole_pipeline_ends_in_the_same_bytes(tmp_path: Path, mlflow_database: Path) -> None:
    start = repository(tmp_path / "start/project", mlflow_database, SMALL)
    one, other = (shutil.copytree(start, tmp_path / name / "project", symlinks=True) for name in ("one", "other"))
    run(one, "dvc", "repro")
    rng = random.Random(0)
    for stage in lineage.stages(other):
        process = Started(other, "dvc", "repro")
        while f"Running stage '{stage}'" not in process.log.read_text():
            assert process.process.poll() is None, process.ended()
            time.sleep(0.1)
        time.sleep(rng.uniform(0, 2.5))  # or a little into the next, but not beyond
        assert process.process.poll() is None
        process.kill()
        assert_explained(other)
        restore_lock(other)
    run(other, "dvc", "repro")
    made = [path for path in lineage.outputs(one) if (one / path).is_file()]
    assert len(made) > 10
    for path in [*made, "dvc.lock"]:  # the lock holds the digests of the folders
        assert (one / path).read_bytes() == (other / path).read_bytes(), path
    assert files(other) == files(one)
    assert [(status, curves) for status, curves, _ in mlflow_runs(other)] == [
        (status, curves) for status, curves, _ in mlflow_runs(one)
    ]
    assert "Running stage" not in run(other, "dvc", "repro").stdout
