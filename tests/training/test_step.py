"""The fast step against the textbook, and which network sees which picture."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from textbook import Draws, Objective, TextbookCycleGAN
from torch import Tensor, nn

from cyclegan import randomness
from cyclegan.config import Config
from cyclegan.data.batches import Batch
from cyclegan.data.plan import Decisions, query_pool
from cyclegan.models.networks import Networks
from cyclegan.training.losses import term_names
from cyclegan.training.pool import Pool, VariedPool
from cyclegan.training.state import TrainState
from cyclegan.training.step import Mode, Optimizers, Pools, step

CPU = torch.device("cpu")
JOINED = Mode(nullcontext(), apart=False)
STEPS = 5
SMALL = {"preprocess.load_size": 16, "preprocess.crop_size": 16, "model.ngf": 2, "model.ndf": 2}
UNEQUAL = {"loss.lambda_A": 3.0, "loss.lambda_B": 12.0, "loss.lambda_identity": 0.8, "loss.lambda_gp": 7.0}
MODES = ("lsgan", "vanilla", "hinge", "wgangp")
CASES: dict[str, dict[str, Any]] = {
    "as published": {},
    "in parts": {**UNEQUAL, "train.batch_size": 6, "train.accumulate": 3, "loss.gan_mode": "wgangp"},
    "in parts without identity": {"loss.lambda_identity": 0.0, "train.batch_size": 2, "train.accumulate": 2},
    "activations computed twice": {"train.checkpoint_activations": True},
    "one direction": {"loss.lambda_A": 0.0, "loss.lambda_B": 5.0},
    "grey to colour": {"model.input_nc": 1, "loss.lambda_identity": 0.0},
    "no history": {"train.pool_size": 0},
    **{
        f"one picture, {norm}": {**UNEQUAL, "train.batch_size": 1, "model.norm": norm}
        for norm in ("instance", "instance_affine", "batch", "none")
    },
    **{
        f"{mode}, {norm}, {identity}": {
            **UNEQUAL,
            "loss.gan_mode": mode,
            "model.norm": norm,
            **({} if identity == "identity" else {"loss.lambda_identity": 0.0}),
        }
        for mode in MODES
        for norm in ("instance", "batch")
        for identity in ("identity", "no identity")
    },
    **{f"{mode} a picture": {**UNEQUAL, "loss.gan_mode": mode, "loss.score_per": "picture"} for mode in MODES},
    "instance_affine": {**UNEQUAL, "model.norm": "instance_affine"},
    "no norm": {**UNEQUAL, "model.norm": "none", "loss.gan_mode": "wgangp"},
    "pixel": {**UNEQUAL, "model.netD": "pixel", "loss.gan_mode": "hinge"},
    "same_size": {**UNEQUAL, "model.netD": "same_size", "model.norm": "batch", "loss.gan_mode": "wgangp"},
    "n_layers 1": {**UNEQUAL, "model.n_layers_D": 1, "loss.gan_mode": "vanilla"},
    "basic": {**UNEQUAL, "model.netD": "basic", "preprocess.load_size": 24, "preprocess.crop_size": 24},
    "first weights of another kind": {
        "model.init_type": "orthogonal",
        "model.init_gain": 0.5,
        "model.init_bias": "uniform",
    },
    **{
        f"U-Net, {norm}": {
            **UNEQUAL,
            "model.netG": "unet_128",
            "model.norm": norm,
            "preprocess.load_size": 128,
            "preprocess.crop_size": 128,
        }
        for norm in ("instance", "batch")
    },
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
    shares = [randomness.generator(number, f"share {domain}").random(n, dtype=np.float32) for domain in ("A", "B")]
    decisions = Decisions(None, None, *queries, *map(torch.from_numpy, shares))
    return decisions, Draws(*plain, *(share.tolist() for share in shares))


def take(state: TrainState, config: Config, number: int) -> dict[str, float]:
    terms = step(
        state.networks,
        state.optimizers,
        state.pools,
        pictures(config, number),
        draws(config, number)[0],
        config.loss,
        Mode(nullcontext(), config.train.arithmetic == "textbook" or config.model.norm == "batch", config.train.accumulate),
    )
    assert all(term.dtype == torch.float32 and not term.requires_grad for term in terms.values())
    return {name: term.item() for name, term in terms.items()}


def textbook_of(networks: Networks, config: Config) -> TextbookCycleGAN:
    loss = config.loss
    return TextbookCycleGAN(
        # in plain memory, so that a kernel that is wrong in another layout does not agree with itself
        **{name: _plain(network) for name, network in networks.items()},
        objective=Objective(
            gan_mode=loss.gan_mode,
            of_mean_score=loss.score_per == "picture",
            lambda_A=loss.lambda_A,
            lambda_B=loss.lambda_B,
            lambda_identity=loss.lambda_identity,
            lambda_gp=loss.lambda_gp,
        ),
        lr=config.optimizer.lr,
        beta1=config.optimizer.beta1,
        pool_size=config.train.pool_size,
    )


def _plain(network: nn.Module) -> nn.Module:
    return deepcopy(network).to(memory_format=torch.contiguous_format).requires_grad_()  # it knows of no frozen bias


def take_textbook(oracle: TextbookCycleGAN, config: Config, number: int) -> dict[str, float]:
    batch = pictures(config, number)
    return oracle.step(batch.real_A, batch.real_B, draws(config, number)[1])


def tiny_difference(config: Config) -> float:
    """What rounding may do to a loss besides a relative error: a WGAN's is a difference of means that may cancel."""
    return 1e-8 if config.loss.gan_mode == "wgangp" else 0.0


@pytest.mark.parametrize("case", CASES)
def test_five_steps_agree_with_the_textbook(
    make_config: Callable[..., Config], make_state: Callable[[Config], TrainState], case: str
) -> None:
    config = make_config(**SMALL | CASES[case])
    state = make_state(config)
    state.networks = Networks(**{name: InDouble(network) for name, network in state.networks.items()})
    before = deepcopy(dict(state.networks.items()))
    oracle = textbook_of(state.networks, config)
    for number in range(STEPS):
        losses, expected = take(state, config, number), take_textbook(oracle, config, number)
        assert list(losses) == term_names(config.loss)
        assert losses == pytest.approx(expected, rel=1e-5, abs=tiny_difference(config))
    for name, network in state.networks.items():
        for (key, ours), theirs in zip(network.named_parameters(), getattr(oracle, name).parameters(), strict=True):
            tolerance = max(1e-4 * theirs.abs().max().item(), config.optimizer.lr / 200)
            assert (ours - theirs).abs().max() <= tolerance, f"{name}.{key}"
            allowed = max(1e-4 * theirs.grad.abs().max().item(), 1e-9)  # Adam's own steps hide a loss's weight
            gradient = ours.grad if ours.requires_grad else torch.zeros_like(ours)
            assert (gradient - theirs.grad).abs().max() <= allowed, f"gradient of {name}.{key}"
            if ours.ndim == 4:
                moved = (ours - before[name].get_parameter(key)).abs().max()
                assert moved > 10 * tolerance, f"{name}.{key} has hardly moved, so that agreeing says nothing"
        for (key, ours), theirs in zip(network.named_buffers(), getattr(oracle, name).buffers(), strict=True):
            assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max(), f"{name}.{key}"
        statistics = [key for key, _ in network.named_buffers() if key.endswith(("running_mean", "running_var"))]
        assert bool(statistics) is (config.model.norm == "batch")


@pytest.mark.parametrize("case", CASES)
def test_losses_of_the_first_step_agree_with_the_textbook_in_float32(
    make_config: Callable[..., Config], make_state: Callable[[Config], TrainState], case: str
) -> None:
    config = make_config(**SMALL | CASES[case])
    state = make_state(config)
    oracle = textbook_of(state.networks, config)
    expected = take_textbook(oracle, config, 0)
    assert take(state, config, 0) == pytest.approx(expected, rel=1e-5, abs=tiny_difference(config))


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith(("one picture", "in parts"))])
def test_textbook_arithmetic_gives_the_textbooks_weights_in_float32(
    make_config: Callable[..., Config], make_state: Callable[[Config], TrainState], case: str, batch_size: int
) -> None:
    """Without the float64 of `InDouble`: the same operations in the same order are rounded in the same way."""
    config = make_config(**SMALL | CASES[case] | {"train.arithmetic": "textbook", "train.batch_size": batch_size})
    state = make_state(config)
    oracle = textbook_of(state.networks, config)
    for number in range(STEPS):
        losses, expected = take(state, config, number), take_textbook(oracle, config, number)
        assert losses == pytest.approx(expected, rel=1e-5, abs=tiny_difference(config))
    for name, network in state.networks.items():
        for (key, ours), theirs in zip(network.named_parameters(), getattr(oracle, name).parameters(), strict=True):
            assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max(), f"{name}.{key}"


class Stub(nn.Module):
    """Adds its own constant to a picture, and remembers what it was shown, pass by pass."""

    def __init__(self, constant: float) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.tensor(constant))
        self.passes: list[list[float]] = []

    @property
    def seen(self) -> list[float]:
        return [picture for batch in self.passes for picture in batch]

    def forward(self, x: Tensor) -> Tensor:
        self.passes.append(x[:, 0, 0, 0].tolist())
        return x + self.constant


def stubs() -> Networks:
    return Networks(G_AB=Stub(10.0), G_BA=Stub(20.0), D_A=Stub(0.1), D_B=Stub(0.2))


def step_stubs(
    networks: Networks, make_config: Callable[..., Config], optimizers: Optimizers, apart: bool = False, **changes: Any
) -> dict[str, float]:
    """One step on a picture of A that is 1 everywhere and one of B that is 2, without history."""
    config = make_config(**{"train.batch_size": 1, "train.pool_size": 0, **changes})
    batch = Batch(torch.full((1, 3, 4, 4), 1.0), torch.full((1, 3, 4, 4), 2.0))
    pools = Pools(A=Pool.empty(0, 3, 4, 4, CPU), B=Pool.empty(0, 3, 4, 4, CPU))
    decisions = replace(draws(config, 0)[0], share_A=torch.tensor([0.25]), share_B=torch.tensor([0.75]))
    terms = step(networks, optimizers, pools, batch, decisions, config.loss, Mode(nullcontext(), apart))
    return {name: term.item() for name, term in terms.items()}


def still(networks: Networks) -> Optimizers:
    return Optimizers(
        G=torch.optim.SGD(networks.generator_parameters(), lr=0.0),
        D=torch.optim.SGD(networks.discriminator_parameters(), lr=0.0),
    )


REAL_A, REAL_B = 1, 2
FAKE_B, FAKE_A = REAL_A + 10, REAL_B + 20
BETWEEN_A, BETWEEN_B = 0.25 * REAL_A + 0.75 * FAKE_A, 0.75 * REAL_B + 0.25 * FAKE_B


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("identity", [0.5, 0.0])
def test_every_network_is_shown_the_pictures_its_name_promises(
    make_config: Callable[..., Config], identity: float, apart: bool, mode: str
) -> None:
    networks = stubs()
    changes = {"loss.lambda_identity": identity, "loss.gan_mode": mode}
    step_stubs(networks, make_config, still(networks), apart, **changes)
    penalised = mode == "wgangp"
    seen = {name: sorted(network.seen) for name, network in networks.items()}
    assert seen["G_AB"] == sorted([REAL_A, FAKE_A] + [REAL_B] * (identity > 0))
    assert seen["G_BA"] == sorted([REAL_B, FAKE_B] + [REAL_A] * (identity > 0))
    # The translations once for the generators' update, once for the discriminators' own:
    assert seen["D_A"] == pytest.approx(sorted([REAL_A, FAKE_A, FAKE_A] + [BETWEEN_A] * penalised))
    assert seen["D_B"] == pytest.approx(sorted([REAL_B, FAKE_B, FAKE_B] + [BETWEEN_B] * penalised))


@pytest.mark.parametrize("identity", [True, False])
def test_apart_every_batch_has_a_pass_of_its_own_in_the_order_of_the_reference(
    make_config: Callable[..., Config], identity: bool
) -> None:
    networks = stubs()
    changes = {"loss.lambda_identity": 0.5 * identity, "loss.gan_mode": "wgangp"}
    step_stubs(networks, make_config, still(networks), apart=True, **changes)
    assert networks.G_AB.passes == [[REAL_A], [FAKE_A], *([[REAL_B]] if identity else [])]
    assert networks.G_BA.passes == [[FAKE_B], [REAL_B], *([[REAL_A]] if identity else [])]
    assert networks.D_A.passes == [[FAKE_A], [REAL_A], [FAKE_A], [BETWEEN_A]]
    assert networks.D_B.passes == [[FAKE_B], [REAL_B], [FAKE_B], [BETWEEN_B]]


def test_together_passes_over_pictures_that_are_there_at_once_are_one(make_config: Callable[..., Config]) -> None:
    networks = stubs()
    step_stubs(networks, make_config, still(networks))
    assert networks.G_AB.passes == [[REAL_A, REAL_B], [FAKE_A]]  # four generator passes in all instead of six
    assert networks.G_BA.passes == [[REAL_B, REAL_A], [FAKE_B]]
    assert networks.D_A.passes == [[FAKE_A], [REAL_A, FAKE_A]]
    assert networks.D_B.passes == [[FAKE_B], [REAL_B, FAKE_B]]


def test_pictures_of_different_sizes_never_share_a_pass(make_config: Callable[..., Config]) -> None:
    networks, config = stubs(), make_config(**{"train.batch_size": 1, "train.pool_size": 0})
    batch = Batch(torch.full((1, 3, 4, 8), 1.0), torch.full((1, 3, 4, 4), 2.0))
    pools = Pools(A=VariedPool.empty(0, 3, 4, 8, CPU), B=VariedPool.empty(0, 3, 4, 8, CPU))
    step(networks, still(networks), pools, batch, draws(config, 0)[0], config.loss, JOINED)
    assert networks.G_AB.passes == [[REAL_A], [REAL_B], [FAKE_A]]
    assert networks.G_BA.passes == [[REAL_B], [REAL_A], [FAKE_B]]
    assert networks.D_A.passes == [[FAKE_A], [REAL_A], [FAKE_A]]


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


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


GRADIENTS = {  # of what the generators minimise by a score, and of what discriminators do by scores of real and fake
    "lsgan": (lambda s: 2 * (s - 1), lambda real, fake: (2 * (real - 1) + 2 * fake) / 2),
    "vanilla": (lambda s: sigmoid(s) - 1, lambda real, fake: (sigmoid(real) - 1 + sigmoid(fake)) / 2),
    "hinge": (lambda s: -1, lambda real, fake: (-(real < 1) + (fake > -1)) / 2),
    "wgangp": (lambda s: -1, lambda real, fake: 0.0),
}


@pytest.mark.parametrize("identity", [0.25, 0.0])
@pytest.mark.parametrize("mode", MODES)
def test_every_network_descends_the_weighed_sum_of_its_own_terms(
    make_config: Callable[..., Config], mode: str, identity: float
) -> None:
    """A stub's cycle and identity losses have the gradient 1 by its constant, and so has a score: all shows its weight."""
    networks = stubs()
    changes = {"gan_mode": mode, "lambda_A": 3.0, "lambda_B": 5.0, "lambda_identity": identity}
    terms = step_stubs(networks, make_config, still(networks), **{f"loss.{key}": value for key, value in changes.items()})
    of_generator, of_discriminator = GRADIENTS[mode]
    assert {name: network.constant.grad.item() for name, network in networks.items()} == pytest.approx(
        {
            "G_AB": of_generator(FAKE_B + 0.2) + 3 + 5 + 5 * identity,
            "G_BA": of_generator(FAKE_A + 0.1) + 3 + 5 + 3 * identity,
            "D_A": of_discriminator(REAL_A + 0.1, FAKE_A + 0.1),
            "D_B": of_discriminator(REAL_B + 0.2, FAKE_B + 0.2),
        },
        rel=1e-4,
        abs=1e-5,
    )
    assert terms["cycle_A"] == terms["cycle_B"] == 30
    if identity:
        assert (terms["idt_A"], terms["idt_B"]) == (20, 10)
    if mode == "wgangp":
        assert (terms["D_A"], terms["D_B"]) == pytest.approx(((FAKE_A - REAL_A) / 2, (FAKE_B - REAL_B) / 2))
        assert (terms["gp_A"], terms["gp_B"]) == pytest.approx(((48**0.5 - 1) ** 2,) * 2)  # 3 x 4 x 4 scores of slope 1


def test_the_penalty_reaches_the_discriminators_weights_with_its_own_weight(make_config: Callable[..., Config]) -> None:
    """A stub that multiplies: its score's slope is its constant c, so the penalty of 48 scores is (sqrt(48) c - 1)^2."""

    class Multiplies(nn.Module):
        def __init__(self, constant: float) -> None:
            super().__init__()
            self.constant = nn.Parameter(torch.tensor(constant))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.constant

    networks = replace(stubs(), D_A=Multiplies(0.5), D_B=Multiplies(2.0))
    terms = step_stubs(
        networks, make_config, still(networks), **{"loss.gan_mode": "wgangp", "loss.lambda_gp": 7.0, "loss.lambda_A": 0.0}
    )
    root = 48**0.5
    assert (terms["D_A"], terms["D_B"]) == pytest.approx((0.5 * (FAKE_A - REAL_A) / 2, 2.0 * (FAKE_B - REAL_B) / 2))
    assert (terms["gp_A"], terms["gp_B"]) == pytest.approx(((0.5 * root - 1) ** 2, (2.0 * root - 1) ** 2))
    expected_A = (FAKE_A - REAL_A) / 2 + 7 * 2 * (0.5 * root - 1) * root
    expected_B = (FAKE_B - REAL_B) / 2 + 7 * 2 * (2.0 * root - 1) * root
    gradients = networks.D_A.constant.grad.item(), networks.D_B.constant.grad.item()
    assert gradients == pytest.approx((expected_A, expected_B), rel=1e-5)


@pytest.mark.parametrize(("network", "own", "other"), [("G_AB", "lambda_B", "lambda_A"), ("G_BA", "lambda_A", "lambda_B")])
@pytest.mark.parametrize("mode", MODES)
def test_identity_of_a_generator_is_weighed_by_the_lambda_of_its_output_domain(
    make_config: Callable[..., Config], mode: str, network: str, own: str, other: str
) -> None:
    """A stub's identity loss is |constant|, whose gradient is 1: it shows its weight."""

    def contribution(**weights: float) -> float:
        networks = stubs()
        changes = {f"loss.{name}": value for name, value in weights.items()} | {"loss.gan_mode": mode}
        step_stubs(networks, make_config, still(networks), **changes)
        return getattr(networks, network).constant.grad.item()

    def identity_weight(**weights: float) -> float:
        return contribution(**weights, lambda_identity=0.25) - contribution(**weights, lambda_identity=0.0)

    assert identity_weight(**{own: 8.0, other: 0.0}) == pytest.approx(0.25 * 8.0, abs=1e-5)
    assert identity_weight(**{own: 0.0, other: 8.0}) == pytest.approx(0.0, abs=1e-5)


def test_discriminators_are_shown_the_history(make_config: Callable[..., Config]) -> None:
    networks = stubs()
    config = make_config(**{"train.batch_size": 1})
    pools = Pools(A=Pool(torch.full((3, 3, 4, 4), 70.0)), B=Pool(torch.full((3, 3, 4, 4), 80.0)))
    old, fresh = (query_pool(swap, 2, 5, 1) for swap in (_Fixed(0.0), _Fixed(0.9)))
    batch = Batch(torch.full((1, 3, 4, 4), 1.0), torch.full((1, 3, 4, 4), 2.0))
    decisions = Decisions(None, None, old, fresh, *torch.zeros(2, 1))
    step(networks, still(networks), pools, batch, decisions, config.loss, JOINED)
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
