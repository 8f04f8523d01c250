"""The learning rate's share, epoch by epoch."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau, StepLR

from cyclegan.config import ScheduleConfig
from cyclegan.training.schedule import factor, total_epochs


def policy(lr_policy: str, n_epochs: int, n_epochs_decay: int, lr_decay_epochs: int = 50) -> ScheduleConfig:
    return ScheduleConfig(
        lr_policy=lr_policy, n_epochs=n_epochs, n_epochs_decay=n_epochs_decay, lr_decay_epochs=lr_decay_epochs
    )


def factors(schedule: ScheduleConfig, losses: list[float] | None = None) -> list[float]:
    """The share in every epoch; `losses` are the validation losses after each."""
    epochs = range(total_epochs(schedule))
    return [factor(epoch, schedule, (losses or [])[:epoch]) for epoch in epochs]


def by_torch(scheduler: LRScheduler, epochs: int) -> list[float]:
    """The rates that a scheduler of PyTorch's over a base rate of 1 gives, stepped after each epoch."""
    rates = []
    for _ in range(epochs):
        rates.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


@pytest.mark.parametrize(
    ("lr_policy", "shares"),
    [
        ("linear", [1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]),
        ("step", [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01]),
        ("cosine", [1, 0.9619397663, 0.8535533906, 0.6913417162, 0.5, 0.3086582838, 0.1464466094, 0.0380602337]),
        ("constant", [1] * 8),
    ],
)
def test_four_epochs_and_four_of_decay(lr_policy: str, shares: list[float]) -> None:
    schedule = policy(lr_policy, 4, 4, lr_decay_epochs=3)
    assert total_epochs(schedule) == 8
    assert factors(schedule) == pytest.approx(shares, abs=1e-10)


@pytest.mark.parametrize(
    ("losses", "shares"),
    [
        ([9, 8, 7, 6, 5, 4, 3, 2], [1] * 8),
        ([5, 5, 5, 5, 5, 5, 5, 5], [1] * 7 + [0.2]),  # the first is the best; six that are no better follow
        ([1, 0.995, 0.9905, 1, 1, 1, 1, 0.5], [1] * 7 + [0.2]),  # less than 1 % is no improvement
        ([1, 0.9899, 1, 1, 1, 1, 1, 1], [1] * 8),  # more than 1 % is
        ([4, 5, 5, 5, 5, 5, 3, 4], [1] * 8),
    ],
)
def test_four_epochs_and_four_of_decay_on_a_plateau(losses: list[float], shares: list[float]) -> None:
    assert factors(policy("plateau", 4, 4), losses) == pytest.approx(shares)


def test_a_long_plateau_falls_again_and_again() -> None:
    """Six bad epochs a reduction: the counting starts anew after each, against the same best."""
    shares = factors(policy("plateau", 20, 0), [1.0] * 20)
    assert shares == pytest.approx([1] * 7 + [0.2] * 6 + [0.04] * 6 + [0.008])


@given(st.lists(st.sampled_from([0.5, 0.9, 0.985, 0.99, 0.995, 1.0, 1.005, 1.2]) | st.floats(0.01, 2), max_size=60))
def test_plateau_is_pytorchs(losses: list[float]) -> None:
    scheduler = ReduceLROnPlateau(optimizer(), mode="min", factor=0.2, threshold=0.01, patience=5, eps=0.0)
    schedule = policy("plateau", 100, 0)
    for epoch, loss in enumerate(losses):
        assert factor(epoch, schedule, losses[:epoch]) == pytest.approx(scheduler.get_last_lr()[0])
        scheduler.step(loss)
    assert factor(len(losses), schedule, losses) == pytest.approx(scheduler.get_last_lr()[0])


def test_decay_alone_and_none_at_all() -> None:
    assert factors(policy("linear", 0, 3)) == pytest.approx([0.75, 0.5, 0.25])
    assert factors(policy("linear", 3, 0)) == [1, 1, 1]


epochs = st.tuples(st.integers(0, 50), st.integers(0, 50)).filter(any)


@given(epochs)
def test_linear_is_pytorchs_by_the_published_formula_and_never_reaches_zero(lengths: tuple[int, int]) -> None:
    full, decay = lengths
    shares = factors(policy("linear", full, decay))
    published = LambdaLR(optimizer(), lambda epoch: 1.0 - max(0, epoch + 1 - full) / (decay + 1))
    assert shares == pytest.approx(by_torch(published, full + decay))
    assert shares[:full] == [1.0] * full
    assert shares[-1] == pytest.approx(1 / (decay + 1)) if decay else shares[-1] == 1
    assert all(later < earlier for earlier, later in pairwise(shares[full:]))


@given(epochs, st.integers(1, 60))
def test_step_is_pytorchs(lengths: tuple[int, int], lr_decay_epochs: int) -> None:
    shares = factors(policy("step", *lengths, lr_decay_epochs=lr_decay_epochs))
    scheduler = StepLR(optimizer(), step_size=lr_decay_epochs, gamma=0.1)
    assert shares == pytest.approx(by_torch(scheduler, sum(lengths)))


@given(epochs)
def test_cosine_always_falls_over_all_epochs_and_never_reaches_zero(lengths: tuple[int, int]) -> None:
    shares = factors(policy("cosine", *lengths))
    assert shares[0] == 1
    assert all(later < earlier for earlier, later in pairwise(shares))
    assert shares[-1] > 0
    assert shares == pytest.approx([1 - share for share in [*shares[1:], 0][::-1]])  # symmetric about the middle


@pytest.mark.parametrize("lr_policy", ["linear", "step", "cosine", "constant", "plateau"])
def test_the_last_epoch_has_a_rate_above_zero(lr_policy: str) -> None:
    assert factors(policy(lr_policy, 100, 100), [1.0] * 200)[-1] > 0
