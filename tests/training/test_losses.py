"""The loss terms by their formulas, and the weights in the one sum."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cyclegan.config import Config, LossConfig
from cyclegan.training.losses import adversarial, distance, generator_loss, term_names, uses_identity

TERMS = ("G_AB", "G_BA", "cycle_A", "cycle_B", "idt_A", "idt_B")
weight = st.sampled_from([0.0, 0.5, 1.0, 3.0, 10.0])


def loss_config(lambda_A: float, lambda_B: float, lambda_identity: float) -> LossConfig:
    return LossConfig(lambda_A=lambda_A, lambda_B=lambda_B, lambda_identity=lambda_identity)


def test_adversarial_is_the_mean_square_to_one_for_real_and_to_zero_for_fake() -> None:
    scores = torch.tensor([[[[1.0, 0.0]], [[3.0, -2.0]]]])
    assert adversarial(scores, real=True).item() == pytest.approx((0 + 1 + 4 + 9) / 4)
    assert adversarial(scores, real=False).item() == pytest.approx((1 + 0 + 9 + 4) / 4)


def test_distance_is_the_mean_absolute_difference() -> None:
    output, target = torch.tensor([[[[1.0, -1.0, 0.5]]]]), torch.tensor([[[[1.0, 1.0, 0.0]]]])
    assert distance(output, target).item() == pytest.approx(2.5 / 3)


@given(weight, weight, weight)
def test_each_term_has_exactly_its_weight_in_the_sum(lambda_A: float, lambda_B: float, lambda_identity: float) -> None:
    loss = loss_config(lambda_A, lambda_B, lambda_identity)
    terms = {name: torch.tensor(float(index), requires_grad=True) for index, name in enumerate(TERMS, start=1)}
    gradients = torch.autograd.grad(generator_loss(terms, loss), list(terms.values()), allow_unused=True)
    weights = {name: 0.0 if grad is None else grad.item() for name, grad in zip(TERMS, gradients, strict=True)}
    assert weights == pytest.approx(
        {
            "G_AB": 1,
            "G_BA": 1,
            "cycle_A": lambda_A,
            "cycle_B": lambda_B,
            "idt_A": lambda_A * lambda_identity,
            "idt_B": lambda_B * lambda_identity,
        }
    )


@given(weight, weight, weight)
def test_identity_terms_exist_exactly_where_one_has_a_weight(
    lambda_A: float, lambda_B: float, lambda_identity: float
) -> None:
    loss = loss_config(lambda_A, lambda_B, lambda_identity)
    assert uses_identity(loss) is (max(lambda_A, lambda_B) * lambda_identity > 0)
    expected = {"G_AB", "G_BA", "cycle_A", "cycle_B", "D_A", "D_B"} | ({"idt_A", "idt_B"} if uses_identity(loss) else set())
    assert set(term_names(loss)) == expected
    assert len(term_names(loss)) == len(expected)


def test_without_identity_the_sum_needs_no_identity_terms(make_config: Callable[..., Config]) -> None:
    terms = {name: torch.tensor(1.0) for name in TERMS[:4]}
    loss = make_config(**{"loss.lambda_identity": 0.0, "loss.lambda_A": 3.0, "loss.lambda_B": 4.0}).loss
    assert generator_loss(terms, loss).item() == 9
