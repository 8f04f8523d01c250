"""The loss terms by their formulas, and the weights in the one sum."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from cyclegan.config import Config, LossConfig
from cyclegan.training.losses import (
    deceiving,
    discerning,
    discriminator_loss,
    distance,
    generator_loss,
    gradient_penalty,
    term_names,
    uses_identity,
)

GENERATOR_TERMS = ("G_AB", "G_BA", "cycle_A", "cycle_B", "idt_A", "idt_B")
weight = st.sampled_from([0.0, 0.5, 1.0, 3.0, 10.0])


def loss_config(
    lambda_A: float = 1.0,
    lambda_B: float = 1.0,
    lambda_identity: float = 0.0,
    gan_mode: str = "lsgan",
    score_per: str = "patch",
    lambda_gp: float = 10.0,
) -> LossConfig:
    return LossConfig(
        gan_mode=gan_mode,
        score_per=score_per,
        lambda_A=lambda_A,
        lambda_B=lambda_B,
        lambda_identity=lambda_identity,
        lambda_gp=lambda_gp,
    )


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


# Two pictures with two scores each; their means are 0.5 and -1, and 0.5 and 2.
REAL = torch.tensor([[[[1.0, 0.0]]], [[[-3.0, 1.0]]]])
FAKE = torch.tensor([[[[2.0, -1.0]]], [[[0.0, 4.0]]]])


@pytest.mark.parametrize(
    ("mode", "score_per", "deceives", "discerns"),
    [
        ("lsgan", "patch", (1 + 4 + 1 + 9) / 4, ((0 + 1 + 16 + 0) / 4 + (4 + 1 + 0 + 16) / 4) / 2),
        ("lsgan", "picture", (0.25 + 1) / 2, ((0.25 + 4) / 2 + (0.25 + 4) / 2) / 2),
        (
            "vanilla",
            "patch",
            (softplus(-2) + softplus(1) + softplus(0) + softplus(-4)) / 4,
            (
                (softplus(-1) + softplus(0) + softplus(3) + softplus(-1)) / 4
                + (softplus(2) + softplus(-1) + softplus(0) + softplus(4)) / 4
            )
            / 2,
        ),
        (
            "vanilla",
            "picture",
            (softplus(-0.5) + softplus(-2)) / 2,
            ((softplus(-0.5) + softplus(1)) / 2 + (softplus(0.5) + softplus(2)) / 2) / 2,
        ),
        ("hinge", "patch", -(2 - 1 + 0 + 4) / 4, ((0 + 1 + 4 + 0) / 4 + (3 + 0 + 1 + 5) / 4) / 2),
        ("hinge", "picture", -(0.5 + 2) / 2, ((0.5 + 2) / 2 + (1.5 + 3) / 2) / 2),
        ("wgangp", "patch", -(2 - 1 + 0 + 4) / 4, (5 / 4 - (-1 / 4)) / 2),
        ("wgangp", "picture", -(0.5 + 2) / 2, (2.5 / 2 - (-0.5 / 2)) / 2),
    ],
)
def test_adversarial_losses_by_hand(mode: str, score_per: str, deceives: float, discerns: float) -> None:
    loss = loss_config(gan_mode=mode, score_per=score_per)
    assert deceiving(FAKE, loss).item() == pytest.approx(deceives, rel=1e-6)
    assert discerning(REAL, FAKE, loss).item() == pytest.approx(discerns, rel=1e-6)


@pytest.mark.parametrize("mode", ["lsgan", "vanilla", "hinge", "wgangp"])
@pytest.mark.parametrize("score_per", ["patch", "picture"])
def test_discriminators_and_generators_want_opposite_scores(mode: str, score_per: str) -> None:
    """From scores that say nothing, a generator raises the fake's and a discriminator raises the real's over it."""
    real, fake = (torch.full((2, 1, 3, 3), 0.3, requires_grad=True) for _ in range(2))
    loss = loss_config(gan_mode=mode, score_per=score_per)
    (by_generator,) = torch.autograd.grad(deceiving(fake, loss), fake)
    on_real, on_fake = torch.autograd.grad(discerning(real, fake, loss), (real, fake))
    assert (by_generator < 0).all()
    assert (on_real < 0).all()
    assert (on_fake > 0).all()


class Tiles(nn.Module):
    """Linear: each score is the sum of one 4 x 4 tile times the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 4, stride=4)
        nn.init.normal_(self.conv.weight, generator=torch.Generator().manual_seed(0))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def some_pictures(side: int = 8, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    real, fake = (torch.rand(3, 3, side, side, generator=rng, dtype=dtype) * 2 - 1 for _ in range(2))
    return real, fake, torch.tensor([0.0, 0.3, 0.9], dtype=dtype)


@pytest.mark.parametrize(("score_per", "scores"), [("patch", 2 * 4), ("picture", 1 / (2 * 4))])
def test_the_penalty_of_a_linear_discriminator_is_known(score_per: str, scores: float) -> None:
    """8 x 16 px are 2 x 4 tiles: the gradient of their sum has the norm sqrt(8) |w|, that of their mean |w| / sqrt(8)."""
    discriminator = Tiles()
    real, fake, share = some_pictures(16)
    loss = loss_config(gan_mode="wgangp", score_per=score_per)
    penalty = gradient_penalty(discriminator, real[:, :, :8], fake[:, :, :8], share, loss)
    w = discriminator.conv.weight.detach()
    norm = scores**0.5 * w.norm()
    assert penalty.item() == pytest.approx((norm.item() - 1) ** 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, discriminator.conv.weight)
    torch.testing.assert_close(gradient, 2 * (norm - 1) * scores**0.5 * w / w.norm(), rtol=1e-5, atol=1e-6)


def test_the_penalty_is_taken_between_the_pictures_and_averaged_over_them() -> None:
    """A score of |x|^2 / 2 has the gradient x, so that the penalty tells where it was taken."""

    class HalfSquare(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.square().sum((1, 2, 3), keepdim=True) / 2

    real, fake = torch.full((2, 1, 2, 2), 3.0), torch.full((2, 1, 2, 2), 1.0)
    loss = loss_config(gan_mode="wgangp")
    penalty = gradient_penalty(HalfSquare(), real, fake, torch.tensor([0.25, 1.0]), loss)
    # a quarter of real and three of fake is 1.5, whose norm over four pixels is 3; all of real is 3, whose norm is 6
    assert penalty.item() == pytest.approx(((3 - 1) ** 2 + (6 - 1) ** 2) / 2)


@pytest.mark.parametrize("score_per", ["patch", "picture"])
def test_the_penaltys_gradient_is_that_of_finite_differences(score_per: str) -> None:
    """Through a discriminator that is not linear, so that the second derivative counts."""
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Conv2d(3, 2, 4, 2, 1), nn.Softplus(), nn.Conv2d(2, 1, 3)).double()
    real, fake, share = some_pictures(8, torch.float64)
    loss = loss_config(gan_mode="wgangp", score_per=score_per)
    names = [name for name, _ in discriminator.named_parameters()]

    class With(nn.Module):
        def __init__(self, weights: tuple[Tensor, ...]) -> None:
            super().__init__()
            self.weights = dict(zip(names, weights, strict=True))

        def forward(self, x: Tensor) -> Tensor:
            return functional_call(discriminator, self.weights, (x,))

    def penalty(*weights: Tensor) -> Tensor:
        return gradient_penalty(With(weights), real, fake, share, loss)

    values = tuple(p.detach().clone().requires_grad_() for p in discriminator.parameters())
    # The last bias shifts all scores alike: the penalty does not depend on it.
    assert torch.autograd.grad(penalty(*values), values, allow_unused=True)[-1] is None
    assert torch.autograd.gradcheck(lambda *weights: penalty(*weights, values[-1].detach()), values[:-1])


def test_distance_is_the_mean_absolute_difference() -> None:
    output, target = torch.tensor([[[[1.0, -1.0, 0.5]]]]), torch.tensor([[[[1.0, 1.0, 0.0]]]])
    assert distance(output, target).item() == pytest.approx(2.5 / 3)


def weights_in(total: Callable[[dict[str, Tensor], LossConfig], Tensor], loss: LossConfig, *names: str) -> dict[str, float]:
    """The derivative of a sum by each term."""
    terms = {name: torch.tensor(float(index), requires_grad=True) for index, name in enumerate(names, start=1)}
    gradients = torch.autograd.grad(total(terms, loss), list(terms.values()), allow_unused=True)
    return {name: 0.0 if grad is None else grad.item() for name, grad in zip(names, gradients, strict=True)}


@given(weight, weight, weight)
def test_each_term_has_exactly_its_weight_in_the_generators_sum(
    lambda_A: float, lambda_B: float, lambda_identity: float
) -> None:
    loss = loss_config(lambda_A, lambda_B, lambda_identity)
    assert weights_in(generator_loss, loss, *GENERATOR_TERMS) == pytest.approx(
        {
            "G_AB": 1,
            "G_BA": 1,
            "cycle_A": lambda_A,
            "cycle_B": lambda_B,
            "idt_A": lambda_A * lambda_identity,
            "idt_B": lambda_B * lambda_identity,
        }
    )


@pytest.mark.parametrize("mode", ["lsgan", "vanilla", "hinge", "wgangp"])
def test_each_term_has_exactly_its_weight_in_the_discriminators_sum(mode: str) -> None:
    names = ("D_A", "D_B", "gp_A", "gp_B")
    penalty = 7.0 if mode == "wgangp" else 0.0
    loss = loss_config(gan_mode=mode, lambda_gp=7.0)
    assert weights_in(discriminator_loss, loss, *names) == dict(zip(names, (1, 1, penalty, penalty), strict=True))


@given(weight, weight, weight, st.sampled_from(["lsgan", "vanilla", "hinge", "wgangp"]))
def test_terms_exist_exactly_where_one_has_a_weight(
    lambda_A: float, lambda_B: float, lambda_identity: float, mode: str
) -> None:
    loss = loss_config(lambda_A, lambda_B, lambda_identity, gan_mode=mode)
    assert uses_identity(loss) is (max(lambda_A, lambda_B) * lambda_identity > 0)
    expected = {"G_AB", "G_BA", "cycle_A", "cycle_B", "D_A", "D_B"}
    expected |= {"idt_A", "idt_B"} if uses_identity(loss) else set()
    expected |= {"gp_A", "gp_B"} if mode == "wgangp" else set()
    assert set(term_names(loss)) == expected
    assert len(term_names(loss)) == len(expected)


def test_without_identity_the_sum_needs_no_identity_terms(make_config: Callable[..., Config]) -> None:
    terms = {name: torch.tensor(1.0) for name in GENERATOR_TERMS[:4]}
    loss = make_config(**{"loss.lambda_identity": 0.0, "loss.lambda_A": 3.0, "loss.lambda_B": 4.0}).loss
    assert generator_loss(terms, loss).item() == 9
