"""What each step uses is a function of (seed, step), fair to every picture."""

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan.data import plan as module
from cyclegan.data.plan import Decisions, Plan

small = st.integers(1, 12)


def make(seed: int = 0, n_A: int = 7, n_B: int = 5, batch_size: int = 3, pool_size: int = 4, flip: bool = True) -> Plan:
    return Plan(seed, n_A, n_B, batch_size, pool_size, flip)


def arrays(decisions: Decisions) -> list[np.ndarray]:
    return [array for part in vars(decisions).values() for array in vars(part).values()]


@given(small, small, small, st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_is_as_long_as_the_larger_set_and_shows_each_picture_of_domain_a_equally_often(
    n_A: int, n_B: int, batch_size: int, seed: int, epoch: int
) -> None:
    plan = make(seed, n_A, n_B, batch_size)
    length = max(n_A, n_B)
    assert plan.steps_per_epoch == int(np.ceil(length / batch_size))
    steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
    shown = np.concatenate([plan.decisions(step).A.index for step in steps])
    times = Counter(shown[:length].tolist())
    assert set(times) == set(range(n_A))
    assert set(times.values()) <= {length // n_A, -(-length // n_A)}
    np.testing.assert_array_equal(shown[length:], np.resize(shown[:length], len(shown))[length:])  # filled from the start


@given(small, small, small, st.integers(0, 9), st.integers(0, 10**9))
def test_batches_are_always_full_and_every_number_lies_in_its_range(
    n_A: int, n_B: int, batch_size: int, pool_size: int, step: int
) -> None:
    decisions = make(1, n_A, n_B, batch_size, pool_size).decisions(step)
    assert {array.shape for array in arrays(decisions)} == {(batch_size,)}
    for view, count in ((decisions.A, n_A), (decisions.B, n_B)):
        assert ((view.index >= 0) & (view.index < count)).all()
        assert ((view.top >= 0) & (view.top < 1) & (view.left >= 0) & (view.left < 1)).all()
    for query in (decisions.pool_A, decisions.pool_B):
        assert ((query.read_slot >= 0) & (query.read_slot < max(pool_size, 1))).all()
        assert ((query.read_fresh >= 0) & (query.read_fresh < batch_size)).all()
        assert ((query.write_slot >= 0) & (query.write_slot <= pool_size)).all()


@given(st.integers(0, 5), small, st.integers(0, 40), st.integers(0, 99))
def test_no_slot_is_written_twice_in_a_step(pool_size: int, batch_size: int, step: int, seed: int) -> None:
    """The order of writes is not defined on a GPU; the slot behind the last, `size`, is a bin."""
    query = make(seed, batch_size=batch_size, pool_size=pool_size).decisions(step).pool_A
    kept = query.write_slot[query.write_slot < pool_size]
    assert len(set(kept.tolist())) == len(kept)


@settings(max_examples=20)
@given(st.permutations(range(30)), st.integers(0, 3))
def test_decisions_do_not_depend_on_which_steps_were_asked_before(order: list[int], seed: int) -> None:
    module._epoch_order.cache_clear()
    sequential = [arrays(make(seed).decisions(step)) for step in range(30)]
    module._epoch_order.cache_clear()
    asked: dict[int, Any] = {step: arrays(make(seed).decisions(step)) for step in order}
    for step in range(30):
        for one, other in zip(sequential[step], asked[step], strict=True):
            np.testing.assert_array_equal(one, other)


def epoch_of_A(plan: Plan, epoch: int) -> list[int]:
    steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
    return [int(index) for step in steps for index in plan.decisions(step).A.index]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(epoch_of_A(make(seed, n_A=20, batch_size=4), epoch)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def chi_square(draws: np.ndarray, kinds: int) -> float:
    expected = len(draws) / kinds
    return float(((np.bincount(draws, minlength=kinds) - expected) ** 2 / expected).sum())


def test_pictures_of_domain_b_crops_and_flips_are_drawn_uniformly_and_apart_from_domain_a() -> None:
    plan = make(n_A=10, n_B=10, batch_size=5)
    drawn = [plan.decisions(step) for step in range(2000)]
    for view in ("A", "B"):
        index, top, left, flip = (
            np.concatenate([getattr(getattr(decisions, view), name) for decisions in drawn])
            for name in ("index", "top", "left", "flip")
        )
        for tenths in (index, (10 * top).astype(int), (10 * left).astype(int)):
            assert chi_square(tenths, 10) < 34  # a fair draw exceeds this once in 10,000
        assert chi_square(flip.astype(int), 2) < 15
        assert abs(np.corrcoef([index, top, left, flip]) - np.eye(4)).max() < 0.04
    together = [np.concatenate([getattr(d, view).index for d in drawn]) for view in ("A", "B")]
    assert chi_square(together[0] * 10 + together[1], 100) < 161  # so pictures are unpaired: all 100 pairs as often


def test_without_flip_nothing_is_mirrored_and_nothing_else_changes() -> None:
    for step in range(20):
        with_flip, without = make(flip=True).decisions(step), make(flip=False).decisions(step)
        assert not without.A.flip.any()
        assert not without.B.flip.any()
        np.testing.assert_array_equal(with_flip.B.top, without.B.top)
        np.testing.assert_array_equal(with_flip.pool_B.read_slot, without.pool_B.read_slot)


def test_pools_fill_with_the_first_pictures_of_the_training_and_then_draw_apart() -> None:
    plan = make(n_A=30, batch_size=3, pool_size=7)
    written = np.concatenate([plan.decisions(step).pool_A.write_slot for step in range(3)])
    assert written[:7].tolist() == list(range(7))
    for step in range(2):
        assert not plan.decisions(step).pool_A.from_pool.any()
    later = [plan.decisions(step) for step in range(3, 400)]
    old_A, old_B = (np.concatenate([getattr(d, name).from_pool for d in later]) for name in ("pool_A", "pool_B"))
    assert 0.40 < old_A.mean() < 0.50  # 1/2, less the times when the slot was written in the same batch
    assert abs(np.corrcoef(old_A, old_B)[0, 1]) < 0.1
