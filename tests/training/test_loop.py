"""The loop: interrupted and continued is as good as undisturbed, and whoever watches is told."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_checkpoint import assert_equal

from cyclegan import images
from cyclegan.config import Config
from cyclegan.errors import Interrupted, UserError
from cyclegan.levels import to_pixels
from cyclegan.models.networks import Networks
from cyclegan.training import checkpoint, schedule
from cyclegan.training.checkpoint import checkpoints, restore_checkpoint
from cyclegan.training.execution import Execution
from cyclegan.training.history import Row
from cyclegan.training.loop import fit
from cyclegan.training.program import Program
from cyclegan.training.selection import Scored
from cyclegan.training.state import TrainState

CPU = torch.device("cpu")
TOTAL = 9  # steps: 6 pictures in batches of 2, 2 + 1 epochs


class Watcher:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.progresses: list[tuple[int, int, Row]] = []
        self.windows: list[Row] = []
        self.validations: list[tuple[int, float, float]] = []
        self.scored: dict[int, list[Scored]] = {}
        self.grids: dict[int, dict[str, images.Pixels]] = {}
        self.examined: list[int] = []

    def progress(self, step: int, epoch: int, terms: Row) -> None:
        self.progresses.append((step, epoch, terms))

    def window(self, row: Row) -> None:
        self.windows.append(row)

    def validated(self, step: int, cycle_A: float, cycle_B: float, scores: Sequence[Scored]) -> None:
        self.validations.append((step, cycle_A, cycle_B))
        if scores:
            self.scored[step] = list(scores)

    def samples(self, step: int, grids: dict[str, images.Pixels]) -> None:
        self.grids[step] = grids

    def examine(self, step: int, networks: Networks, precision: AbstractContextManager[None]) -> None:
        self.examined.append(step)


def never() -> None:
    return None


def stop_after(steps: int) -> Callable[[], int | None]:
    """A signal that comes during step number `steps` of this run."""
    count = iter(range(1, 1000))
    return lambda: 15 if next(count) >= steps else None


def run(
    config: Config, data: Any, folder: Path, state: TrainState, stop: Callable[[], int | None] = never
) -> tuple[TrainState, Watcher]:
    watcher = Watcher()
    with Program(state, data.plan, data.loader, config, config.train.precision, Execution()) as program:
        fit(state, program, data.samples, data.validation, config, watcher, folder, stop)
    return state, watcher


@pytest.fixture(scope="module")
def config(make_config: Callable[..., Config]) -> Config:
    return make_config(**{"runtime.log_every_steps": 4, "runtime.sample_every_steps": 5, "train.history_every_steps": 4})


@pytest.fixture(scope="module")
def data(make_data: Callable[..., Any], config: Config) -> Any:
    return make_data(config)


@pytest.fixture(scope="module")
def undisturbed(
    config: Config, data: Any, make_state: Callable[[Config], TrainState], tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainState, Watcher]:
    return run(config, data, tmp_path_factory.mktemp("undisturbed"), make_state(config))


def csv(state: TrainState, path: Path) -> bytes:
    state.history.write_csv(path)
    return path.read_bytes()


@pytest.mark.parametrize("stops", [[1], [3], [6], [8], [2, 3]])
def test_stopped_and_continued_equals_undisturbed(
    tmp_path: Path,
    make_config: Callable[..., Config],
    config: Config,
    data: Any,
    make_state: Callable[[Config], TrainState],
    undisturbed: tuple[TrainState, Watcher],
    stops: list[int],
) -> None:
    done = 0
    for steps in stops:
        state = make_state(config)
        restore_checkpoint(state, tmp_path)
        done += steps
        with pytest.raises(Interrupted, match=f"signal 15 after step {done} of {TOTAL}"):
            run(config, data, tmp_path, state, stop_after(steps))
        assert checkpoints(tmp_path)[0].stem == f"step-{done:09d}"
    elsewhere = {"runtime.log_every_steps": 1, "runtime.sample_every_steps": 2, "runtime.checkpoint_every_seconds": 1e-9}
    other = make_config(**{"train.history_every_steps": 4, **elsewhere})  # nothing in `runtime` changes a result
    state = make_state(other)
    restore_checkpoint(state, tmp_path)
    assert state.step == done
    _, watcher = run(other, data, tmp_path, state)
    assert_equal(state, undisturbed[0])
    assert watcher.windows == undisturbed[1].windows
    assert csv(state, tmp_path / "a.csv") == csv(undisturbed[0], tmp_path / "b.csv")


def test_killed_between_checkpoints_and_continued_equals_undisturbed(
    tmp_path: Path,
    make_config: Callable[..., Config],
    data: Any,
    make_state: Callable[[Config], TrainState],
    undisturbed: tuple[TrainState, Watcher],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint, "LARGEST_SHARE", 1.0)  # a checkpoint after every step
    config = make_config(**{"train.history_every_steps": 4, "runtime.checkpoint_every_seconds": 1e-9})
    calls = iter(range(1, 100))

    def killed() -> None:
        if next(calls) == 6:
            raise SystemExit

    with pytest.raises(SystemExit):
        run(config, data, tmp_path, make_state(config), killed)
    state = make_state(config)
    restore_checkpoint(state, tmp_path)
    assert state.step == 5
    run(config, data, tmp_path, state)
    assert_equal(state, undisturbed[0])


def test_where_no_checkpoint_can_be_written_training_goes_on_and_the_signals_message_says_from_where(
    tmp_path: Path,
    make_config: Callable[..., Config],
    data: Any,
    make_state: Callable[[Config], TrainState],
    undisturbed: tuple[TrainState, Watcher],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = make_config(**{"train.history_every_steps": 4})

    def full_disk(*_: Any) -> Path:
        raise OSError(28, "No space left on device")

    with pytest.raises(Interrupted, match="after step 3 of 9; `dvc repro` continues from there"):
        run(config, data, tmp_path, make_state(config), stop_after(3))
    state = make_state(config)
    restore_checkpoint(state, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_checkpoint", full_disk)
        with pytest.raises(Interrupted, match="after step 5 of 9; `dvc repro` continues from step 3"):
            run(config, data, tmp_path, state, stop_after(2))
        assert "the checkpoint of step 5 cannot be written" in capsys.readouterr().out
        run(config, data, tmp_path, state)
    assert [path.stem for path in checkpoints(tmp_path)] == ["step-000000003"]
    assert_equal(state, undisturbed[0])


def test_the_observer_receives_every_window_and_the_losses_at_their_steps(
    config: Config, undisturbed: tuple[TrainState, Watcher]
) -> None:
    state, watcher = undisturbed
    assert [(row["step"], row["epoch"]) for row in watcher.windows] == [(4, 2), (8, 3), (9, 3)]
    assert watcher.windows == [state.history.row(index) for index in range(3)]
    assert [(step, epoch) for step, epoch, _ in watcher.progresses] == [(4, 2), (8, 3), (9, 3)]
    for _, _, terms in watcher.progresses:
        assert list(terms) == ["G_AB", "G_BA", "cycle_A", "cycle_B", "idt_A", "idt_B", "D_A", "D_B", "lr"]
    rates = [config.optimizer.lr * schedule.factor(step // 3, config.schedule) for step in range(TOTAL)]
    expected = [np.mean(rates[:4]), np.mean(rates[4:8]), rates[8]]
    assert [row["lr"] for row in watcher.windows] == pytest.approx(expected)
    assert rates[0] > rates[8] > 0
    assert state.optimizers.G.param_groups[0]["lr"] == state.optimizers.D.param_groups[0]["lr"] == rates[8]


def test_the_observer_receives_samples_of_the_generators_as_they_are(
    data: Any, undisturbed: tuple[TrainState, Watcher]
) -> None:
    state, watcher = undisturbed
    assert list(watcher.grids) == [0, 5, 9]
    assert watcher.examined == [5, 9]  # not before the first step
    for grids in watcher.grids.values():
        assert list(grids) == ["A_to_B", "B_to_A"]
    columns = {"real": data.samples.real_B}
    with torch.no_grad():
        columns["fake"] = state.average["G_BA"](data.samples.real_B)
        columns["reconstructed"] = state.average["G_AB"](columns["fake"])
        columns["identity"] = state.average["G_AB"](data.samples.real_B)
    np.testing.assert_array_equal(
        watcher.grids[9]["B_to_A"], images.grid({name: to_pixels(pictures) for name, pictures in columns.items()})
    )
    assert (watcher.grids[0]["B_to_A"] != watcher.grids[9]["B_to_A"]).any()


def test_the_finished_state_is_checkpointed_and_has_nothing_left_to_do(
    tmp_path: Path,
    config: Config,
    data: Any,
    make_state: Callable[[Config], TrainState],
    undisturbed: tuple[TrainState, Watcher],
) -> None:
    state, _ = run(
        config, data, tmp_path, make_state(config), stop_after(TOTAL)
    )  # a signal in the last step changes nothing
    assert_equal(state, undisturbed[0])
    again = make_state(config)
    restore_checkpoint(again, tmp_path)
    assert again.step == TOTAL
    _, watcher = run(config, data, tmp_path, again)
    assert watcher.windows == undisturbed[1].windows  # told again, in case they were never delivered
    assert (watcher.progresses, watcher.grids) == ([], {})
    assert_equal(again, undisturbed[0])


def test_training_changes_every_network_and_the_averages_follow(
    config: Config, make_state: Callable[[Config], TrainState], undisturbed: tuple[TrainState, Watcher]
) -> None:
    first, last = make_state(config), undisturbed[0]
    for name, network in last.networks.items():
        before = dict(first.networks.items())[name]
        for key, parameter in network.named_parameters():
            still = torch.equal(parameter, before.get_parameter(key))
            assert still is not parameter.requires_grad, f"{name}.{key}"
    for name, average in last.average.items():
        start, now = first.networks.generators()[name], last.networks.generators()[name]
        for key, parameter in average.named_parameters():
            if key.endswith("weight"):
                behind = (parameter - now.get_parameter(key)).norm()
                assert 0 < behind < (start.get_parameter(key) - now.get_parameter(key)).norm()


def test_the_first_average_is_one_tenth_of_the_first_weights(
    tmp_path: Path, config: Config, data: Any, make_state: Callable[[Config], TrainState]
) -> None:
    state, first = make_state(config), make_state(config)
    with pytest.raises(Interrupted):
        run(config, data, tmp_path, state, stop_after(1))
    for name, average in state.average.items():
        old, now = first.networks.generators()[name], state.networks.generators()[name]
        for key, parameter in average.named_parameters():
            expected = 0.1 * old.get_parameter(key) + 0.9 * now.get_parameter(key)
            torch.testing.assert_close(parameter, expected, atol=1e-7, rtol=1e-5, msg=f"{name}.{key}")


def test_a_loss_that_is_not_finite_stops_training_before_a_checkpoint(
    tmp_path: Path, config: Config, data: Any, make_state: Callable[[Config], TrainState]
) -> None:
    state = make_state(config)
    with torch.no_grad():
        next(state.networks.D_A.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="the loss G_BA is nan at step 1;"):
        run(config, data, tmp_path, state, stop_after(1))
    assert checkpoints(tmp_path) == []


def test_grey_pictures_of_one_domain_train_too(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
) -> None:
    """Only generators that can read a picture's channels show its identity."""
    config = make_config(**{"model.input_nc": 1, "loss.lambda_identity": 0.0, "runtime.sample_every_steps": 100})
    data = make_data(config)
    grey = data.loader.train_A

    class Grey:
        def __getitem__(self, index: int) -> images.Pixels:
            return grey[index][:, :, :1]

    loader = type(data.loader)(Grey(), data.loader.train_B, data.loader.crop_size)
    samples = type(data.samples)(data.samples.real_A[:, :1], data.samples.real_B)
    grey_data = replace(data, loader=loader, samples=samples)
    state = make_state(config)
    with pytest.raises(Interrupted):
        run(config, grey_data, tmp_path, state, stop_after(2))
    assert state.pools.A.slots.shape[1] == 1
    grid = samples.draw(state, nullcontext())["A_to_B"]
    without_identities = images.grid(dict.fromkeys("abc", to_pixels(samples.real_A)))
    assert grid.shape[1] == without_identities.shape[1]
