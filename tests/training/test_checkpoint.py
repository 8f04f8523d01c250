"""A checkpoint holds everything: whoever continues it reaches the same bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cyclegan.config import Config
from cyclegan.device import autocast, choose_precision
from cyclegan.training import checkpoint, ema
from cyclegan.training.checkpoint import checkpoints, restore_checkpoint, save_checkpoint
from cyclegan.training.state import TrainState
from cyclegan.training.step import step

CPU = torch.device("cpu")
HAS_BF16 = choose_precision("auto", CPU) == "bf16"


def train(state: TrainState, config: Config, data: Any, until: int) -> None:
    """The loop without its surroundings."""
    context = autocast(config.train.precision, CPU)
    while state.step < until:
        decisions = data.plan.decisions(state.step)
        terms = step(
            state.networks,
            state.optimizers,
            state.pools,
            data.loader.load(decisions),
            decisions,
            config.loss,
            context,
            apart=config.model.norm == "batch",
        )
        for name, average in state.average.items():
            ema.update(average, state.networks.generators()[name], ema.decay_at(state.step, config.train.ema_decay))
        state.step += 1
        state.history.add(state.step, 1, [*(term.item() for term in terms.values()), 0.1], last=False)


def contents(state: TrainState) -> dict[str, Tensor]:
    """Every tensor of a state, by name."""
    tensors = {
        f"{name}.{key}": tensor
        for name, network in [*state.networks.items(), *((f"average {n}", net) for n, net in state.average.items())]
        for key, tensor in network.state_dict().items()
    }
    for name, optimizer in vars(state.optimizers).items():
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{name} {index} {key}": tensor for key, tensor in moments.items()}
    for name, pool in vars(state.pools).items():
        tensors |= {f"pool {name} {key}": tensor[:-1] for key, tensor in vars(pool).items()}
    return tensors | state.history.tensors()


def assert_equal(one: TrainState, other: TrainState) -> None:
    first, second = contents(one), contents(other)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert one.step == other.step
    assert one.validation == other.validation


CASES: dict[str, dict[str, Any]] = {
    "as published": {},
    "without identity or average": {"loss.lambda_identity": 0.0, "train.ema_decay": 0.0},
    "batch norm": {"model.norm": "batch"},
    "gradient penalty": {"loss.gan_mode": "wgangp", "model.norm": "instance_affine"},
    "no history": {"train.pool_size": 0},
    "other networks": {"model.netD": "same_size", "model.norm": "none", "loss.score_per": "picture"},
    "bf16": {"train.precision": "bf16"},
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.skipif(case == "bf16" and not HAS_BF16, reason="this CPU has no bf16"))
        for case in CASES
    ],
)
def test_a_restored_state_trains_on_to_the_bytes_of_an_undisturbed_one(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
    case: str,
) -> None:
    config = make_config(**{"train.ema_decay": 0.9, "model.ngf": 8, **CASES[case]})
    data = make_data(config)
    state = make_state(config)
    train(state, config, data, until=3)
    state.run_id = "abc123"
    state.validation = [(0.1, 0.2), (1 / 3, 1e-9)]
    path = save_checkpoint(state, tmp_path)
    resumed = make_state(config.model_copy(update={"seed": 99}))
    assert restore_checkpoint(resumed, tmp_path) == path
    assert resumed.run_id == "abc123"
    assert_equal(resumed, state)
    for one in (state, resumed):
        train(one, config, data, until=6)
    assert_equal(resumed, state)


@pytest.fixture
def state(
    make_config: Callable[..., Config], make_data: Callable[..., Any], make_state: Callable[[Config], TrainState]
) -> TrainState:
    config = make_config()
    state = make_state(config)
    train(state, config, make_data(config), until=1)
    return state


def save_at(state: TrainState, folder: Path, *steps: int) -> None:
    for number in steps:
        state.step = number
        save_checkpoint(state, folder)


def test_restored_moments_lie_in_memory_as_their_parameters_do(
    tmp_path: Path, make_config: Callable[..., Config], make_state: Callable[[Config], TrainState], state: TrainState
) -> None:
    """The fused Adam walks parameter, gradient and moments side by side through memory, whatever their strides say."""
    save_checkpoint(state, tmp_path)
    resumed = make_state(make_config())
    restore_checkpoint(resumed, tmp_path)
    for optimizer in vars(resumed.optimizers).values():
        for parameter, moments in optimizer.state.items():
            assert moments["exp_avg"].stride() == moments["exp_avg_sq"].stride() == parameter.stride()


def test_only_the_newest_two_are_kept_and_no_temporary_file(tmp_path: Path, state: TrainState) -> None:
    folder = tmp_path / "new"
    save_at(state, folder, 2, 9, 10, 100)
    assert [path.name for path in checkpoints(folder)] == ["step-000000100.safetensors", "step-000000010.safetensors"]
    assert sorted(folder.iterdir()) == sorted(checkpoints(folder))


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, -1])
def test_a_damaged_newest_one_is_passed_over_for_the_one_before(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_state: Callable[[Config], TrainState],
    state: TrainState,
    keep: float,
) -> None:
    save_at(state, tmp_path, 7, 8)
    newest, before = checkpoints(tmp_path)
    data = newest.read_bytes()
    newest.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    resumed = make_state(make_config())
    assert restore_checkpoint(resumed, tmp_path) == before
    state.step = 7
    assert_equal(resumed, state)


def test_where_nothing_can_be_read_the_state_stays_as_it_was(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_state: Callable[[Config], TrainState],
    state: TrainState,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fresh = make_state(make_config())
    assert restore_checkpoint(fresh, tmp_path / "none") is None
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 0)
        save_at(state, tmp_path, 1)
    save_at(state, tmp_path, 2)
    checkpoints(tmp_path)[0].write_bytes(b"\x08" + b"\x00" * 7 + b'{"a": 1}')
    assert restore_checkpoint(fresh, tmp_path) is None
    assert_equal(fresh, make_state(make_config()))


@pytest.mark.parametrize("where", ["save_file", "replace"])
def test_a_crash_while_writing_leaves_the_earlier_one_and_the_next_save_works(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_state: Callable[[Config], TrainState],
    state: TrainState,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    def crash(*arguments: Any, **keywords: Any) -> None:
        (tmp_path / "writing.tmp").write_bytes(b"half")
        raise KeyboardInterrupt

    save_at(state, tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(*((checkpoint, "save_file") if where == "save_file" else (Path, "replace")), crash)
        with pytest.raises(KeyboardInterrupt):
            save_at(state, tmp_path, 2)
    resumed = make_state(make_config())
    assert restore_checkpoint(resumed, tmp_path) is not None
    assert resumed.step == 1
    save_at(state, tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []
    restore_checkpoint(resumed, tmp_path)
    assert resumed.step == 2
