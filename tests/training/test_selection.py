"""The best so far: by the mean of both directions, the earlier of equals, never by what is no number; and when to stop."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from cyclegan.training.selection import COLUMNS, Best, Better, Scored, Selection, number


def generators(value: float) -> dict[str, nn.Module]:
    made = {name: nn.Conv2d(2, 2, 1) for name in ("G_AB", "G_BA")}
    for network in made.values():
        nn.init.constant_(network.weight, value)
    return made


def rows(step: int, weights: Any, values: tuple[float | None, float | None], se: float | None = None) -> list[Scored]:
    directions = ("A_to_B", "B_to_A")
    return [
        Scored(step, step // 3, weights, one, "pair_l1", value, se) for one, value in zip(directions, values, strict=True)
    ]


def chosen(selection: Selection) -> tuple[int, str, float]:
    assert selection.best is not None
    weight = selection.best.generators["G_BA"]["weight"]
    return selection.best.step, selection.best.weights, float(weight[0, 0, 0, 0])


def consider(selection: Selection, step: int, weights: str, values: Any, better: Better = "lower", of: float = 0.0) -> bool:
    return selection.consider(rows(step, weights, values), generators(of), better)


@pytest.mark.parametrize(("better", "wanted"), [("lower", (6, "ema", 4.0)), ("higher", (3, "raw", 1.0))])
def test_the_best_is_that_of_the_best_mean_over_both_directions(better: Better, wanted: Any) -> None:
    selection = Selection()
    for step, weights, values, of in (
        (3, "raw", (9.0, 1.0), 1.0),
        (3, "ema", (4.0, 5.0), 2.0),
        (6, "raw", (0.1, 8.0), 3.0),  # the best in one direction alone
        (6, "ema", (2.0, 2.1), 4.0),
        (9, "raw", (4.0, 4.0), 5.0),
    ):
        consider(selection, step, weights, values, better, of)
    assert chosen(selection) == wanted
    assert len(selection.rows) == 10
    assert [row.value for row in selection.at(6)] == [0.1, 8.0, 2.0, 2.1]


def test_of_equals_the_earlier_stays() -> None:
    selection = Selection()
    assert consider(selection, 3, "raw", (1.0, 2.0), of=1.0)
    assert not consider(selection, 3, "ema", (2.0, 1.0), of=2.0)
    assert not consider(selection, 6, "raw", (1.5, 1.5), of=3.0)
    assert chosen(selection) == (3, "raw", 1.0)


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("better", ["lower", "higher"])
def test_what_is_no_number_is_never_the_best(nothing: float | None, better: Better) -> None:
    selection = Selection()
    assert not consider(selection, 3, "raw", (nothing, 1.0), better)
    assert selection.best is None
    assert consider(selection, 6, "raw", (5.0, 5.0), better)
    assert not consider(selection, 9, "raw", (1.0, nothing), better)
    assert chosen(selection)[0] == 6
    assert [number(value) for value in (1.0, math.nan, math.inf)] == [1.0, None, None]


def test_the_copy_does_not_follow_the_generators() -> None:
    selection, networks = Selection(), generators(1.0)
    networks["G_AB"].to(memory_format=torch.channels_last)
    selection.consider(rows(3, "raw", (1.0, 1.0)), networks, "lower")
    nn.init.constant_(networks["G_BA"].weight, 7.0)
    assert chosen(selection) == (3, "raw", 1.0)
    assert selection.best is not None
    assert all(tensor.is_contiguous() for own in selection.best.generators.values() for tensor in own.values())


def test_errors_of_the_directions_are_those_of_independent_means() -> None:
    selection = Selection()
    one, other = rows(3, "raw", (1.0, 2.0))
    selection.consider([Scored(**vars(one) | {"se": 3.0}), Scored(**vars(other) | {"se": 4.0})], generators(0), "lower")
    assert selection.best is not None
    assert (selection.best.value, selection.best.se) == (1.5, 2.5)
    assert selection.best.reported() == {
        "epoch": 1, "step": 3, "weights": "raw", "metric": "pair_l1", "value": 1.5, "se": 2.5
    }  # fmt: skip


def test_validations_in_vain_are_those_after_the_best() -> None:
    selection = Selection()
    assert selection.in_vain() == 0
    consider(selection, 3, "raw", (None, None))
    consider(selection, 3, "ema", (None, None))
    assert selection.in_vain() == 1
    consider(selection, 6, "raw", (3.0, 3.0))
    consider(selection, 6, "ema", (4.0, 4.0))
    assert selection.in_vain() == 0
    for step in (9, 12):
        consider(selection, step, "raw", (3.5, 3.5))
        consider(selection, step, "ema", (3.0, 3.0))
    assert selection.in_vain() == 2
    consider(selection, 15, "raw", (9.0, 9.0))
    consider(selection, 15, "ema", (2.0, 2.0))
    assert selection.in_vain() == 0


def test_the_table_has_a_row_a_score_or_its_header_alone(tmp_path: Path) -> None:
    Selection().write_csv(tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text() == ",".join(COLUMNS) + "\n"
    selection = Selection()
    selection.consider(rows(3, "raw", (1 / 3, None), se=0.25), generators(0), "lower")
    selection.write_csv(tmp_path / "some.csv")
    assert (tmp_path / "some.csv").read_text().splitlines()[1:] == [
        "3,1,raw,A_to_B,pair_l1,0.333333333,0.25",
        "3,1,raw,B_to_A,pair_l1,,0.25",
    ]
    assert pd.read_csv(tmp_path / "some.csv")["value"].isna().tolist() == [False, True]


def test_it_is_restored_from_what_a_checkpoint_holds() -> None:
    selection = Selection("pair_l1 on these", stopped=4)
    selection.consider(rows(3, "raw", (1 / 3, 0.1), se=1e-17), generators(2.0), "lower")
    selection.consider(rows(6, "ema", (None, 0.1)), generators(3.0), "lower")
    there = selection.tensors()
    again = Selection.restored(selection.about(), there | {"G_AB/weight": torch.zeros(1)})
    assert (again.rows, again.about()) == (selection.rows, selection.about())
    assert isinstance(again.best, Best)
    assert {name: sorted(own) for name, own in again.best.generators.items()} == {
        name: ["bias", "weight"] for name in ("G_AB", "G_BA")
    }
    assert all(torch.equal(tensor, again.tensors()[name]) for name, tensor in there.items())
    nothing = Selection.restored(Selection().about(), {})
    assert (nothing.best, nothing.rows, nothing.stopped) == (None, [], 0)
