"""Whatever a training uses, stopped and continued it reaches the bytes of an undisturbed one; and dropout by the step."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from test_checkpoint import assert_equal
from test_loop import run, stop_after
from torch import Tensor, nn
from torch.nn import functional

from cyclegan import images
from cyclegan.config import Config
from cyclegan.data.batches import Streaming
from cyclegan.data.plan import Plan
from cyclegan.errors import Interrupted
from cyclegan.training import schedule
from cyclegan.training.checkpoint import restore_checkpoint
from cyclegan.training.pool import VariedPool
from cyclegan.training.state import Canvas, TrainState, initial

CPU = torch.device("cpu")
TOTAL = 9  # steps: 6 pictures in batches of 2, 2 + 1 epochs
SMALL = {"preprocess.crop_size": 16, "model.ngf": 2}
PLATEAU = {"dataset.val_fraction": 0.2, "schedule.lr_policy": "plateau"}
JUDGED = {"dataset.val_fraction": 0.2, "train.validate_every_epochs": 1, "train.ema_decay": 0.5, "optimizer.lr": 0.01}
FEATURES: dict[str, dict[str, Any]] = {
    "batch norm": {"model.norm": "batch", "train.ema_decay": 0.9},
    "dropout": {"model.dropout": True},
    "dropout and batch norm without average": {"model.dropout": True, "model.norm": "batch", "train.ema_decay": 0.0},
    "plateau": PLATEAU,
    "gradient penalty": {"loss.gan_mode": "wgangp"},
    "judged": JUDGED,
    "judged every other epoch": JUDGED | {"train.validate_every_epochs": 2},
    "all at once": {"model.norm": "batch", "model.dropout": True, "loss.gan_mode": "wgangp", **JUDGED, **PLATEAU},
}


def interrupted(config: Config, data: Any, folder: Path, make: Callable[[], TrainState], stop: int) -> TrainState:
    """Stop after `stop` steps and continue elsewhere; what else the process has drawn meanwhile must not matter."""
    with pytest.raises(Interrupted):
        run(config, data, folder, make(), stop_after(stop))
    torch.manual_seed(stop)
    elsewhere = config.runtime.model_copy(update={"sample_every_steps": 1, "log_every_steps": 3})
    state = make()
    restore_checkpoint(state, folder)
    assert state.step == stop
    return run(config.model_copy(update={"runtime": elsewhere}), data, folder, state)[0]


@pytest.mark.parametrize("feature", FEATURES)
def test_stopped_within_an_epoch_and_continued_equals_undisturbed(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
    monkeypatch: pytest.MonkeyPatch,
    feature: str,
) -> None:
    monkeypatch.setattr(schedule, "PLATEAU_PATIENCE", 0)
    monkeypatch.setattr(schedule, "PLATEAU_THRESHOLD", 0.9)  # so that every epoch but the first is a bad one
    config = make_config(**SMALL | FEATURES[feature])
    data = make_data(config)
    undisturbed, _ = run(config, data, tmp_path / "a", make_state(config))
    assert len(undisturbed.validation) == (3 if config.dataset.val_fraction > 0 else 0)
    every = config.train.validate_every_epochs
    judged = {epoch for epoch in (1, 2, 3) if every and (epoch % every == 0 or epoch == 3)}  # after the last one always
    assert len(undisturbed.selection.rows) == 4 * len(judged)
    assert (undisturbed.selection.best is not None) == (every > 0)
    resumed = interrupted(config, data, tmp_path / "b", lambda: make_state(config), stop=7)
    assert_equal(resumed, undisturbed)
    share = undisturbed.optimizers.G.param_groups[0]["lr"] / config.optimizer.lr
    assert share == pytest.approx(0.2 if config.schedule.lr_policy == "plateau" else 0.5)


@pytest.mark.parametrize("stop", [2, 3, 5, 6])
def test_a_training_that_stops_early_is_over_and_stays_so_however_it_was_interrupted(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
    stop: int,
) -> None:
    """The second epoch is the first that finds nothing better: its judge is told so."""
    config = make_config(**SMALL, **JUDGED, **{"train.stop_after_validations": 1, "train.history_every_steps": 4})
    data = make_data(config)
    object.__setattr__(data.validation, "judge", Worse(data.validation.judge))
    undisturbed, watcher = run(config, data, tmp_path / "a", make_state(config))
    assert (undisturbed.step, undisturbed.selection.stopped) == (6, 2)
    assert [row["step"] for row in watcher.windows] == [4, 6]  # the last window is whole, too
    assert watcher.progresses[-1][0] == 6
    assert list(watcher.grids)[-1] == 6
    assert list(watcher.scored) == [3, 6]
    if stop < 6:
        state = interrupted(config, data, tmp_path / "b", lambda: make_state(config), stop)
    else:  # a signal in the last step comes too late
        state, _ = run(config, data, tmp_path / "b", make_state(config), stop_after(stop))
    assert_equal(state, undisturbed)

    again = make_state(config)
    restore_checkpoint(again, tmp_path / "b")
    _, watcher = run(config, data, tmp_path / "b", again)
    assert_equal(again, undisturbed)
    assert list(watcher.scored) == [3, 6]  # told again, but not taken again
    assert watcher.grids == {}


class Worse:
    """Scores that get worse from epoch to epoch, whoever is judged."""

    def __init__(self, judge: Any) -> None:
        self.metric, self.better, self.wants_cycle, self.about = judge.metric, "lower", False, judge.about

    def score(self, direction: str, fake: Tensor, cycle: Tensor | None) -> tuple[float, None]:
        """By what it is shown alone: how far it has come from grey, as a first generator paints."""
        return float(fake.abs().mean()), None


class Pictures:
    """Pictures of many sizes, as a set of the store gives them."""

    def __init__(self, seed: int, *sizes: tuple[int, int]) -> None:
        rng = np.random.default_rng(seed)
        self.pictures = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in sizes]

    def __getitem__(self, index: int) -> images.Pixels:
        return self.pictures[index]


def test_pictures_of_many_sizes_are_trained_on_whole_and_resumed_exactly(
    tmp_path: Path, make_config: Callable[..., Config], make_data: Callable[..., Any]
) -> None:
    """Those of A are higher than those of B are, and those of B wider: a pool's slots fit the other domain's pictures."""
    config = make_config(**SMALL | {"train.batch_size": 1, "preprocess.mode": "none"})
    sizes_A, sizes_B = [(28, 12), (24, 16), (20, 16)], [(12, 28), (16, 20), (16, 24), (12, 20)]
    train_A, train_B = Pictures(0, *sizes_A), Pictures(1, *sizes_B)
    data = SimpleNamespace(
        plan=Plan(seed=0, n_A=3, n_B=4, batch_size=1, pool_size=3, flip=True),
        loader=Streaming(train_A, train_B, None),
        samples=make_data(config).samples,
        validation=None,
    )

    def make() -> TrainState:
        return initial(config, Canvas(28, 16, varied=True), Canvas(16, 28, varied=True), CPU)

    undisturbed, _ = run(config, data, tmp_path / "a", make())
    pools = undisturbed.pools
    assert isinstance(pools.A, VariedPool)
    assert isinstance(pools.B, VariedPool)
    assert {tuple(size) for size in pools.A.sizes[:-1].tolist()} <= set(sizes_B)  # fake_A is made of B's pictures
    assert {tuple(size) for size in pools.B.sizes[:-1].tolist()} <= set(sizes_A)
    assert_equal(interrupted(config, data, tmp_path / "b", make, stop=7), undisturbed)


class RecordingDropout(nn.Module):
    """Drops out as nn.Dropout does, and keeps the masks of training."""

    def __init__(self, masks: list[Tensor]) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, x: Tensor) -> Tensor:
        mask = functional.dropout(torch.ones_like(x), 0.5, self.training)
        if self.training:
            self.masks.append(mask)
        return x * mask


def masks_of(
    folder: Path, config: Config, data: Any, state: TrainState, stop: Callable[[], int | None] | None = None
) -> list[Tensor]:
    """The masks of every dropout layer in every pass until the end, or until a signal."""
    masks: list[Tensor] = []
    for generator in state.networks.generators().values():
        for block in generator.blocks:
            (place,) = [index for index, layer in enumerate(block.body) if isinstance(layer, nn.Dropout)]
            assert block.body[place].p == 0.5
            block.body[place] = RecordingDropout(masks)
    if stop is None:
        run(config, data, folder, state)
    else:
        with pytest.raises(Interrupted):
            run(config, data, folder, state, stop)
    return masks


def test_dropout_is_a_function_of_the_seed_and_the_step(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
) -> None:
    config, other = (make_config(**SMALL | {"model.dropout": True, "model.init_gain": gain}) for gain in (0.02, 0.1))
    data = make_data(config)
    torch.manual_seed(1)
    masks = masks_of(tmp_path / "a", config, data, make_state(config))
    a_step = 4 * 6  # passes by blocks
    assert len(masks) == TOTAL * a_step
    assert all(set(mask.unique().tolist()) == {0.0, 2.0} for mask in masks)
    assert abs(torch.cat([mask.flatten() for mask in masks]).mean() - 1) < 0.01
    firsts = [mask[:1] for mask in masks]  # of passes of one picture and of two
    assert not any(torch.equal(one, another) for i, one in enumerate(firsts) for another in firsts[:i])

    torch.manual_seed(2)
    state = make_state(other)  # other weights, another global state: the same masks
    again = masks_of(tmp_path / "b", other, data, state, stop_after(4))
    assert len(again) == 4 * a_step
    assert all(torch.equal(one, another) for one, another in zip(masks, again, strict=False))
    state = make_state(other)
    restore_checkpoint(state, tmp_path / "b")
    rest = masks_of(tmp_path / "b", other, data, state)
    assert all(torch.equal(one, another) for one, another in zip(masks[4 * a_step :], rest, strict=True))

    seeded = config.model_copy(update={"seed": 1})
    assert not torch.equal(masks_of(tmp_path / "c", seeded, data, make_state(seeded), stop_after(1))[0], masks[0])


@pytest.mark.parametrize("feature", ["dropout", "batch norm", "all at once"])
def test_the_same_step_from_the_same_state_gives_the_same_bytes(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
    feature: str,
) -> None:
    config = make_config(**SMALL | FEATURES[feature])
    data, states = make_data(config), [make_state(config), make_state(config)]
    for number, state in enumerate(states):
        torch.manual_seed(number)
        with pytest.raises(Interrupted):
            run(config, data, tmp_path, state, stop_after(2))
    assert_equal(*states)


def test_without_dropout_the_processs_random_state_is_left_alone(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
) -> None:
    config = make_config(**SMALL | {"loss.gan_mode": "wgangp"})
    state, before = make_state(config), torch.get_rng_state()
    with pytest.raises(Interrupted):
        run(config, make_data(config), tmp_path, state, stop_after(1))
    assert torch.equal(torch.get_rng_state(), before)
