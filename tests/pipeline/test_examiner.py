"""Health in a training: which pictures, what MLflow and people are told, and that nothing of it changes the training."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from cyclegan import images
from cyclegan.config import Config
from cyclegan.data.batches import Streaming
from cyclegan.evaluation.checks import CHECKS
from cyclegan.levels import to_uint8
from cyclegan.models.networks import Networks
from cyclegan.pipeline import health
from cyclegan.training.execution import Execution
from cyclegan.training.history import Row
from cyclegan.training.loop import fit
from cyclegan.training.program import Program
from cyclegan.training.state import TrainState

CPU = torch.device("cpu")
STEPS = 9  # 6 pictures in batches of 2, 2 + 1 epochs
EVERYTHING = {"model.norm": "batch", "model.dropout": True, "model.init_gain": 0.1, "runtime.sample_every_steps": 2}


class Log:
    """Remembers curves."""

    def __init__(self) -> None:
        self.points: dict[int, Mapping[str, float]] = {}

    def curve(self, values: Mapping[str, float], step: int) -> None:
        self.points[step] = values


class Quiet:
    """An observer that does nothing, or examines."""

    def __init__(self, examiner: health.Examiner | None) -> None:
        self.examiner = examiner

    def progress(self, step: int, epoch: int, terms: Row) -> None: ...

    def window(self, row: Row) -> None: ...

    def validated(self, step: int, cycle_A: float, cycle_B: float) -> None: ...

    def samples(self, step: int, grids: dict[str, images.Pixels]) -> None: ...

    def examine(self, step: int, networks: Networks, precision: AbstractContextManager[None]) -> None:
        if self.examiner is not None:
            self.examiner.examine(step, networks, precision)


@pytest.fixture
def trained(
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
    tmp_path: Path,
) -> Callable[..., tuple[TrainState, Log]]:
    """trained(examined=True): a whole training, and what it logged of its health."""

    def train(*, examined: bool) -> tuple[TrainState, Log]:
        config = make_config(**EVERYTHING)
        data, state, log = make_data(config), make_state(config), Log()
        examiner = make_examiner(config, data, log) if examined else None
        with Program(state, data.plan, data.loader, config, config.train.precision, Execution()) as program:
            fit(state, program, data.samples, None, config, Quiet(examiner), tmp_path / str(examined), lambda: None)
        return state, log

    return train


def make_examiner(config: Config, data: Any, log: Any, total: int = STEPS) -> health.Examiner:
    return health.Examiner(health.make_probe(data.loader, config, CPU), config, total, log)


def test_a_training_gives_the_same_bytes_with_and_without_it(trained: Callable[..., tuple[TrainState, Log]]) -> None:
    torch.manual_seed(0)
    (plain, nothing), (examined, log) = trained(examined=False), trained(examined=True)
    assert nothing.points == {}
    assert list(log.points) == [2, 4, 6, 8, 9]
    for name, network in plain.networks.items():
        other = dict(examined.networks.items())[name].state_dict()
        assert network.training
        assert all(torch.equal(value, other[key]) for key, value in network.state_dict().items())
    for name, average in plain.average.items():
        other = examined.average[name].state_dict()
        assert all(torch.equal(value, other[key]) for key, value in average.state_dict().items())
    assert plain.history.rows == examined.history.rows


def test_mlflow_is_told_every_value_and_how_many_fail(trained: Callable[..., tuple[TrainState, Log]]) -> None:
    _, log = trained(examined=True)
    for point in log.points.values():
        names = list(point)
        assert names[0] == "health/failing"
        ways = {f"health/{way}/{name}" for way in ("A_to_B", "B_to_A") for name in CHECKS if name != "judged_right"}
        assert set(names[1:]) == ways | {"health/D_A/judged_right", "health/D_B/judged_right"}
        bad = [name for name in names[1:] if CHECKS[name.rpartition("/")[2]].fails(point[name])]
        assert point["health/failing"] == len(bad)


class Set:
    """Pictures of given sizes (height, width), each of the one level that is its number, but for its middle pixel."""

    def __init__(self, sizes: list[tuple[int, int]]) -> None:
        self.sizes = sizes
        self.heights, self.widths = ([size[axis] for size in sizes] for axis in (0, 1))

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> images.Pixels:
        picture = np.full((*self.sizes[index], 3), index, dtype=np.uint8)
        picture[self.sizes[index][0] // 2, self.sizes[index][1] // 2] = 255
        return picture


@pytest.mark.parametrize(
    ("sizes_A", "sizes_B", "crop_size", "side"),
    [
        ([(36, 36)] * 20, [(36, 36)] * 3, 32, 32),
        ([(64, 40)] * 9, [(44, 80)] * 16, 32, 32),
        ([(64, 40), (24, 32)] * 8, [(44, 80)], 32, 24),  # whole pictures, one of them smaller than crop_size
    ],
)
def test_pictures_are_the_middles_of_evenly_spread_training_pictures_of_one_size(
    make_config: Callable[..., Config],
    sizes_A: list[tuple[int, int]],
    sizes_B: list[tuple[int, int]],
    crop_size: int,
    side: int,
) -> None:
    config = make_config(**{"preprocess.crop_size": crop_size, "train.batch_size": 3, "loss.score_per": "picture"})
    sets: Any = (Set(sizes_A), Set(sizes_B))
    probe = health.make_probe(Streaming(*sets, None), config, CPU)
    for sizes, real in ((sizes_A, probe.real_A), (sizes_B, probe.real_B)):
        assert real.shape == (min(6, len(sizes)), 3, side, side)
        pixels = to_uint8(real)
        numbers = pixels[:, 0, 0, 0].tolist()
        assert numbers[0] == 0
        assert len(set(numbers)) == len(numbers)
        assert max(np.diff([*numbers, len(sizes)])) <= -(-len(sizes) // 6)
        assert (pixels[:, side // 2, side // 2] == 255).all()
    assert (probe.batch_size, probe.per_picture) == (3, True)


def reports(monkeypatch: pytest.MonkeyPatch, *values: dict[str, float]) -> None:
    """Let measurements have these values, one after another."""
    waiting = iter(values)
    monkeypatch.setattr(health, "measure", lambda *_: next(waiting))


NOTHING: Any = SimpleNamespace()


def test_warnings_go_to_the_output_with_their_step_and_what_is_no_number_not_to_mlflow(
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, log = make_config(), Log()
    examiner = make_examiner(config, make_data(config), log, total=100)
    nan = float("nan")
    reports(monkeypatch, *[{"A_to_B/copying": value, "D_B/judged_right": nan} for value in (0.01, 0.02, 0.03, 0.3)])
    for step in (10, 20, 30, 40):
        found = examiner.examine(step, NOTHING, NOTHING)
    assert health.summary(found) == {"A_to_B": {"copying": 0.3}}
    copying, no_number, over = capsys.readouterr().out.splitlines()
    assert copying.startswith("step 30/100  warning: health/A_to_B/copying is 0.03, below 0.05: the output is the input")
    assert no_number.startswith("step 30/100  warning: health/D_B/judged_right is nan: ")
    assert over == "step 40/100  health/A_to_B/copying is 0.3: good again"
    assert [point["health/failing"] for point in log.points.values()] == [2, 2, 2, 1]
    assert [point["health/A_to_B/copying"] for point in log.points.values()] == [0.01, 0.02, 0.03, 0.3]
    assert not any("health/D_B/judged_right" in point for point in log.points.values())


def test_the_same_step_is_measured_once(
    make_config: Callable[..., Config], make_data: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()
    examiner = make_examiner(config, make_data(config), Log())
    reports(monkeypatch, {"A_to_B/copying": 0.5}, {"A_to_B/copying": 0.6})
    found = [examiner.examine(step, NOTHING, NOTHING)["A_to_B/copying"] for step in (8, 9, 9)]
    assert found == [0.5, 0.6, 0.6]


def test_a_critic_that_is_always_right_is_no_fault_and_ignored_checks_are_quiet(
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = {"A_to_B/colour_agreement": -1.0, "D_A/judged_right": 1.0}
    for changes, count in (
        ({}, 2),
        ({"loss.gan_mode": "wgangp"}, 1),
        ({"loss.gan_mode": "wgangp", "runtime.ignored_checks": ["colour_agreement"]}, 0),
    ):
        config, log = make_config(**changes), Log()
        reports(monkeypatch, bad, bad, bad)
        examiner = make_examiner(config, make_data(config), log)
        for step in (7, 8, 9):
            examiner.examine(step, NOTHING, NOTHING)
        assert capsys.readouterr().out.count("warning: ") == count
        assert log.points[9]["health/failing"] == count
        assert log.points[9]["health/A_to_B/colour_agreement"] == -1


def test_an_error_of_the_measurement_is_shown_and_does_not_stop_the_training(
    trained: Callable[..., tuple[TrainState, Log]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(health, "measure", broken)
    state, log = trained(examined=True)
    assert state.step == STEPS
    assert log.points == {}
    out, err = capsys.readouterr()
    assert "warning: the health at step 9 could not be measured (a mistake of ours); training goes on" in out
    assert "ZeroDivisionError" in err
