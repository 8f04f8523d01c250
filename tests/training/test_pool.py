"""The history pool: plan and device tensor together do what a plain list does, picture by picture."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from textbook import ImagePool

from cyclegan import randomness
from cyclegan.data.plan import PoolQuery, query_pool
from cyclegan.training.pool import Pool, VariedPool

CPU = torch.device("cpu")


def numbered(first: int, n: int) -> torch.Tensor:
    """Pictures that can be told apart: [n, 1, 2, 3] of their number."""
    return torch.arange(first, first + n, dtype=torch.float32).reshape(n, 1, 1, 1).repeat(1, 1, 2, 3)


def empty(size: int) -> Pool:
    return Pool.empty(size, 1, 2, 3, CPU)


@pytest.mark.parametrize("size", [0, 1, 3, 50])
@given(n=st.integers(1, 7), steps=st.integers(1, 60), seed=st.integers(0, 99))
def test_shows_and_keeps_what_a_plain_list_does(size: int, n: int, steps: int, seed: int) -> None:
    pool, plain = empty(size), ImagePool(size)
    for step in range(steps):
        fresh = numbered(1 + step * n, n)
        decisions = query_pool(randomness.generator(seed, "pool", step), size, step * n, n)
        rng = randomness.generator(seed, "pool", step)
        swaps, slots = rng.random(n) < 0.5, rng.integers(max(size, 1), size=n)
        assert torch.equal(pool.query(fresh, decisions), plain.query(fresh, swaps.tolist(), slots.tolist()))
        if plain.pictures:
            assert torch.equal(pool.slots[: len(plain.pictures)], torch.stack(plain.pictures))


@pytest.mark.parametrize("size", [0, 1, 3])
@given(sides=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 7)), min_size=1, max_size=40), seed=st.integers(0, 99))
def test_pictures_of_many_sizes_come_and_go_as_in_a_plain_list(size: int, sides: list[tuple[int, int]], seed: int) -> None:
    pool, plain = VariedPool.empty(size, 2, 5, 7, CPU), ImagePool(size)
    for step, (height, width) in enumerate(sides):
        fresh = torch.randn(1, 2, height, width, generator=torch.Generator().manual_seed(step))
        decisions = query_pool(randomness.generator(seed, "pool", step), size, step, 1)
        rng = randomness.generator(seed, "pool", step)
        swaps, slots = rng.random(1) < 0.5, rng.integers(max(size, 1), size=1)
        shown = pool.query(fresh, decisions)
        assert torch.equal(shown, plain.query(fresh, swaps.tolist(), slots.tolist()))  # the size it had, too
        assert pool.sizes[: len(plain.pictures)].tolist() == [list(picture.shape[1:]) for picture in plain.pictures]


def test_a_pool_of_many_sizes_is_asked_for_one_picture_at_a_time() -> None:
    pool = VariedPool.empty(2, 1, 2, 3, CPU)
    with pytest.raises(AssertionError):
        pool.query(numbered(1, 2), query_pool(randomness.generator(0, "pool"), 2, 0, 2))


@pytest.mark.parametrize("kind", [Pool, VariedPool])
@pytest.mark.parametrize("size", [0, 3])
def test_what_a_checkpoint_keeps_restores_the_pool_when_written_to(kind: type[Pool], size: int) -> None:
    used, fresh = kind.empty(size, 1, 2, 3, CPU), kind.empty(size, 1, 2, 3, CPU)
    for step in range(3):
        used.query(numbered(step + 1, 1), query_pool(randomness.generator(0, "pool", step), size, step, 1))
    for name, tensor in fresh.tensors().items():
        tensor.copy_(used.tensors()[name])
    for step in range(3, 20):
        decisions = query_pool(randomness.generator(0, "pool", step), size, step, 1)
        picture = numbered(step + 1, 1)
        assert torch.equal(fresh.query(picture, decisions), used.query(picture, decisions))


def test_half_of_what_a_full_pool_shows_is_old_and_every_slot_is_used() -> None:
    pool = empty(10)
    old, replaced = 0, np.zeros(10, dtype=int)
    for step in range(2000):
        fresh, before = numbered(step, 1), pool.slots[:10].clone()
        shown = pool.query(fresh, query_pool(randomness.generator(0, "pool", step), 10, step, 1))
        if step >= 10:
            old += int(shown[0, 0, 0, 0] != step)
            replaced += (pool.slots[:10] != before)[:, 0, 0, 0].numpy()
    assert abs(old / 1990 - 0.5) < 4 * 0.5 / 1990**0.5
    assert replaced.sum() == old
    assert ((replaced - old / 10) ** 2 / (old / 10)).sum() < 34  # chi-square, 9 degrees: once in 10,000


def test_an_empty_pool_shows_the_fresh_pictures() -> None:
    fresh = numbered(5, 4)
    shown = empty(0).query(fresh, query_pool(randomness.generator(0, "pool"), 0, 0, 4))
    assert torch.equal(shown, fresh)


@pytest.mark.parametrize("kind", [Pool, VariedPool])
def test_what_is_shown_does_not_change_when_the_pool_does(kind: type[Pool]) -> None:
    pool = kind.empty(1, 1, 2, 3, CPU)
    swap = PoolQuery(torch.tensor([True]), *(torch.tensor([0]) for _ in range(3)))
    pool.query(numbered(1, 1), query_pool(randomness.generator(0, "pool"), 1, 0, 1))
    fresh = numbered(2, 1)
    shown = pool.query(fresh, swap)
    fresh.fill_(7.0)
    pool.query(numbered(3, 1), swap)
    assert shown.unique().tolist() == [1]
