"""Random numbers are a function of (seed, stream, step), and that function never changes unnoticed."""

import hashlib
import random
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan import randomness

SEEDS = st.integers(0, 2**32 - 1)
STREAMS = st.text("abz/ _AB", max_size=8)
STEPS = st.integers(0, 2**40)
TRIPLES = st.tuples(SEEDS, STREAMS, STEPS)
quick = settings(deadline=None, max_examples=80, derandomize=True)


def words(seed: int, stream: str, step: int, count: int = 4) -> list[int]:
    return [int(word) for word in randomness.generator(seed, stream, step).bit_generator.random_raw(count)]


def philox(key: tuple[int, int], counter: tuple[int, int, int, int]) -> list[int]:
    """Philox4x64-10 as Salmon et al. 2011 write it: one block of four words."""
    low = 2**64 - 1
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(10):
        p0, p1 = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = (p1 >> 64) ^ c1 ^ k0, p1 & low, (p0 >> 64) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & low, (k1 + 0xBB67AE8584CAA73B) & low
    return [c0, c1, c2, c3]


@quick
@given(TRIPLES)
def test_it_is_philox_with_the_step_in_the_highest_word(triple: tuple[int, str, int]) -> None:
    seed, stream, step = triple
    key = struct.unpack("<QQ", hashlib.sha256(f"{seed}/{stream}".encode()).digest()[:16])
    assert words(seed, stream, step, 8) == philox(key, (1, 0, 0, step)) + philox(key, (2, 0, 0, step))


@quick
@given(TRIPLES, TRIPLES)
def test_same_arguments_same_numbers_and_others_others(one: tuple[int, str, int], other: tuple[int, str, int]) -> None:
    first = words(*one)
    assert (words(*other) == first) == (one == other)
    assert words(*one) == first


@quick
@given(TRIPLES)
def test_each_argument_matters(triple: tuple[int, str, int]) -> None:
    seed, stream, step = triple
    neighbours = [(seed + 1, stream, step), (seed, stream + "x", step), (seed, stream, step + 1), (step, stream, seed)]
    drawn = [words(*neighbour) for neighbour in [triple, *neighbours[:3]]]
    assert len({tuple(numbers) for numbers in drawn}) == 4
    assert (words(*neighbours[3]) == drawn[0]) == (seed == step)


def test_steps_can_be_drawn_in_any_order_and_do_not_run_into_each_other() -> None:
    forward = [words(3, "plan", step, 1000) for step in range(20)]
    backward = [words(3, "plan", step, 1000) for step in reversed(range(20))][::-1]
    assert forward == backward
    assert len({word for numbers in forward for word in numbers}) == 20 * 1000


def test_the_global_states_are_neither_read_nor_changed() -> None:
    np.random.seed(0)
    random.seed(0)
    first = words(0, "a", 0), randomness.torch_seed(0, "a"), randomness.hash_order(0, "a", range(50))
    after = np.random.random(), random.random()
    np.random.seed(1)
    random.seed(1)
    assert (words(0, "a", 0), randomness.torch_seed(0, "a"), randomness.hash_order(0, "a", range(50))) == first
    np.random.seed(0)
    random.seed(0)
    assert (np.random.random(), random.random()) == after


@pytest.mark.parametrize(
    ("arguments", "raw", "integers", "permutation"),
    [
        (
            (0, "a", 0),
            [7940855084873053004, 14261478520545744601, 1669465469542300243],
            [573, 430, 394, 773],
            [3, 5, 2, 1, 0, 4],
        ),
        (
            (0, "plan/A", 7),
            [7364010093662975936, 9085480075197714363, 4463729743333682486],
            [981, 399, 812, 492],
            [2, 5, 4, 3, 1, 0],
        ),
        (
            (2**32 - 1, "init/G_AB", 2**63),
            [686703019112461860, 18269960906730967917, 14995557403095217065],
            [939, 37, 445, 990],
            [0, 2, 3, 5, 1, 4],
        ),
    ],
)
def test_the_numbers_are_those_of_the_first_release(
    arguments: tuple[int, str, int], raw: list[int], integers: list[int], permutation: list[int]
) -> None:
    assert words(*arguments, 3) == raw
    assert randomness.generator(*arguments).integers(0, 1000, 4).tolist() == integers
    assert randomness.generator(*arguments).permutation(6).tolist() == permutation


def test_torch_seeds_are_those_of_the_first_release() -> None:
    assert randomness.torch_seed(0, "init/G_AB") == 9057893662058951378
    assert randomness.torch_seed(1, "init/G_AB") == 3299575150043147931


@quick
@given(SEEDS, STREAMS)
def test_torch_seeds_fit_and_differ(seed: int, stream: str) -> None:
    value = randomness.torch_seed(seed, stream)
    assert 0 <= value < 2**63
    assert len({value, randomness.torch_seed(seed + 1, stream), randomness.torch_seed(seed, stream + "x")}) == 3


@quick
@given(SEEDS, STREAMS, STEPS)
def test_torch_seeds_of_steps_differ_and_the_first_is_that_of_no_step(seed: int, stream: str, step: int) -> None:
    """Dropout is seeded a step at a time."""
    assert randomness.torch_seed(seed, stream, 0) == randomness.torch_seed(seed, stream)
    values = [randomness.torch_seed(seed, stream, at) for at in range(step, step + 4)]
    assert len(set(values)) == 4
    assert all(0 <= value < 2**63 for value in values)


KEYS = st.lists(st.text(max_size=6), unique=True, max_size=30) | st.lists(st.integers(), unique=True, max_size=30)


@quick
@given(SEEDS, STREAMS, KEYS, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(seed: int, stream: str, keys: list[int], shuffler: random.Random) -> None:
    ordered = randomness.hash_order(seed, stream, keys)
    shuffled = keys[:]
    shuffler.shuffle(shuffled)
    assert randomness.hash_order(seed, stream, iter(shuffled)) == ordered
    assert sorted(ordered) == sorted(keys)


@quick
@given(SEEDS, STREAMS, KEYS, st.randoms(use_true_random=False))
def test_removing_keys_leaves_the_others_in_order(seed: int, stream: str, keys: list[int], chooser: random.Random) -> None:
    kept = {key for key in keys if chooser.random() < 0.5}
    ordered = randomness.hash_order(seed, stream, keys)
    assert randomness.hash_order(seed, stream, kept) == [key for key in ordered if key in kept]


def test_orders_depend_on_seed_and_stream_and_are_fair() -> None:
    keys = range(200)
    orders = [randomness.hash_order(seed, stream, keys) for seed in (0, 1) for stream in ("a", "b")]
    assert len({tuple(order) for order in orders}) == 4
    first_half = [sum(key < 100 for key in randomness.hash_order(seed, "a", keys)[:100]) for seed in range(50)]
    assert 47 < np.mean(first_half) < 53


def test_orders_are_those_of_the_first_release() -> None:
    assert randomness.hash_order(0, "openmoji", range(10)) == [5, 8, 7, 0, 3, 9, 6, 4, 2, 1]
    names = ["a.jpg", "b.jpg", "é.jpg", "sub/c.jpg"]
    assert randomness.hash_order(0, "hold out", names) == ["b.jpg", "a.jpg", "sub/c.jpg", "é.jpg"]
