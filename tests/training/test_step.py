"""The fast step against the textbook, and which network sees which picture."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from textbook import Draws, TextbookCycleGAN
from torch import Tensor, nn

from cyclegan import randomness
from cyclegan.config import Config
from cyclegan.data.batches import Batch
from cyclegan.data.plan import Decisions, query_pool
from cyclegan.models.networks import Networks
from cyclegan.training.losses import term_names
from cyclegan.training.pool import Pool
from cyclegan.training.state import TrainState, initial
from cyclegan.training.step import Optimizers, Pools, step

CPU = torch.device("cpu")
STEPS = 5
CASES: dict[str, dict[str, Any]] = {
    "as published": {},
    "without identity": {"loss.lambda_identity": 0.0},
    "unequal weights": {"loss.lambda_A": 3.0, "loss.lambda_B": 12.0, "loss.lambda_identity": 0.8},
    "one direction": {"loss.lambda_A": 0.0, "loss.lambda_B": 5.0},
    "grey to colour": {"model.input_nc": 1, "loss.lambda_identity": 0.0},
    "no history": {"train.pool_size": 0},
}


class InDouble(nn.Module):
    """A network that computes in float64 behind a float32 face.

    In float32 the order of additions decides the sign of gradients that are zero but for rounding (the biases before an
    InstanceNorm, ReLU and L1 at their kinks), and Adam makes a full step of each. Here only the algorithm can differ.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.double()).float()


def pictures(config: Config, number: int) -> Batch:
    rng, n, side = randomness.generator(number, "pictures"), config.train.batch_size, config.preprocess.crop_size
    shapes = ((n, channels, side, side) for channels in (config.model.input_nc, config.model.output_nc))
    return Batch(*(torch.from_numpy(rng.uniform(-1, 1, shape).astype(np.float32)) for shape in shapes))


def draws(config: Config, number: int) -> tuple[Decisions, Draws]:
    """The same random numbers, as the product's decisions and as the textbook's."""
    size, n = config.train.pool_size, config.train.batch_size
    queries, plain = [], []
    for domain in ("A", "B"):
        queries.append(query_pool(randomness.generator(number, domain), size, number * n, n))
        rng = randomness.generator(number, domain)
        plain += [(rng.random(n) < 0.5).tolist(), rng.integers(max(size, 1), size=n).tolist()]
    return Decisions(None, None, *queries), Draws(*plain)


def take(state: TrainState, config: Config, number: int) -> dict[str, float]:
    terms = step(
        state.networks,
        state.optimizers,
        state.pools,
        pictures(config, number),
        draws(config, number)[0],
        config.loss,
        nullcontext(),
    )
    assert all(term.dtype == torch.float32 and not term.requires_grad for term in terms.values())
    return {name: term.item() for name, term in terms.items()}


def textbook_of(networks: Networks, config: Config) -> TextbookCycleGAN:
    copies = {name: deepcopy(network) for name, network in networks.items()}
    return TextbookCycleGAN(
        **copies, lr=config.optimizer.lr, beta1=config.optimizer.beta1, pool_size=config.train.pool_size
    )


def take_textbook(oracle: TextbookCycleGAN, config: Config, number: int) -> dict[str, float]:
    batch, loss = pictures(config, number), config.loss
    return oracle.step(
        batch.real_A, batch.real_B, loss.lambda_A, loss.lambda_B, loss.lambda_identity, draws(config, number)[1]
    )


@pytest.mark.parametrize("case", CASES)
def test_five_steps_agree_with_the_textbook(make_config: Callable[..., Config], case: str) -> None:
    config = make_config(**CASES[case])
    state = initial(config, CPU)
    state.networks = Networks(**{name: InDouble(network) for name, network in state.networks.items()})
    before = deepcopy(dict(state.networks.items()))
    oracle = textbook_of(state.networks, config)
    for number in range(STEPS):
        losses, expected = take(state, config, number), take_textbook(oracle, config, number)
        assert list(losses) == term_names(config.loss)
        assert losses == pytest.approx(expected, rel=1e-5)
    for name, network in state.networks.items():
        for (key, ours), theirs in zip(network.named_parameters(), getattr(oracle, name).parameters(), strict=True):
            tolerance = max(1e-4 * theirs.abs().max().item(), 1e-7)
            assert (ours - theirs).abs().max() <= tolerance, f"{name}.{key}"
            allowed = max(1e-4 * theirs.grad.abs().max().item(), 1e-9)  # Adam's own steps hide a loss's weight
            assert (ours.grad - theirs.grad).abs().max() <= allowed, f"gradient of {name}.{key}"
            if key.endswith("weight"):
                moved = (ours - before[name].get_parameter(key)).abs().max()
                assert moved > 10 * tolerance, f"{name}.{key} has hardly moved, so that agreeing says nothing"


@pytest.mark.parametrize("case", CASES)
def test_losses_of_the_first_step_agree_with_the_textbook_in_float32(make_config: Callable[..., Config], case: str) -> None:
    config = make_config(**CASES[case])
    state = initial(config, CPU)
    oracle = textbook_of(state.networks, config)
    assert take(state, config, 0) == pytest.approx(take_textbook(oracle, config, 0), rel=1e-5)


class Stub(nn.Module):
    """Adds its own constant to a picture, and remembers what it was shown."""

    def __init__(self, constant: float) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.tensor(constant))
        self.seen: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen += x[:, 0, 0, 0].tolist()
        return x + self.constant


def stubs() -> Networks:
    return Networks(G_AB=Stub(10.0), G_BA=Stub(20.0), D_A=Stub(0.1), D_B=Stub(0.2))


def step_stubs(networks: Networks, make_config: Callable[..., Config], optimizers: Optimizers, **changes: Any) -> None:
    """One step on a picture of A that is 1 everywhere and one of B that is 2, without history."""
    config = make_config(**{"train.batch_size": 1, "train.pool_size": 0, **changes})
    batch = Batch(torch.full((1, 3, 4, 4), 1.0), torch.full((1, 3, 4, 4), 2.0))
    pools = Pools(A=Pool.empty(0, 3, 4, CPU), B=Pool.empty(0, 3, 4, CPU))
    step(networks, optimizers, pools, batch, draws(config, 0)[0], config.loss, nullcontext())


def still(networks: Networks) -> Optimizers:
    return Optimizers(
        G=torch.optim.SGD(networks.generator_parameters(), lr=0.0),
        D=torch.optim.SGD(networks.discriminator_parameters(), lr=0.0),
    )


@pytest.mark.parametrize("identity", [0.5, 0.0])
def test_every_network_is_shown_the_pictures_its_name_promises(make_config: Callable[..., Config], identity: float) -> None:
    networks = stubs()
    step_stubs(networks, make_config, still(networks), **{"loss.lambda_identity": identity})
    real_A, real_B = 1, 2
    fake_B, fake_A = real_A + 10, real_B + 20
    seen = {name: sorted(network.seen) for name, network in networks.items()}
    assert seen["G_AB"] == sorted([real_A, fake_A] + [real_B] * (identity > 0))
    assert seen["G_BA"] == sorted([real_B, fake_B] + [real_A] * (identity > 0))
    assert seen["D_A"] == sorted([real_A, fake_A, fake_A])  # once for G_BA's update, once for its own
    assert seen["D_B"] == sorted([real_B, fake_B, fake_B])


class Watched(torch.optim.SGD):
    """Takes note of the parameters and gradients of others before and after its own step."""

    def __init__(self, own: list[nn.Parameter], others: list[nn.Parameter]) -> None:
        super().__init__(own, lr=0.01)
        self.others = others
        self.notes: list[list[tuple[float, float | None]]] = []

    def _look(self) -> None:
        self.notes.append([(p.item(), None if p.grad is None else p.grad.item()) for p in self.others])

    def zero_grad(self, set_to_none: bool = True) -> None:
        self._look()
        super().zero_grad(set_to_none)

    def step(self, closure: Any = None) -> None:
        assert all(p.grad is not None for group in self.param_groups for p in group["params"])
        super().step()
        self._look()


def test_an_update_leaves_the_other_networks_weights_and_gradients_alone(make_config: Callable[..., Config]) -> None:
    networks = stubs()
    G, D = networks.generator_parameters(), networks.discriminator_parameters()
    optimizers = Optimizers(G=Watched(G, D), D=Watched(D, G))
    first = [p.item() for p in D + G]
    for _ in range(2):
        step_stubs(networks, make_config, optimizers)
    for optimizer in (optimizers.G, optimizers.D):
        (zeroed_1, stepped_1, zeroed_2, stepped_2) = optimizer.notes
        assert zeroed_1 == stepped_1
        assert zeroed_2 == stepped_2
        assert stepped_1 != zeroed_2  # the note-taking sees the changes that the other optimizer makes
    assert all(gradient is None for _, gradient in optimizers.G.notes[0])
    assert all(p.requires_grad for p in D + G)
    assert all(p.item() != old for p, old in zip(D + G, first, strict=True))


def contribution(make_config: Callable[..., Config], network: str, **weights: float) -> float:
    """What the weighed terms give as gradient to one stub generator."""
    networks = stubs()
    step_stubs(networks, make_config, still(networks), **{f"loss.{name}": value for name, value in weights.items()})
    gradient = getattr(networks, network).constant.grad
    assert gradient is not None
    return gradient.item()


@pytest.mark.parametrize(("network", "own", "other"), [("G_AB", "lambda_B", "lambda_A"), ("G_BA", "lambda_A", "lambda_B")])
def test_identity_of_a_generator_is_weighed_by_the_lambda_of_its_output_domain(
    make_config: Callable[..., Config], network: str, own: str, other: str
) -> None:
    """A stub's identity loss is |constant|, whose gradient is 1: it shows its weight."""

    def identity_weight(**weights: float) -> float:
        with_identity, without = ({**weights, "lambda_identity": value} for value in (0.25, 0.0))
        return contribution(make_config, network, **with_identity) - contribution(make_config, network, **without)

    assert identity_weight(**{own: 8.0, other: 0.0}) == pytest.approx(0.25 * 8.0, abs=1e-5)
    assert identity_weight(**{own: 0.0, other: 8.0}) == pytest.approx(0.0, abs=1e-5)


def test_discriminators_are_shown_the_history(make_config: Callable[..., Config]) -> None:
    networks = stubs()
    config = make_config(**{"train.batch_size": 1})
    pools = Pools(A=Pool(torch.full((3, 3, 4, 4), 70.0)), B=Pool(torch.full((3, 3, 4, 4), 80.0)))
    old, fresh = (query_pool(swap, 2, 5, 1) for swap in (_Fixed(0.0), _Fixed(0.9)))
    batch = Batch(torch.full((1, 3, 4, 4), 1.0), torch.full((1, 3, 4, 4), 2.0))
    step(networks, still(networks), pools, batch, Decisions(None, None, old, fresh), config.loss, nullcontext())
    assert networks.D_A.seen == [22, 1, 70]
    assert networks.D_B.seen == [11, 2, 11]
    assert pools.A.slots[1, 0, 0, 0] == 22  # the fresh one took the old one's place
    assert (pools.B.slots[:2] == 80).all()


class _Fixed:
    """A random generator with one answer; slot 1 wherever a slot is drawn."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self, n: int) -> np.ndarray:
        return np.full(n, self.value)

    def integers(self, high: int, size: int) -> np.ndarray:
        return np.ones(size, dtype=np.int64)
