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


def test_of_a_batch_norm_the_scale_and_shift_are_averaged_and_the_running_statistics_taken_over() -> None:
    average, network = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 3.0)
    for number in range(3):
        network(torch.full((2, 2, 2, 2), float(number)))
    statistics = {key: buffer.clone() for key, buffer in network.named_buffers()}
    assert {key: buffer.tolist() for key, buffer in statistics.items()} == {
        "running_mean": pytest.approx([0.29, 0.29]),  # 0.9 x (0.9 x 0 + 0.1 x 1) + 0.1 x 2
        "running_var": pytest.approx([0.729, 0.729]),
        "num_batches_tracked": 3,
    }
    update(average, network, 0.9)
    assert values(average) == pytest.approx([0.3, 1.2])
    assert average.weight.unique().item() == pytest.approx(1.2)
    for key, buffer in average.named_buffers():
        assert torch.equal(buffer, statistics[key]), key
        assert torch.equal(network.get_buffer(key), statistics[key]), key
    network(torch.ones(2, 2, 2, 2))
    assert average.num_batches_tracked == 3  # copied, not shared
    update(average, network, 1.0)
    assert average.num_batches_tracked == 4
    assert torch.equal(average.running_mean, network.running_mean)
