"""Validation pictures and sample grids: what they say, to whom, and that looking changes nothing."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_loop import run, stop_after
from torch import Tensor, nn

from cyclegan import images
from cyclegan.config import Config
from cyclegan.errors import Interrupted
from cyclegan.levels import to_pixels
from cyclegan.training.checkpoint import restore_checkpoint
from cyclegan.training.state import TrainState
from cyclegan.training.validation import Validation

VALIDATED = {"dataset.val_fraction": 0.2, "train.n_samples": 3, "preprocess.crop_size": 16}
MOODY = {"model.norm": "batch", "model.dropout": True, "model.init_gain": 0.2}  # that compute differently in training


def plain_cycle(forth: nn.Module, back: nn.Module, pictures: Tensor) -> float:
    """The mean L1 of a cycle, a picture at a time."""
    forth, back = deepcopy(forth).eval(), deepcopy(back).eval()
    with torch.no_grad():
        return float(np.mean([(back(forth(x[None])) - x).abs().mean().item() for x in pictures]))


@pytest.fixture
def moody(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
) -> tuple[TrainState, Any]:
    """A state whose running statistics have seen two steps, and its data with three held-out pictures."""
    config = make_config(**VALIDATED, **MOODY)
    data, state = make_data(config), make_state(config)
    with pytest.raises(Interrupted):
        run(config, data, tmp_path, state, stop_after(2))
    return state, data


def everything(state: TrainState) -> dict[str, Tensor]:
    modules = {**dict(state.networks.items()), **{f"average {name}": net for name, net in state.average.items()}}
    return {f"{name}.{key}": value.clone() for name, net in modules.items() for key, value in net.state_dict().items()}


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_validation_is_the_mean_cycle_loss_of_the_pictures_by_the_generators_in_use(
    moody: tuple[TrainState, Any], batch_size: int
) -> None:
    state, data = moody
    validation = replace(data.validation, batch_size=batch_size)
    assert validation.real_A.shape[0] == 3
    cycle_A, cycle_B = validation.after_epoch(state, 1, nullcontext(), last=False)
    G_AB, G_BA = state.networks.G_AB, state.networks.G_BA
    assert cycle_A == pytest.approx(plain_cycle(G_AB, G_BA, validation.real_A), rel=1e-5)
    assert cycle_B == pytest.approx(plain_cycle(G_BA, G_AB, validation.real_B), rel=1e-5)
    assert cycle_A != pytest.approx(cycle_B, rel=1e-3)


@pytest.mark.parametrize("mode", [True, False])
def test_looking_at_pictures_leaves_no_trace(moody: tuple[TrainState, Any], mode: bool) -> None:
    state, data = moody
    for network in [*vars(state.networks).values(), *state.average.values()]:
        network.train(mode)
    before, random = everything(state), torch.get_rng_state()
    once = data.samples.draw(state, nullcontext()), data.validation.after_epoch(state, 1, nullcontext(), last=False)
    again = data.samples.draw(state, nullcontext()), data.validation.after_epoch(state, 1, nullcontext(), last=False)
    assert once[1] == again[1]
    assert all(np.array_equal(once[0][name], again[0][name]) for name in once[0])
    after = everything(state)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert torch.equal(torch.get_rng_state(), random)
    for network in [*vars(state.networks).values(), *state.average.values()]:
        assert all(module.training is mode for module in network.modules())


def test_samples_are_drawn_by_the_averages_with_their_running_statistics(moody: tuple[TrainState, Any]) -> None:
    state, data = moody
    G_AB, G_BA = (deepcopy(network).eval() for network in state.average.values())
    with torch.no_grad():
        fake = G_AB(data.samples.real_A)
        identity = G_BA(data.samples.real_A)
        columns = {"real": data.samples.real_A, "fake": fake, "reconstructed": G_BA(fake), "identity": identity}
    np.testing.assert_array_equal(
        data.samples.draw(state, nullcontext())["A_to_B"],
        images.grid({name: to_pixels(pictures) for name, pictures in columns.items()}),
    )


def test_a_network_is_in_training_again_even_after_an_error(moody: tuple[TrainState, Any]) -> None:
    state, data = moody
    broken = replace(data.validation, real_A=data.validation.real_A[:, :2])
    with pytest.raises(RuntimeError):
        broken.after_epoch(state, 1, nullcontext(), last=False)
    assert all(network.training for network in vars(state.networks).values())
    assert torch.is_grad_enabled()


def test_the_observer_hears_of_every_epoch_and_again_after_a_resumption(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
) -> None:
    config = make_config(**VALIDATED)
    data = make_data(config)
    state, watcher = run(config, data, tmp_path / "a", make_state(config))
    assert [step for step, *_ in watcher.validations] == [3, 6, 9]
    assert [(a, b) for _, a, b in watcher.validations] == state.validation
    G_AB, G_BA = state.networks.G_AB, state.networks.G_BA  # not the averages, which lag behind
    assert state.validation[-1] == pytest.approx(
        (plain_cycle(G_AB, G_BA, data.validation.real_A), plain_cycle(G_BA, G_AB, data.validation.real_B)), rel=1e-5
    )
    for stop, known in ((2, 0), (3, 1), (7, 2)):
        folder = tmp_path / str(stop)
        interrupted = make_state(config)
        with pytest.raises(Interrupted):
            run(config, data, folder, interrupted, stop_after(stop))
        assert interrupted.validation == state.validation[:known]
        resumed = make_state(config)
        restore_checkpoint(resumed, folder)
        assert run(config, data, folder, resumed)[1].validations == watcher.validations


def test_raw_generators_and_averages_are_judged_by_what_they_paint_and_the_best_are_kept(
    moody: tuple[TrainState, Any],
) -> None:
    """By a judge that wants one picture's mean; averages are the better ones, until the raw ones are made so."""
    state, data = moody

    class Brightness:
        metric, better, wants_cycle, about = "pair_l1", "higher", True, "brightness"

        def score(self, direction: str, fake: Tensor, cycle: Tensor | None) -> tuple[float, float]:
            assert cycle is not None
            return float(fake.mean()), float(cycle.mean())

    def plain(forth: nn.Module, back: nn.Module, real: Tensor) -> tuple[float, float]:
        forth, back = deepcopy(forth).eval(), deepcopy(back).eval()
        with torch.no_grad():
            return forth(real).mean().item(), back(forth(real)).mean().item()

    validation = replace(data.validation, judge=Brightness(), every=2, batch_size=2)
    before, random = everything(state), torch.get_rng_state()
    validation.after_epoch(state, 1, nullcontext(), last=False)
    assert state.selection.rows == []  # it is the second epoch's turn
    with_last = deepcopy(state)
    validation.after_epoch(with_last, 1, nullcontext(), last=True)
    assert len(with_last.selection.rows) == 4, "the last epoch is always scored: it may be the best"
    validation.after_epoch(state, 2, nullcontext(), last=False)
    rows = {(row.weights, row.direction): (row.value, row.se) for row in state.selection.rows}
    for weights, kind in (("raw", state.networks.generators()), ("ema", state.average)):
        G_AB, G_BA = kind["G_AB"], kind["G_BA"]
        assert rows[weights, "A_to_B"] == pytest.approx(plain(G_AB, G_BA, validation.real_A), rel=1e-4, abs=1e-6)
        assert rows[weights, "B_to_A"] == pytest.approx(plain(G_BA, G_AB, validation.real_B), rel=1e-4, abs=1e-6)
    assert {(row.step, row.epoch) for row in state.selection.rows} == {(2, 2)}
    assert rows["raw", "A_to_B"] != rows["ema", "A_to_B"]
    after = everything(state)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert torch.equal(torch.get_rng_state(), random)

    means = {kind: rows[kind, "A_to_B"][0] + rows[kind, "B_to_A"][0] for kind in ("raw", "ema")}
    best = state.selection.best
    assert best is not None
    assert best.weights == max(means, key=lambda kind: means[kind])
    kept = {"raw": state.networks.generators(), "ema": state.average}[best.weights]
    for name, network in kept.items():
        assert all(torch.equal(best.generators[name][key], value) for key, value in network.state_dict().items())


def test_training_keeps_the_generators_of_the_best_epoch_and_says_when_it_found_them(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
) -> None:
    config = make_config(**VALIDATED, **{"train.validate_every_epochs": 1, "train.ema_decay": 0.0, "optimizer.lr": 0.01})
    data = make_data(config)
    state, watcher = run(config, data, tmp_path / "a", make_state(config))
    means = {step: np.mean([row.value for row in rows]) for step, rows in watcher.scored.items()}
    assert list(means) == [3, 6, 9]
    best = state.selection.best
    assert best is not None
    assert (best.step, best.value) == min(((step, value) for step, value in means.items()), key=lambda one: one[1])
    at_best = state
    if best.step < 9:
        at_best = make_state(config)
        with pytest.raises(Interrupted):
            run(config, data, tmp_path / "b", at_best, stop_after(best.step))
    for name, network in at_best.networks.generators().items():
        assert all(torch.equal(best.generators[name][key], value) for key, value in network.state_dict().items())


def test_without_validation_pictures_nothing_is_validated(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
) -> None:
    config = make_config()
    state, watcher = run(config, make_data(config), tmp_path, make_state(config))
    assert (watcher.validations, state.validation) == ([], [])


class Told(Validation):
    """Validation losses as a test wants them."""

    def __init__(self, losses: list[tuple[float, float]]) -> None:
        object.__setattr__(self, "losses", iter(losses))

    def after_epoch(self, state: TrainState, epoch: int, precision: Any, *, last: bool) -> tuple[float, float]:
        return next(self.losses)


@pytest.mark.parametrize(
    ("losses", "last_share"),
    [
        ([(1.0, 1.0)] * 9, 0.2),
        ([(0.9**epoch, 1.0) for epoch in range(9)], 0.2),  # hardly anything beside 100 x 1.0
        ([(1.0, 0.9**epoch) for epoch in range(9)], 1.0),
    ],
)
def test_a_plateau_of_the_weighed_losses_lowers_the_rate_of_both_optimizers(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
    losses: list[tuple[float, float]],
    last_share: float,
) -> None:
    """An epoch is a step here. Seven epochs without progress are known when the eighth begins."""
    config = make_config(
        **VALIDATED,
        **{
            "schedule.lr_policy": "plateau",
            "schedule.n_epochs": 9,
            "schedule.n_epochs_decay": 0,
            "loss.lambda_A": 1.0,
            "loss.lambda_B": 100.0,
            "train.batch_size": 1,
            "train.history_every_steps": 1,
        },
    )
    data = make_data(config)
    data = replace(data, plan=replace(data.plan, n_A=1, n_B=1), validation=Told(losses))
    state, watcher = run(config, data, tmp_path, make_state(config))
    shares = [row["lr"] / config.optimizer.lr for row in watcher.windows]
    assert shares == pytest.approx([1] * 7 + [last_share] * 2)
    for optimizer in vars(state.optimizers).values():
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([config.optimizer.lr * last_share])


@pytest.mark.parametrize(
    ("norm", "passes"),
    [("batch", [2, 2, 2]), ("instance", [4, 2]), ("instance_affine", [4, 2]), ("none", [4, 2])],
)
def test_passes_are_made_one_exactly_where_the_pictures_of_a_batch_do_not_mix(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
    norm: str,
    passes: list[int],
) -> None:
    config = make_config(**{"model.norm": norm, "preprocess.crop_size": 16})
    state, seen = make_state(config), {name: [] for name in ("G_AB", "G_BA", "D_A", "D_B")}
    for name, network in state.networks.items():
        network.register_forward_pre_hook(
            lambda module, inputs, name=name: seen[name].append(len(inputs[0])) if torch.is_grad_enabled() else None
        )
    with pytest.raises(Interrupted):
        run(config, make_data(config), tmp_path, state, stop_after(1))
    assert seen["G_AB"] == seen["G_BA"] == passes
    assert seen["D_A"] == seen["D_B"] == ([2, 2, 2] if norm == "batch" else [2, 4])
