"""`cyclegan check`: what is wrong is said before anything runs, and the estimates are of this machine."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import Result
from project import set_params
from typer.testing import CliRunner

from cyclegan.cli import app
from cyclegan.pipeline import check, paths
from cyclegan.sources import shapes


@pytest.fixture
def project(workspace: Path) -> Path:
    """A workspace whose own pictures, and raw pictures, are those of `shapes`."""
    for folder in (paths.RAW, Path("pictures")):
        shapes.make(folder, 36, 6, 4, 0).save(folder)
    return workspace


def run() -> Result:
    return CliRunner().invoke(app, ["check"])


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_project_that_can_run_is_ready_and_nothing_is_written(project: Path) -> None:
    before = files(project)
    result = run()
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].startswith("ready")
    assert "6 in trainA, 4 in testA, 6 in trainB, 4 in testB; 0 bad, 0 leaks" in result.output
    assert "12 steps" in result.output  # 6 pictures in batches of 2 for 2 + 2 epochs
    for subject in ("settings", "data", "device", "memory", "disk", "time", "tracking"):
        assert sum(line.startswith(f"{subject} ") for line in result.output.splitlines()) == 1
    assert files(project) == before


def test_every_mistake_is_named_in_one_go(project: Path) -> None:
    (paths.RAW / "trainA/00000.png").write_bytes(b"")
    shutil.copy(paths.RAW / "testB/00000.png", paths.RAW / "trainB/00000.png")
    set_params(project, {"dataset.on_leak": "error", "tracking.uri": "mlruns", "runtime.device": "cuda:99"})
    result = run()
    assert result.exit_code == 1
    assert "empty file" in result.output
    assert "dataset.on_bad_image" in result.output
    assert "dataset.on_leak" in result.output
    assert "tracking.uri" in result.output
    assert "runtime.device is cuda:99" in result.output
    assert result.output.splitlines()[-1] == "not ready: 4 to mend"
    assert "Traceback" not in result.output


def test_a_users_own_pictures_are_judged_where_they_lie(project: Path) -> None:
    shutil.rmtree(paths.RAW)
    set_params(project, {"dataset.name": "folder"})
    result = run()
    assert result.exit_code == 0, result.output
    assert "pictures: 6 in trainA" in result.output
    shutil.rmtree("pictures/trainA")
    shutil.rmtree("pictures/trainB")
    for name in ("testA", "testB"):
        shutil.rmtree(Path("pictures") / name)
    result = run()
    assert result.exit_code == 1
    assert "pictures has no trainA and trainB" in result.output


def test_validation_is_counted_and_its_absence_said(project: Path) -> None:
    result = run()
    assert "no validation pictures, so that no best generators will be chosen" in result.output
    set_params(project, {"train.stop_after_validations": 2})
    result = run()
    assert result.exit_code == 1
    assert "train.stop_after_validations is 2 in params.yaml, but there are no validation pictures" in result.output
    shutil.rmtree(paths.RAW)
    shapes.make(paths.RAW, 36, 6, 4, 0, n_val=3).save(paths.RAW)
    result = run()
    assert result.exit_code == 0, result.output
    assert "6 in trainA, 3 in valA, 4 in testA" in result.output
    assert "of it validation" in result.output
    assert "no validation pictures" not in result.output


def test_before_the_download_the_settings_are_checked_and_it_says_that_data_is_not(project: Path) -> None:
    shutil.rmtree(paths.RAW)
    result = run()
    assert result.exit_code == 0, result.output
    assert "data/raw is not there yet; `dvc repro download` brings it" in result.output
    assert "a step" in result.output
    assert "steps:" not in result.output


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_too_little_disk_is_a_failure_and_too_little_memory_a_warning(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9 - 5, 5))
    monkeypatch.setattr(check, "SPARE", 1e9)
    result = run()
    assert result.exit_code == 1
    assert "5 B are free; make room" in result.output
    assert "lower train.batch_size" in result.output


def test_a_server_that_is_away_is_a_warning(project: Path) -> None:
    set_params(project, {"tracking.uri": "http://127.0.0.1:9"})
    result = run()
    assert result.exit_code == 0, result.output
    assert "warning: MLflow at http://127.0.0.1:9 cannot be used now; the log of a run would wait" in result.output


def test_wrong_settings_are_all_there_is_to_say(project: Path) -> None:
    set_params(project, {"loss.lambda_A": -1.0, "train.batch_size": 0})
    result = run()
    assert result.exit_code == 1
    assert "loss.lambda_A is -1.0" in result.output
    assert "train.batch_size is 0" in result.output
    assert "not ready" in result.output


@pytest.mark.parametrize(
    ("settings", "fewer"),
    [({"train.keep_state": True}, {"train.keep_state": False}), ({"model.ngf": 8}, {}), ({"train.pool_size": 50}, {})],
)
def test_the_estimate_of_disk_grows_with_what_is_kept(
    project: Path, settings: dict[str, Any], fewer: dict[str, Any]
) -> None:
    from cyclegan import config

    def estimate() -> float:
        verdict = check.Verdict()
        sizes: list[float] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(check, "_size", lambda number: sizes.append(number) or "")
            check._check_training(config.load(Path("params.yaml")), None, verdict)
        assert verdict.failures == []
        return sizes[2]  # memory needed and free, disk needed and free

    set_params(project, fewer)
    small = estimate()
    set_params(project, settings)
    assert estimate() > small
