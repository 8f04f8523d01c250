"""What training step t uses: which pictures, crops, flips and places of the history pools. A function of (seed, t)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cyclegan import randomness

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class View:
    """The pictures of one domain in one step, each tensor [N].

    Attributes:
        index: which pictures of the training set, int64.
        top, left: where to crop, as a fraction in [0, 1) of the room there is, float64.
        flip: whether to mirror left to right.
    """

    index: Tensor
    top: Tensor
    left: Tensor
    flip: Tensor


@dataclass(frozen=True)
class PoolQuery:
    """What the history pool of one domain does in one step, each tensor [N] (see `query_pool`).

    Attributes:
        from_pool: whether the discriminator is shown a stored picture instead of a fresh one.
        read_slot: the slot of that stored picture, int64.
        read_fresh: otherwise, the fresh picture's place in the batch, int64.
        write_slot: the slot that takes this batch's picture i, int64; `size` means that it is not kept.
    """

    from_pool: Tensor
    read_slot: Tensor
    read_fresh: Tensor
    write_slot: Tensor


@dataclass(frozen=True)
class Decisions:
    """Everything random in one step: tensors of the plan on the host, or of `unpack` on any device."""

    A: View
    B: View
    pool_A: PoolQuery  # over fake_A
    pool_B: PoolQuery  # over fake_B
    share_A: Tensor  # float32 [N] in [0, 1): how much of real_A is in the pictures of the gradient penalty
    share_B: Tensor


@dataclass(frozen=True)
class Plan:
    """Unpaired sampling, by epochs of max(|A|, |B|) or min(|A|, |B|) pictures of each domain.

    max, as the reference implementation does it (`unaligned_dataset.py`): the epoch goes through its positions in a new
    random order; position p takes picture p mod |A| of A, and a picture of B at random.
    min, as two shuffled loaders side by side: each domain is gone through in a new random order of its own, until the
    smaller one is used up.
    serial: position after position takes the pictures p mod |A| and p mod |B|, without chance.

    The last batch of an epoch is filled up from the epoch's start, so that all are of one size.
    """

    seed: int
    n_A: int
    n_B: int
    batch_size: int
    pool_size: int
    flip: bool
    serial: bool = False
    epoch_length: Literal["max", "min"] = "max"

    @property
    def epoch_pictures(self) -> int:
        """Pictures of each domain an epoch."""
        return max(self.n_A, self.n_B) if self.epoch_length == "max" else min(self.n_A, self.n_B)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps an epoch."""
        return -(-self.epoch_pictures // self.batch_size)

    def decisions(self, step: int) -> Decisions:
        """All that step `step` (from 0) draws."""
        epoch, position = divmod(step, self.steps_per_epoch)
        places = np.arange(position * self.batch_size, (position + 1) * self.batch_size) % self.epoch_pictures
        rng = randomness.generator(self.seed, "step", step)
        index_A, index_B = self._pictures(rng, epoch, places)
        return Decisions(
            A=self._view(rng, index_A),
            B=self._view(rng, index_B),
            pool_A=query_pool(rng, self.pool_size, step * self.batch_size, self.batch_size),
            pool_B=query_pool(rng, self.pool_size, step * self.batch_size, self.batch_size),
            share_A=torch.from_numpy(rng.random(self.batch_size, dtype=np.float32)),
            share_B=torch.from_numpy(rng.random(self.batch_size, dtype=np.float32)),
        )

    def _pictures(self, rng: np.random.Generator, epoch: int, places: Ints) -> tuple[Ints, Ints]:
        if self.serial:
            return places % self.n_A, places % self.n_B
        if self.epoch_length == "min":
            order_A = _epoch_order(self.seed, "epoch/A", epoch, self.n_A)
            return order_A[places], _epoch_order(self.seed, "epoch/B", epoch, self.n_B)[places]
        order = _epoch_order(self.seed, "epoch", epoch, self.epoch_pictures)
        return order[places] % self.n_A, rng.integers(self.n_B, size=len(places))

    def _view(self, rng: np.random.Generator, index: Ints) -> View:
        top, left = rng.random((2, len(index)))
        flip = (rng.random(len(index)) < 0.5) & self.flip
        return View(*map(torch.from_numpy, (index, top, left, flip)))


def query_pool(rng: np.random.Generator, size: int, seen: int, n: int) -> PoolQuery:
    """Draw what a history pool of `size` slots, shown `seen` pictures before, does with the next `n`.

    The rule of the reference implementation (`image_pool.py`, after Shrivastava et al. 2017), picture by picture: until
    the pool is full a picture is stored and shown; then, with probability 1/2, a random stored picture is shown and
    replaced by the fresh one; otherwise the fresh one is shown and not kept. Drawing it here leaves plain indexing for
    the device.
    """
    swap, slots = rng.random(n) < 0.5, rng.integers(max(size, 1), size=n)
    from_pool = np.zeros(n, dtype=bool)
    read_slot = np.zeros(n, dtype=np.int64)
    read_fresh = np.arange(n)
    write_slot = np.full(n, size)
    holder: dict[int, int] = {}  # slots written within this batch -> the batch's picture that lies there now
    for i in range(n):
        if seen + i < size:
            slot = seen + i
        elif size > 0 and swap[i]:
            slot = int(slots[i])
            if slot in holder:
                read_fresh[i] = holder[slot]
                write_slot[holder[slot]] = size
            else:
                from_pool[i], read_slot[i] = True, slot
        else:
            continue
        write_slot[i] = slot
        holder[slot] = i
    return PoolQuery(*map(torch.from_numpy, (from_pool, read_slot, read_fresh, write_slot)))


def pack(decisions: Decisions) -> Tensor:
    """All of a step's decisions as one tensor, float64 [18, N], which holds every one of them exactly."""
    parts = (decisions.A, decisions.B, decisions.pool_A, decisions.pool_B)
    rows = [row for part in parts for row in vars(part).values()]
    return torch.stack([row.double() for row in (*rows, decisions.share_A, decisions.share_B)])


def unpack(rows: Tensor) -> Decisions:
    """The opposite of `pack`, on the device where the rows lie and without waiting for it."""
    return Decisions(
        A=_view(rows[0:4]),
        B=_view(rows[4:8]),
        pool_A=_query(rows[8:12]),
        pool_B=_query(rows[12:16]),
        share_A=rows[16].float(),
        share_B=rows[17].float(),
    )


def _view(rows: Tensor) -> View:
    return View(rows[0].long(), rows[1], rows[2], rows[3].bool())


def _query(rows: Tensor) -> PoolQuery:
    return PoolQuery(rows[0].bool(), *rows[1:].long())


@lru_cache(maxsize=4)
def _epoch_order(seed: int, stream: str, epoch: int, length: int) -> Ints:
    return randomness.generator(seed, stream, epoch).permutation(length)
