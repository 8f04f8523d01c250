"""`cyclegan show-batch` draws what training is shown: rows of A above rows of B, unpaired, cropped and flipped."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from project import set_params
from typer.testing import CliRunner

from cyclegan import config
from cyclegan.cli import app
from cyclegan.data.batches import load
from cyclegan.data.store import Store
from cyclegan.levels import to_uint8
from cyclegan.pipeline import paths
from cyclegan.pipeline.download import download
from cyclegan.pipeline.pictures import make_loader, make_plan
from cyclegan.pipeline.preprocess import preprocess

GAP, SCALE = 2, 4  # px between pictures; pictures of 32 px are enlarged to cells of 128


@pytest.fixture
def prepared(workspace: Path) -> Path:
    set_params(workspace, {"dataset.n_train": 9, "train.batch_size": 1})
    settings = config.load(Path("params.yaml"))
    download(settings, lambda: None)
    preprocess(settings, lambda: None)
    return workspace


def test_rows_alternate_between_the_domains_and_hold_what_the_first_steps_hold(prepared: Path) -> None:
    result = CliRunner().invoke(app, ["show-batch", "--sets", "2", "--cols", "3", "--out", "sheets/batch.png"])
    assert result.exit_code == 0, result.output
    sheet = np.asarray(Image.open("sheets/batch.png"))
    settings = config.load(Path("params.yaml"))
    store = Store(paths.PREPARED)
    plan, loader = make_plan(store, settings), make_loader(store, settings)
    step = 32 + GAP
    assert sheet.shape == ((4 * step + GAP) * SCALE, (3 * step + GAP) * SCALE, 3)
    small = sheet[::SCALE, ::SCALE]
    shown = set()
    for number in range(6):
        decisions = plan.decisions(number)
        batch = load(loader, decisions)
        shown.add(int(decisions.A.index[0]))
        for row, real in ((2 * (number // 3), batch.real_A), (2 * (number // 3) + 1, batch.real_B)):
            top, left = GAP + row * step, GAP + number % 3 * step
            np.testing.assert_array_equal(small[top : top + 32, left : left + 32], to_uint8(real)[0].numpy())
    assert len(shown) == 6  # no picture of A twice


def test_pictures_of_other_channels_and_sizes_fit_one_sheet(prepared: Path) -> None:
    set_params(prepared, {"model.input_nc": 1, "loss.lambda_identity": 0.0, "preprocess.mode": "none"})
    preprocess(config.load(Path("params.yaml")), lambda: None)
    result = CliRunner().invoke(app, ["show-batch", "--cols", "2"])
    assert result.exit_code == 0, result.output
    assert "rows A, B, A, B of 2 pictures each" in result.output
    assert np.asarray(Image.open("batch.png")).shape[2] == 3


def test_pictures_prepared_for_other_crops_are_not_shown_as_if_training_saw_them(prepared: Path) -> None:
    set_params(prepared, {"preprocess.load_size": 64, "preprocess.crop_size": 48})
    result = CliRunner().invoke(app, ["show-batch"])
    assert result.exit_code == 1
    assert "data/prepared holds pictures of 36 px, too small for preprocess.crop_size of 48" in result.output
    assert "dvc repro preprocess" in result.output


def test_errors_are_one_line(workspace: Path) -> None:
    result = CliRunner().invoke(app, ["show-batch"])
    assert result.exit_code == 1
    assert "no prepared data" in result.output
    assert "dvc repro preprocess" in result.output


def test_an_output_that_is_no_picture_is_refused(prepared: Path) -> None:
    result = CliRunner().invoke(app, ["show-batch", "--out", "batch.txt"])
    assert result.exit_code == 1
    assert "batch.txt has no suffix of a picture format" in result.output
