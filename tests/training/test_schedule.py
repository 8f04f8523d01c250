"""The learning rate's share, epoch by epoch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan.config import ScheduleConfig
from cyclegan.training.schedule import factor, total_epochs


def factors(n_epochs: int, n_epochs_decay: int) -> list[float]:
    schedule = ScheduleConfig(n_epochs=n_epochs, n_epochs_decay=n_epochs_decay)
    assert total_epochs(schedule) == n_epochs + n_epochs_decay
    return [factor(epoch, schedule) for epoch in range(total_epochs(schedule))]


def test_four_full_epochs_and_four_of_decay() -> None:
    assert factors(4, 4) == pytest.approx([1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])


def test_decay_alone_and_none_at_all() -> None:
    assert factors(0, 3) == pytest.approx([0.75, 0.5, 0.25])
    assert factors(3, 0) == [1, 1, 1]


@given(st.integers(0, 50), st.integers(0, 50).filter(bool))
def test_follows_the_published_formula_falls_by_equal_steps_and_never_reaches_zero(full: int, decay: int) -> None:
    shares = factors(full, decay)
    assert shares == pytest.approx([1 - max(0, epoch + 1 - full) / (decay + 1) for epoch in range(full + decay)])
    assert shares[:full] == [1.0] * full
    assert shares[-1] == pytest.approx(1 / (decay + 1))
    assert all(later < earlier for earlier, later in zip(shares[full:], shares[full + 1 :], strict=False))
