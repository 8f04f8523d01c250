"""(seed, stream, step) -> numbers. Randomness is a function here: nothing keeps a hidden random state."""

import hashlib
from collections.abc import Iterable
from typing import TypeVar

import numpy as np

Key = TypeVar("Key", int, str)


def generator(seed: int, stream: str, step: int = 0) -> np.random.Generator:
    """A counter-based generator (Philox, Salmon et al. 2011) for one purpose at one step.

    The seed and the stream's name make the key and the step fills the highest word of the 256-bit counter,
    so that no two (seed, stream, step) share numbers and any of them can be drawn first.
    """
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    key = np.frombuffer(digest[:16], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, step]))


def torch_seed(seed: int, stream: str, step: int = 0) -> int:
    """A seed in [0, 2**63) for PyTorch, one for each (seed, stream, step)."""
    return int(generator(seed, stream, step).integers(0, 2**63))


def hash_order(seed: int, stream: str, keys: Iterable[Key]) -> list[Key]:
    """`keys` in an order that depends on the seed and on the keys alone, not on the order they came in.

    Adding or removing a key leaves the others in their order.
    """
    return sorted(keys, key=lambda key: hashlib.sha256(f"{seed}/{stream}/{key}".encode()).digest())
