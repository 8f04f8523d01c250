"""What each step uses is a function of (seed, step), fair to every picture."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cyclegan.data import plan as module
from cyclegan.data.plan import Decisions, Plan, pack, unpack

small = st.integers(1, 12)


def make(
    seed: int = 0, n_A: int = 7, n_B: int = 5, batch_size: int = 3, pool_size: int = 4, flip: bool = True, **order: Any
) -> Plan:
    return Plan(seed, n_A, n_B, batch_size, pool_size, flip, **order)


def arrays(decisions: Decisions) -> list[Tensor]:
    parts = vars(decisions).values()
    return [array for part in parts for array in ([part] if isinstance(part, Tensor) else vars(part).values())]


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


def epoch_of(plan: Plan, domain: str, epoch: int) -> list[int]:
    steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
    return [int(index) for step in steps for index in getattr(plan.decisions(step), domain).index]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(epoch_of(make(seed, n_A=20, batch_size=4), "A", epoch)) for seed in range(5) for epoch in range(5)}
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


# --- serial batches and short epochs ----------------------------------------------------------------------------------

ORDERS = [{"serial": serial, "epoch_length": length} for serial in (False, True) for length in ("max", "min")]


@pytest.mark.parametrize("order", ORDERS, ids=str)
@given(n_A=small, n_B=small, batch_size=small, step=st.integers(0, 10**6))
@settings(max_examples=30)
def test_in_every_order_batches_are_full_and_indices_lie_in_their_sets(
    order: dict[str, Any], n_A: int, n_B: int, batch_size: int, step: int
) -> None:
    plan = make(2, n_A, n_B, batch_size, **order)
    length = {"max": max, "min": min}[order["epoch_length"]](n_A, n_B)
    assert plan.epoch_pictures == length
    assert plan.steps_per_epoch == int(np.ceil(length / batch_size))
    decisions = plan.decisions(step)
    assert {array.shape for array in arrays(decisions)} == {(batch_size,)}
    for view, count in ((decisions.A, n_A), (decisions.B, n_B)):
        assert ((view.index >= 0) & (view.index < count)).all()


@given(small, small, small, st.integers(0, 4), st.sampled_from(["max", "min"]))
def test_serial_batches_take_position_after_position_in_both_domains(
    n_A: int, n_B: int, batch_size: int, epoch: int, epoch_length: str
) -> None:
    plan = make(3, n_A, n_B, batch_size, serial=True, epoch_length=epoch_length)
    places = np.arange(plan.steps_per_epoch * batch_size) % plan.epoch_pictures  # filled from the epoch's start
    assert epoch_of(plan, "A", epoch) == (places % n_A).tolist()
    assert epoch_of(plan, "B", epoch) == (places % n_B).tolist()


def test_serial_batches_are_cropped_and_flipped_at_random_all_the_same() -> None:
    decisions = [make(batch_size=7, n_B=7, serial=True).decisions(step) for step in range(20)]
    for domain in ("A", "B"):
        views = [getattr(one, domain) for one in decisions]
        assert all(view.index.tolist() == list(range(7)) for view in views)
        assert len({(top, left) for view in views for top, left in zip(view.top, view.left, strict=True)}) == 140
        assert {bool(flip) for view in views for flip in view.flip} == {True, False}


@given(small, small, small, st.integers(0, 5), st.integers(0, 3))
def test_a_short_epoch_shows_as_many_pictures_as_the_smaller_set_has_and_none_of_them_twice(
    n_A: int, n_B: int, batch_size: int, seed: int, epoch: int
) -> None:
    plan = make(seed, n_A, n_B, batch_size, epoch_length="min")
    length = min(n_A, n_B)
    for domain, count in (("A", n_A), ("B", n_B)):
        shown = epoch_of(plan, domain, epoch)
        assert len(set(shown[:length])) == length
        assert count > length or set(shown) == set(range(count))
        np.testing.assert_array_equal(shown[length:], np.resize(shown[:length], len(shown))[length:])


@pytest.mark.parametrize(("n_A", "n_B", "larger"), [(12, 4, "A"), (4, 12, "B")])
def test_over_short_epochs_every_picture_of_the_larger_set_comes_as_often(n_A: int, n_B: int, larger: str) -> None:
    plan = make(n_A=n_A, n_B=n_B, batch_size=4, epoch_length="min")
    draws = np.concatenate([epoch_of(plan, larger, epoch) for epoch in range(600)])
    assert chi_square(draws, 12) < 37  # a fair draw exceeds this once in 10,000
    first = np.array([epoch_of(plan, larger, epoch)[0] for epoch in range(600)])
    assert chi_square(first, 12) < 37


def test_short_epochs_have_an_order_of_their_own_in_each_domain_epoch_and_seed() -> None:
    orders = {
        tuple(epoch_of(make(seed, n_A=20, n_B=20, batch_size=4, epoch_length="min"), domain, epoch))
        for seed in range(4)
        for domain in ("A", "B")
        for epoch in range(4)
    }
    assert len(orders) == 32
    plan = make(n_A=8, n_B=8, batch_size=8, epoch_length="min")
    together = [8 * np.array(epoch_of(plan, "A", epoch)) + epoch_of(plan, "B", epoch) for epoch in range(250)]
    assert chi_square(np.concatenate(together), 64) < 112  # unpaired: all 64 pairs as often


# --- what must not change ---------------------------------------------------------------------------------------------


def test_the_default_plan_draws_what_it_drew_in_the_first_release() -> None:
    """Literal numbers: trainings of that release are to be repeated to the byte."""
    decisions = make(n_A=30, n_B=8, batch_size=5, pool_size=4).decisions(2)
    assert [view.index.tolist() for view in (decisions.A, decisions.B)] == [[1, 0, 17, 4, 23], [2, 6, 7, 4, 1]]
    assert [view.flip.tolist() for view in (decisions.A, decisions.B)] == [[0, 0, 1, 1, 1], [1, 1, 1, 0, 1]]
    for drawn, numbers in (
        (decisions.A.top, [0.6614736, 0.17282502, 0.43132397, 0.98107873, 0.88789674]),
        (decisions.A.left, [0.93666231, 0.27389327, 0.6009318, 0.82332074, 0.51877531]),
        (decisions.B.top, [0.9917988, 0.97099777, 0.11029418, 0.31751694, 0.57438535]),
        (decisions.B.left, [0.37142293, 0.97231046, 0.25689875, 0.48962851, 0.93618454]),
    ):
        assert drawn.tolist() == pytest.approx(numbers, abs=1e-8)
    pools = [{name: array.tolist() for name, array in vars(pool).items()} for pool in (decisions.pool_A, decisions.pool_B)]
    assert pools == [
        {
            "from_pool": [1, 0, 0, 0, 0],
            "read_slot": [0, 0, 0, 0, 0],
            "read_fresh": [0, 1, 2, 3, 0],
            "write_slot": [4, 4, 4, 4, 0],
        },
        {
            "from_pool": [0, 0, 0, 1, 1],
            "read_slot": [0, 0, 0, 2, 0],
            "read_fresh": [0, 1, 2, 3, 4],
            "write_slot": [4, 4, 4, 2, 0],
        },
    ]
    later = make(n_A=7, n_B=5).decisions(9)  # in the fourth epoch, at its start
    assert [view.index.tolist() for view in (later.A, later.B)] == [[1, 4, 2], [0, 1, 3]]


# --- the gradient penalty's shares ------------------------------------------------------------------------------------


def test_shares_are_uniform_single_precision_and_drawn_apart() -> None:
    plan = make(batch_size=5)
    decisions = [plan.decisions(step) for step in range(400)]
    shares = {name: np.concatenate([getattr(one, name) for one in decisions]) for name in ("share_A", "share_B")}
    for drawn in shares.values():
        assert drawn.dtype == np.float32
        assert drawn.min() >= 0
        assert drawn.max() < 1
        assert chi_square((10 * drawn).astype(int), 10) < 34
    both = np.concatenate(list(shares.values()))
    assert len(np.unique(both)) > 0.999 * len(both)  # of 2^24 values, hardly any twice
    others = [np.concatenate([getattr(one.A, name) for one in decisions]) for name in ("top", "left", "flip")]
    assert abs(np.corrcoef([*shares.values(), *others]) - np.eye(5)).max() < 0.1


@given(small, small, small, st.integers(0, 99), st.integers(0, 2**32 - 1))
def test_all_decisions_fit_one_tensor_exactly(n_A: int, n_B: int, batch_size: int, step: int, seed: int) -> None:
    decisions = make(seed, n_A=n_A, n_B=n_B, batch_size=batch_size).decisions(step)
    rows = pack(decisions)
    assert rows.shape == (18, batch_size)
    for one, other in zip(arrays(decisions), arrays(unpack(rows)), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
