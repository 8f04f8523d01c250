"""Loss curves: means over windows, exact continuation, and no training past a NaN."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cyclegan.errors import UserError
from cyclegan.training.history import History, Row

TERMS = ["G_AB", "D_A"]


def values(steps: int) -> list[list[float]]:
    return np.random.default_rng(0).uniform(0, 3, (steps, len(TERMS) + 1)).tolist()


def feed(history: History, rows: list[list[float]], start: int = 0, total: int | None = None) -> list[Row]:
    made = []
    for number, row in enumerate(rows[start:], start=start + 1):
        window = history.add(number, (number - 1) // 4 + 1, row, last=number == (total or len(rows)))
        if window is not None:
            made.append(window)
    return made


def test_a_row_is_the_mean_over_its_window_and_the_last_may_be_shorter() -> None:
    data = values(8)
    windows = feed(History(TERMS, every=3), data)
    assert [(row["step"], row["epoch"]) for row in windows] == [(3, 1), (6, 2), (8, 2)]
    for row, window in zip(windows, (data[0:3], data[3:6], data[6:8]), strict=True):
        assert [row[name] for name in (*TERMS, "lr")] == pytest.approx(np.mean(window, axis=0).tolist(), rel=1e-14)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_stops_training_and_names_itself_and_the_step(bad: float) -> None:
    history = History(TERMS, every=2)
    history.add(16, 1, [1.0, 1.0, 1.0], last=False)
    with pytest.raises(UserError, match=rf"the loss D_A is {bad} at step 17;.*optimizer\.lr"):
        history.add(17, 1, [1.0, bad, 1.0], last=False)


@pytest.mark.parametrize("stop", range(9))
def test_a_restored_history_continues_to_the_same_bytes(tmp_path: Path, stop: int) -> None:
    data = values(8)
    whole = History(TERMS, every=3)
    feed(whole, data)
    first, second = History(TERMS, every=3), History(TERMS, every=3)
    feed(first, data[:stop], total=8)
    second.restore(first.tensors())
    feed(second, data, start=stop)
    assert second.rows == whole.rows
    for name, history in (("whole", whole), ("continued", second)):
        history.write_csv(tmp_path / name)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "continued").read_bytes()


def test_restoring_forgets_what_was_there() -> None:
    used = History(TERMS, every=3)
    feed(used, values(8), total=100)
    used.restore(History(TERMS, every=3).tensors())
    assert (used.rows, used.sums, used.count) == ([], [0.0] * 3, 0)


def test_csv_has_a_named_column_a_term_and_whole_steps(tmp_path: Path) -> None:
    data = values(6)
    history = History(TERMS, every=3)
    feed(history, data)
    path = tmp_path / "new" / "history.csv"
    history.write_csv(path)
    table = pd.read_csv(path)
    assert list(table.columns) == ["step", "epoch", *TERMS, "lr"]
    assert table[["step", "epoch"]].to_numpy().tolist() == [[3, 1], [6, 2]]
    assert path.read_text(encoding="utf-8").splitlines()[1].startswith("3,1,")
    np.testing.assert_allclose(table["D_A"], [np.mean([row[1] for row in data[i : i + 3]]) for i in (0, 3)], rtol=1e-8)
    assert b"\r" not in path.read_bytes()
