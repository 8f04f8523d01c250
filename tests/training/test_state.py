"""The state before the first step: pools that fit, averages that start where the weights do, optimizers as configured."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cyclegan.config import Config
from cyclegan.errors import UserError
from cyclegan.models import networks
from cyclegan.models.specs import discriminator_spec, generator_spec
from cyclegan.models.weights import save
from cyclegan.training.pool import Pool, VariedPool
from cyclegan.training.state import Canvas, TrainState, initial

CPU = torch.device("cpu")


def test_a_pool_has_the_channels_of_its_domain_and_the_size_of_the_others_pictures(
    make_config: Callable[..., Config],
) -> None:
    config = make_config(**{"model.input_nc": 1, "loss.lambda_identity": 0.0, "train.pool_size": 7})
    state = initial(config, Canvas(12, 16), Canvas(20, 24, varied=True), CPU)
    assert state.pools.A.slots.shape == (8, 1, 20, 24)  # fake_A is made of pictures of B
    assert state.pools.B.slots.shape == (8, 3, 12, 16)
    assert (type(state.pools.A), type(state.pools.B)) == (VariedPool, Pool)
    assert (state.step, state.training_id, state.validation, state.history.rows) == (0, "", [], [])


def test_optimizers_are_adam_as_configured_over_generators_and_discriminators(
    make_config: Callable[..., Config], make_state: Callable[[Config], TrainState]
) -> None:
    state = make_state(make_config(**{"optimizer.lr": 0.003, "optimizer.beta1": 0.25}))
    by_name = dict(state.networks.items())
    for optimizer, names in ((state.optimizers.G, ("G_AB", "G_BA")), (state.optimizers.D, ("D_A", "D_B"))):
        (group,) = optimizer.param_groups
        assert isinstance(optimizer, torch.optim.Adam)
        assert (group["lr"], group["betas"], group["weight_decay"]) == (0.003, (0.25, 0.999), 0)
        expected = [id(parameter) for name in names for parameter in by_name[name].parameters()]
        assert [id(parameter) for parameter in group["params"]] == expected


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_training_and_its_averages_start_from_the_weights_of_init_from(
    tmp_path: Path, make_config: Callable[..., Config], make_state: Callable[[Config], TrainState], norm: str
) -> None:
    config = make_config(**{"model.norm": norm, "train.init_from": str(tmp_path)})
    there = dict(networks.build(config.model, 5, CPU).items())
    save(tmp_path / "G_BA", there["G_BA"].state_dict(), generator_spec(config.model, "G_BA", 99, "other", "raw"))
    save(tmp_path / "D_A", there["D_A"].state_dict(), discriminator_spec(config.model, "A", "other"))
    random = make_state(config.model_copy(update={"train": make_config().train}))
    state = make_state(config)
    assert (random.given, state.given) == ([], ["G_BA", "D_A"])
    for name, network in state.networks.items():
        expected = there[name] if name in ("G_BA", "D_A") else dict(random.networks.items())[name]
        for key, value in network.state_dict().items():
            assert torch.equal(value, expected.state_dict()[key]), f"{name}.{key}"
    for name, average in state.average.items():
        network = state.networks.generators()[name]
        assert all(torch.equal(value, network.state_dict()[key]) for key, value in average.state_dict().items())
        assert not any(parameter.requires_grad for parameter in average.parameters())
        assert all(parameter.requires_grad for key, parameter in network.named_parameters() if key.endswith("weight"))


def test_without_weights_in_init_from_there_is_no_state(
    tmp_path: Path, make_config: Callable[..., Config], make_state: Callable[[Config], TrainState]
) -> None:
    with pytest.raises(UserError, match=r"train\.init_from is"):
        make_state(make_config(**{"train.init_from": str(tmp_path)}))


@pytest.mark.parametrize(("arithmetic", "layout"), [("fast", torch.channels_last), ("textbook", torch.contiguous_format)])
def test_only_fast_arithmetic_changes_the_layout_and_leaves_biases_out(
    make_config: Callable[..., Config],
    make_state: Callable[[Config], TrainState],
    arithmetic: str,
    layout: torch.memory_format,
) -> None:
    fast = arithmetic == "fast"
    state = make_state(make_config(**{"train.arithmetic": arithmetic}))
    for network in vars(state.networks).values():
        assert all(weight.is_contiguous(memory_format=layout) for weight in network.parameters() if weight.ndim == 4)
        assert any(not parameter.requires_grad for parameter in network.parameters()) is fast


def test_an_average_is_kept_only_where_it_is_asked_for(
    make_config: Callable[..., Config], make_state: Callable[[Config], TrainState]
) -> None:
    without = make_state(make_config(**{"train.ema_decay": 0.0}))
    assert without.average == {}
    assert list(without.generators().values()) == [without.networks.G_AB, without.networks.G_BA]
    state = make_state(make_config())
    assert list(state.average) == ["G_AB", "G_BA"]
    assert state.generators() is state.average
    assert state.average["G_AB"] is not state.networks.G_AB
