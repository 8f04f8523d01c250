"""What happens around a stage that runs: edits, a second one, an orphan, a full disk, no permission, no memory, Ctrl-C."""

import platform
import re
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from faults.processes import PATIENCE_SECONDS, Started, injection, mlflow_runs, outputs, paused
from faults.unprivileged import drop
from project import TINY, run, set_params
from repositories import changed, repository

from cyclegan import lineage
from cyclegan.pipeline import paths

SETTINGS = {
    "train.precision": "float32",
    "train.pool_size": 50,  # so that a checkpoint is larger than anything else
    "runtime.checkpoint_every_seconds": 0.1,
}
STAGES = ("download", "preprocess", "train", "evaluate", "export")
AT_WORK = {  # a moment after the stage has looked at what it depends on, and before it looks again
    "download": "data/raw.partial mkdir 1",
    "preprocess": "data/prepared.partial mkdir 1",
    "train": "data/prepared/dataset.json open 1",
    "evaluate": "models/trained/training.json open 1",
    "export": "models/exported.partial mkdir 1",
}
PARAMS: dict[str, tuple[str, Any]] = {  # one that the stage depends on, by what declares it, and another value
    "download": ("dataset.n_test", 5),
    "preprocess": ("preprocess", {"min_side": 8}),
    "train": ("loss", {"lambda_A": 9.0}),
    "evaluate": ("evaluate", {"gallery_size": 1}),
    "export": ("export", {"tolerance": 0.5}),
}
DATA = {
    "download": "pictures/README.md",
    "preprocess": "data/raw/source.json",
    "train": "data/prepared/dataset.json",
    "evaluate": "models/trained/training.json",
    "export": "metrics/evaluate.json",
}
complete = pytest.mark.complete


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Path:
    return repository(tmp_path_factory.mktemp("guards") / "project", mlflow_database, SETTINGS)


@pytest.fixture(autouse=True)
def nothing_is_left_behind(project: Path) -> Iterator[None]:
    yield
    assert set(changed(project)) <= {"dvc.lock", *lineage.outputs(project)}


def done_before(project: Path, stage: str) -> None:
    """Run what the stage needs, as a user would who goes on after the test before."""
    before = STAGES[: STAGES.index(stage)]
    if before:
        run(project, "dvc", "repro", before[-1])


def written_by(project: Path, stage: str) -> list[str]:
    declaration = lineage.stages(project)[stage]
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in declaration.get(kind, [])]
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


@contextmanager
def edited(project: Path, *edits: tuple[str, Callable[[str], str]]) -> Iterator[None]:
    """Files changed within, and as they were afterwards."""
    before = {name: (project / name).read_bytes() for name, _ in edits}
    for name, change in edits:
        (project / name).write_text(change((project / name).read_text()))
    try:
        yield
    finally:
        for name, content in before.items():
            (project / name).write_bytes(content)


def another(stage: str) -> Callable[[str], str]:
    """params.yaml with another value of what the stage depends on."""
    name, value = PARAMS[stage]

    def change(text: str) -> str:
        params = yaml.safe_load(text)
        if isinstance(value, dict):
            params[name] |= value
        else:
            section, _, key = name.partition(".")
            params[section][key] = value
        return yaml.safe_dump(params, sort_keys=False)

    return change


def with_comment(text: str) -> str:
    return text + "# touched\n"


def with_space(text: str) -> str:
    return text + "\n"


def assert_nothing_recorded(project: Path, stage: str, said: str, lock: bytes | None) -> str:
    """Returns the names of what changed, as the error gives them."""
    assert "Traceback" not in said
    assert f"error: params, data or code changed while the stage {stage} ran" in said
    assert f"failed to run: python stages/{stage}.py, exited with 1" in said
    assert lock_of(project) == lock
    return said.partition("Changed: ")[2].partition("\n")[0]


def lock_of(project: Path) -> bytes | None:
    return (project / "dvc.lock").read_bytes() if (project / "dvc.lock").exists() else None


@pytest.mark.parametrize(
    "stage", [stage if stage == "preprocess" else pytest.param(stage, marks=complete) for stage in STAGES]
)
def test_edits_while_a_stage_runs_make_it_fail_by_their_names_and_write_nothing(project: Path, stage: str) -> None:
    done_before(project, stage)
    lock, code = lock_of(project), f"src/cyclegan/pipeline/{stage}.py"
    with paused(project, stage, AT_WORK[stage]) as (_, go_on):
        edits = [("params.yaml", another(stage)), (DATA[stage], with_space), (code, with_comment)]
        with edited(project, *edits):
            said = go_on()
            names = assert_nothing_recorded(project, stage, said, lock)
        assert names.split(", ") == sorted([f"params {PARAMS[stage][0]}", DATA[stage], code])
    written = {path for path in written_by(project, stage) if (project / path).exists()}
    assert written <= {str(paths.PROBLEMS)}  # which is for mending bad pictures, and written before anything fails


@complete
@pytest.mark.parametrize(
    ("moment", "edit"),
    [
        ("params.yaml open 1", ("src/cyclegan/data/store.py", with_comment)),  # imported already, not yet looked at
        ("metrics/dataset.json open 1", ("params.yaml", another("preprocess"))),  # looked at again, not yet recorded
    ],
)
def test_edits_at_the_very_beginning_or_end_of_a_stage_are_noticed(
    project: Path, moment: str, edit: tuple[str, Callable[[str], str]]
) -> None:
    done_before(project, "preprocess")
    lock = lock_of(project)
    with paused(project, "preprocess", moment) as (_, go_on), edited(project, edit):
        assert_nothing_recorded(project, "preprocess", go_on(), lock)


def trained_and_forgotten(project: Path) -> dict[str, bytes]:
    """What training makes, undisturbed; afterwards `dvc repro` knows nothing of it, and it is trained anew."""
    done_before(project, "evaluate")
    made = outputs(project)
    for folder in (project / paths.CHECKPOINTS).glob("*/"):
        shutil.rmtree(folder)
    shutil.rmtree(project / ".dvc/cache/runs")
    lock = yaml.safe_load((project / "dvc.lock").read_text())
    del lock["stages"]["train"]
    (project / "dvc.lock").write_text(yaml.safe_dump(lock))
    return made


def test_a_second_one_and_an_orphan_are_named_and_neither_is_harmed(project: Path) -> None:
    expected, lock = trained_and_forgotten(project), lock_of(project)
    with paused(project, "train", "reports/history.csv open 1") as (first, go_on):
        second = run(project, "dvc", "repro", "train", check=False)
        assert second.returncode != 0
        assert "is busy" in second.stderr
        assert str(first.process.pid) in second.stderr
        first.process.kill()
        first.process.wait()
        (orphan,) = [pid for pid in first.processes() if is_python(pid)]
        third = run(project, "dvc", "repro", "train", check=False)
        assert third.returncode != 0
        assert "Traceback" not in third.stderr
        holder = rf"stage train \(process {orphan} on {re.escape(platform.node())}, since [-\d]+ [:\d]+\) is at work in"
        assert re.search(rf"error: {holder} {re.escape(str(project))}, perhaps left over", third.stderr)
        assert lock_of(project) == lock
        go_on()
    assert "continuing after step 12" in run(project, "dvc", "repro", "train").stdout
    assert outputs(project) == expected


def is_python(pid: int) -> bool:
    return b"stages/train.py" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def full_disk(process: Started, largest: int) -> None:
    """From now on no file of the command's processes may grow beyond so many bytes."""
    for pid in process.processes():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest, largest))


def checkpoints(project: Path) -> list[Path]:
    return sorted((project / paths.CHECKPOINTS).glob("*/*"))


@complete
def test_a_disk_that_is_full_while_checkpointing_costs_a_warning_and_no_training(project: Path) -> None:
    longer = {"schedule.n_epochs": 20, "schedule.n_epochs_decay": 20, "train.keep_state": False}
    set_params(project, longer)
    try:
        expected = trained_and_forgotten(project)
        process, deadline = Started(project, "dvc", "repro", "-f", "-s", "train"), time.monotonic() + PATIENCE_SECONDS
        while len(checkpoints(project)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        full_disk(process, checkpoints(project)[0].stat().st_size // 4 * 3)
        said = process.ended()
        saved = int(checkpoints(project)[-1].stem.removeprefix("step-"))
        warning = (
            rf"warning: the checkpoint of step \d+ cannot be written to .*File too large.*; that of step {saved} stays"
        )
        assert re.search(warning, said)
        assert process.process.returncode == 0
        assert 0 < saved < 120
        assert all(path.suffix == ".safetensors" for path in checkpoints(project))
        assert outputs(project) == expected
    finally:
        set_params(project, TINY | SETTINGS)


def assert_one_line(said: str, line: str) -> None:
    assert "Traceback" not in said
    assert re.search(f"^error: {line}$", said, re.MULTILINE), said


FULL = r"[^\n]*File too large[^\n]*; make room and run `dvc repro` again"


@complete
def test_a_disk_that_is_full_while_writing_the_result_is_one_line_and_costs_no_training(project: Path) -> None:
    expected = trained_and_forgotten(project)
    size = len(expected[str(paths.TRAINED / paths.STATE)])
    with paused(project, "train", "params.yaml open 2") as (process, go_on):  # after the last checkpoint
        full_disk(process, size // 4 * 3)
        assert_one_line(go_on(), f"stage train: {FULL}")
    assert mlflow_runs(project)[-1][0] == "FAILED"
    again = run(project, "dvc", "repro", "train").stdout
    assert "continuing after step 12" in again
    assert "step 12/12" not in again
    assert outputs(project) == expected
    assert mlflow_runs(project)[-1][0] == "FINISHED"


@complete
@pytest.mark.parametrize("largest", [100_000, 135_000, 250_000])  # less than the weights, than ONNX, than the program
def test_a_disk_that_is_full_while_exporting_is_one_line_and_leaves_nothing(project: Path, largest: int) -> None:
    done_before(project, "export")
    with paused(project, "export", AT_WORK["export"]) as (process, go_on):
        full_disk(process, largest)
        assert_one_line(go_on(), f"stage export: {FULL}")
    assert not (project / paths.EXPORTED).exists()
    assert not (project / paths.EXPORT_METRICS).exists()


@pytest.fixture
def read_only(project: Path) -> Iterator[Callable[[Path], None]]:
    """read_only(folder): nothing below it can be changed until the test ends."""
    modes: dict[Path, int] = {}

    def protect(folder: Path) -> None:
        for path in [*folder.rglob("*"), folder]:
            modes[path] = path.stat().st_mode
            path.chmod(modes[path] & ~0o222)

    yield protect
    for path, mode in reversed(modes.items()):
        path.chmod(mode)


@complete
def test_raw_pictures_that_are_read_only_are_prepared(project: Path, read_only: Callable[[Path], None]) -> None:
    done_before(project, "preprocess")
    read_only(project / paths.RAW)
    process = Started(project, "dvc", "repro", "-f", "-s", "preprocess", preexec=drop)
    assert "prepared 6 in trainA" in process.ended()
    assert process.process.returncode == 0


@complete
def test_a_folder_of_models_that_is_read_only_is_named_and_costs_no_training(
    project: Path, read_only: Callable[[Path], None]
) -> None:
    expected = trained_and_forgotten(project)
    shutil.rmtree(project / paths.TRAINED)
    read_only(project / "models")
    said = Started(project, "dvc", "repro", "-f", "-s", "train", preexec=drop).ended()
    assert_one_line(said, "stage train: Permission denied: models/trained.*; mend that and run `dvc repro` again")
    (project / "models").chmod(0o755)
    assert "continuing after step 12" in run(project, "dvc", "repro", "train").stdout
    assert outputs(project) == expected


@complete
def test_a_device_out_of_memory_is_one_line_that_says_what_to_lower(project: Path) -> None:
    expected = trained_and_forgotten(project)
    fault = {"PYTHONPATH": str(injection(project)), "FAULT": "train raise memory now 1"}
    said = Started(project, "dvc", "repro", "-f", "-s", "train", **fault).ended()
    assert_one_line(
        said,
        r"memory ran out \(CUDA out of memory\. Tried to allocate 2\.50 GiB\.\) with train\.batch_size 2 and "
        r"preprocess\.crop_size 32 in params\.yaml; raise train\.accumulate or set train\.checkpoint_activations to true, "
        r".* or lower train\.batch_size, then preprocess\.crop_size, .*",
    )
    assert mlflow_runs(project)[-1][0] == "FAILED"
    run(project, "dvc", "repro", "train")
    assert outputs(project) == expected


@complete
@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_ends_a_stage_without_a_traceback_and_the_next_time_it_runs(project: Path, stage: str) -> None:
    done_before(project, stage)
    with paused(project, stage, AT_WORK[stage]) as (process, _):
        process.signal(signal.SIGINT)
        said = process.ended()
    assert "Traceback" not in said
    assert f"stage {stage}: interrupted; `dvc repro` runs it again" in said
    assert f"failed to run: python stages/{stage}.py, exited with 130" in said
    run(project, "dvc", "repro", stage)
