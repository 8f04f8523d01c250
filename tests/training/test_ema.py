"""The moving average: right way round, quick at first, slow later."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cyclegan.training.ema import decay_at, update


def linear(value: float) -> nn.Linear:
    layer = nn.Linear(2, 2)
    for parameter in layer.parameters():
        nn.init.constant_(parameter, value)
    return layer


def values(layer: nn.Module) -> list[float]:
    return torch.cat([parameter.detach().flatten() for parameter in layer.parameters()]).unique().tolist()


def test_decay_warms_up_to_what_is_asked() -> None:
    assert [decay_at(step, 0.999) for step in (0, 1, 2, 90)] == pytest.approx([1 / 10, 2 / 11, 3 / 12, 0.91])
    assert decay_at(10**6, 0.999) == 0.999
    assert decay_at(0, 0.05) == 0.05


@given(st.floats(0.01, 0.9999), st.integers(0, 10**5))
def test_decay_never_falls_and_never_exceeds_its_limit(decay: float, step: int) -> None:
    assert 0 < decay_at(step, decay) <= decay_at(step + 1, decay) <= decay


def test_the_average_moves_towards_the_network_and_the_network_stays() -> None:
    average, network = linear(0.0), linear(1.0)
    update(average, network, 0.9)
    assert values(average) == pytest.approx([0.1])
    update(average, network, 0.9)
    assert values(average) == pytest.approx([0.19])
    assert values(network) == [1]


def test_decay_zero_copies_and_decay_one_keeps() -> None:
    average = linear(5.0)
    update(average, linear(2.0), 1.0)
    assert values(average) == [5]
    update(average, linear(2.0), 0.0)
    assert values(average) == [2]


def test_first_weights_are_forgotten_within_the_warm_up() -> None:
    average, network = linear(100.0), linear(1.0)
    for step in range(30):
        update(average, network, decay_at(step, 0.999))
    # the product of (1 + t) / (10 + t) over t < 30 is 9! 30! / 39! = 1 / C(39, 9)
    assert values(average) == pytest.approx([1.0], abs=1e-5)
