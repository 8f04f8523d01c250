"""The benchmark that runs a whole pipeline in parts: what it sets, what it brings back, and that parts make the whole."""

import json
import zipfile
from pathlib import Path
from typing import Any

import horse2zebra
import pytest
import torch
from PIL import Image
from project import ROOT, TINY

from cyclegan.errors import UserError
from cyclegan.exchange.files import import_weights
from cyclegan.models.specs import DiscriminatorSpec, GeneratorSpec
from cyclegan.models.weights import save
from cyclegan.pipeline import paths

SLOW = """\
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
log = pathlib.Path("log")
log.write_text(log.read_text() + "train\\n")
time.sleep(0 if log.read_text().count("train") > 1 else 60)
"""
QUICK = (
    'import pathlib; log = pathlib.Path("log"); log.write_text((log.read_text() if log.exists() else "") + "{stage}\\n")\n'
)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Four pictures of 40 px a set, in the layout of the official archives."""
    path = tmp_path / "horse2zebra.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number, name in enumerate(("trainA", "trainB", "testA", "testB")):
            for index in range(4):
                picture = tmp_path / "one.png"
                Image.radial_gradient("L").rotate(90 * index).resize((40 + number, 40)).convert("RGB").save(picture)
                file.write(picture, f"horse2zebra/{name}/{index}.png")
    return path


@pytest.mark.parametrize("preset", ["horse2zebra", "horse2zebra-best"])
def test_settings_are_the_presets_with_the_archive_the_seed_and_changes(archive: Path, preset: str) -> None:
    config = horse2zebra._settings(archive, preset, 7, ["train.batch_size=2", "schedule.n_epochs=1"])
    assert (config.dataset.name, config.dataset.url) == ("horse2zebra", archive.as_uri())
    assert (config.seed, config.train.batch_size, config.schedule.n_epochs, config.model.ngf) == (7, 2, 1, 64)


@pytest.mark.parametrize(
    ("changes", "said"),
    [(["seed"], "is not KEY=VALUE"), (["train.batch=2"], r"params\.yaml with horse2zebra.*train\.batch")],
)
def test_changes_that_make_no_sense_are_told(archive: Path, changes: list[str], said: str) -> None:
    with pytest.raises(UserError, match=f"(?s){said}"):
        horse2zebra._settings(archive, "horse2zebra", 0, changes)


def test_an_archive_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.zip: No such file or directory; give the archive"):
        horse2zebra._settings(tmp_path / "none.zip", "horse2zebra", 0, [])


def test_a_folder_belongs_to_its_settings(archive: Path, tmp_path: Path) -> None:
    for _ in range(2):
        horse2zebra._prepare(tmp_path / "work", horse2zebra._settings(archive, "horse2zebra", 0, []))
    assert (tmp_path / "work/stages/train.py").read_bytes() == (ROOT / "stages/train.py").read_bytes()
    with pytest.raises(UserError, match="was begun with another archive, preset, seed or --set"):
        horse2zebra._prepare(tmp_path / "work", horse2zebra._settings(archive, "horse2zebra", 1, []))


def test_what_is_brought_back_takes_the_place_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    for place in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(UserError, match="holds other things than results of this script; give an empty or another"):
            horse2zebra._check_results(place)
    (tmp_path / "parts.json").touch()
    horse2zebra._check_results(tmp_path)
    horse2zebra._check_results(tmp_path / "not there yet")


def test_a_stage_that_is_stopped_goes_on_in_the_next_call_and_none_runs_twice(archive: Path, tmp_path: Path) -> None:
    config = horse2zebra._settings(archive, "horse2zebra", 0, ["runtime.device=cpu"])
    horse2zebra._prepare(tmp_path, config)
    for stage in horse2zebra.STAGES:
        (tmp_path / f"stages/{stage}.py").write_text(SLOW if stage == "train" else QUICK.format(stage=stage))
    assert not horse2zebra._go_on(tmp_path, config, horse2zebra.time.monotonic() + 6)
    assert not horse2zebra._go_on(tmp_path, config, horse2zebra.time.monotonic() - 1), "no time at all"
    assert horse2zebra._go_on(tmp_path, config, float("inf"))
    assert (tmp_path / "log").read_text().split() == ["download", "preprocess", "train", "train", "evaluate", "export"]
    record = json.loads((tmp_path / "parts.json").read_text())
    assert [part["finished"] for part in record["parts"] if part["stage"] == "train"] == [False, False, True]
    assert record["machine"]["device"] == "cpu"


def test_a_stage_that_fails_is_told_and_is_run_again(archive: Path, tmp_path: Path) -> None:
    config = horse2zebra._settings(archive, "horse2zebra", 0, ["runtime.device=cpu"])
    horse2zebra._prepare(tmp_path, config)
    (tmp_path / "stages/download.py").write_text("raise SystemExit(1)")
    for _ in range(2):
        with pytest.raises(UserError, match="the stage download ended with status 1, see above"):
            horse2zebra._go_on(tmp_path, config, float("inf"))


def test_generators_are_brought_back_in_half_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    work, results = tmp_path / "work", tmp_path / "results"
    for name in ("G_AB", "G_BA"):
        spec = GeneratorSpec(name, "resnet_6blocks", 4, "instance", False, 3, 3, 32, "key", "raw")
        save(work / paths.TRAINED / name, spec.build().state_dict(), spec)
    judge = DiscriminatorSpec("B", "basic", 4, 3, "instance", 3, "key")
    save(work / paths.TRAINED / "D_B", judge.build().state_dict(), judge)
    (work / "metrics").mkdir()
    (work / "params.yaml").write_text("seed: 0\n")
    horse2zebra._bring_back(work, results)
    assert {path.name for path in results.rglob("*")} == {"metrics", "params.yaml"}
    (work / paths.EXPORT_METRICS).write_text("{}")
    horse2zebra._bring_back(work, results)
    assert sorted(path.name for path in (results / "generators").iterdir()) == ["latest_net_G_A.pth", "latest_net_G_B.pth"]
    read = import_weights(results / "generators", tmp_path / "weights", size=32)
    assert [network.name for network in read] == ["G_AB", "G_BA"]
    monkeypatch.setattr(horse2zebra, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match=r"has 0\.\d MB, which is more than 0"):
        horse2zebra._bring_back(work, results)


@pytest.mark.complete
def test_a_whole_pipeline_in_parts_gives_the_bytes_of_one_call(
    archive: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = ("seed", "dataset.name", "dataset.url", "dataset.n_val", "train.validate_every_epochs", "evaluate.protocols")
    settings: dict[str, Any] = {name: value for name, value in TINY.items() if name not in own}
    settings |= {"schedule.n_epochs": 150, "evaluate.protocols": [], "runtime.sample_every_steps": 100}
    changes = [f"{name}={json.dumps(value)}" for name, value in settings.items()]
    config = horse2zebra._settings(archive, "horse2zebra", 0, changes)
    whole, parts = (tmp_path / name for name in ("whole", "parts"))
    for work in (whole, parts):
        horse2zebra._prepare(work, config)
    assert horse2zebra._go_on(whole, config, float("inf"))
    assert "continuing after step" not in capfd.readouterr().out
    calls = 0
    while not horse2zebra._go_on(parts, config, horse2zebra.time.monotonic() + 8 * 2**calls):  # on a busy machine, too
        calls += 1
    assert "continuing after step" in capfd.readouterr().out
    for name in ("metrics/train.json", "reports/history.csv", "models/trained/G_AB/generator.safetensors"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name
