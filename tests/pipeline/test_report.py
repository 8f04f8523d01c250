"""What a report is given: the pictures as they are, and the curves of the model that is scored, not of another."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cyclegan import config
from cyclegan.data import store
from cyclegan.errors import UserError
from cyclegan.levels import to_uint8
from cyclegan.pipeline import report
from cyclegan.report.contents import Evaluation

DATA: dict[str, Any] = {
    "source": {"name": "shapes"},
    "digest": "now",
    "files": {"testA.u8": "a" * 64, "testB.u8": "b" * 64},
}
TRAINING = {
    "train_key": "k" * 64,
    "data": {"digest": "then", "trainA": 3},
    "params": {"loss.lambda_A": 10.0},
    "best": {"epoch": 3},
    "health": {"D_A": {"judged_right": 0.9}},
}
PICTURES = {"A_to_B": report.Shown(*torch.rand(3, 5, 1, 4, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1, None)}


def compose(model: Path, training: dict[str, Any] = TRAINING) -> Evaluation:
    settings = config.load(Path(__file__).resolve().parents[2] / "params.yaml").evaluate
    nothing = pd.DataFrame()
    return report.compose(model, training, DATA, "best", settings, nothing, nothing, PICTURES)


def test_pictures_are_those_that_an_8_bit_file_would_hold(tmp_path: Path) -> None:
    row = compose(tmp_path).pictures["A_to_B"][2]
    shown = PICTURES["A_to_B"]
    for pixels, tensor in ((row.input, shown.real), (row.output, shown.fake), (row.rebuilt, shown.reconstructed)):
        assert pixels.shape == (4, 6, 1)
        assert np.array_equal(pixels, to_uint8(tensor)[2].numpy())
    assert row.truth is None


def test_curves_lie_in_the_folder_of_their_model(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("step,epoch,cycle_A,lr\n20,1,0.5,0.0002\n40,1,0.25,0.0002\n")
    (tmp_path / "validation.csv").write_text("step,epoch,weights,direction,metric,value,se\n20,1,ema,A_to_B,pair_l1,0.2,\n")
    found = compose(tmp_path)
    assert found.history["cycle_A"].tolist() == [0.5, 0.25]
    assert found.validation["value"].tolist() == [0.2]
    assert (found.origin.trained_on, found.origin.scored_on, found.origin.best) == ("then", "now", {"epoch": 3})
    assert found.origin.test_digest == store.test_digest(DATA)
    assert found.health == {"D_A": {"judged_right": 0.9}}
    assert found.settings["loss.lambda_A"] == 10.0
    assert found.settings["evaluate.model"] == "models/trained"


def test_an_imported_model_has_no_curves_and_no_settings_of_training(tmp_path: Path) -> None:
    found = compose(tmp_path, {"train_key": "imported 1234", "data": None, "source": {"name": "others"}})
    assert found.history.empty
    assert found.validation.empty
    assert found.origin.trained_on is None
    assert found.health == {}
    assert {name.split(".")[0] for name in found.settings} == {"evaluate"}


@pytest.mark.parametrize("text", ["", "step,lr\n1,2\n", 'step,epoch\n1,"2\n'])
def test_a_damaged_table_of_curves_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(UserError, match=r"history\.csv is damaged: .*; restore it with `dvc checkout`, or delete it"):
        compose(tmp_path)
