"""The table of scores: what is undefined is empty, in every form that it takes."""

import math
from pathlib import Path

import pandas as pd
import torch

from cyclegan.evaluation.estimate import Estimate
from cyclegan.pipeline import scores

EASY, HARD = {"fake": torch.tensor([0.0, 0.02])}, {"fake": torch.tensor([0.02, 0.08])}
TABLES = {
    "A_to_B": {
        "model": {"pair_l1": Estimate(0.123456789, 0.01, 0.1, 0.15, EASY), "cycle_psnr": Estimate(math.inf)},
        "copy_input": {"pair_l1": Estimate(0.5, 0.02, 0.4, 0.6, HARD)},
    },
    "B_to_A": {"model": {"kid_x1000_test": Estimate(math.nan)}},
}
TABLE = scores.table(TABLES, {"A_to_B": 4, "B_to_A": 5})


def test_a_row_a_direction_a_subject_and_a_metric(tmp_path: Path) -> None:
    scores.write(TABLE, tmp_path / "reports/scores.csv")
    assert (tmp_path / "reports/scores.csv").read_text().splitlines() == [
        "direction,subject,metric,value,se,low,high,se_from_model,pictures",
        "A_to_B,model,pair_l1,0.123457,0.01,0.1,0.15,,4",
        "A_to_B,model,cycle_psnr,,,,,,4",
        "A_to_B,copy_input,pair_l1,0.5,0.02,0.4,0.6,0.0632456,4",
        "B_to_A,model,kid_x1000_test,,,,,,5",
    ]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "reports/scores.csv"), TABLE)


def test_values_are_nested_and_flat() -> None:
    assert scores.nested(TABLE) == {
        "A_to_B": {"model": {"pair_l1": 0.123457, "cycle_psnr": None}, "copy_input": {"pair_l1": 0.5}},
        "B_to_A": {"model": {"kid_x1000_test": None}},
    }
    assert scores.flat(TABLE) == {
        "A_to_B/model/pair_l1": 0.123457,
        "A_to_B/model/pair_l1_se": 0.01,
        "A_to_B/copy_input/pair_l1": 0.5,
        "A_to_B/copy_input/pair_l1_se": 0.02,
    }


def test_the_screen_shows_intervals_of_generators_beside_trivial_answers() -> None:
    lines = [line.split() for line in scores.as_text(TABLE).splitlines()]
    assert lines[0] == ["A_to_B", "model", "copy_input"]
    assert ["pair_l1", "0.1235", "[0.1,", "0.15]", "0.5"] in lines
    assert ["cycle_psnr", "-", "-"] in lines
    assert ["B_to_A", "model"] in lines
