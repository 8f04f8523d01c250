"""The history pool (Shrivastava et al. 2017, section 2.3) as a device tensor; its decisions come from the plan."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cyclegan.data.plan import PoolQuery


@dataclass(frozen=True)
class Pool:
    """Past translations, float32 [size + 1, C, H, W]; the last slot takes what is not to be kept and is never read."""

    slots: Tensor

    @staticmethod
    def empty(size: int, channels: int, height: int, width: int, device: torch.device) -> "Pool":
        """A pool of `size` pictures of `channels` x `height` x `width`."""
        return Pool(torch.zeros(size + 1, channels, height, width, device=device))

    def query(self, fresh: Tensor, decisions: PoolQuery) -> Tensor:
        """What the discriminator is shown for the batch `fresh` [N, C, H, W]; stores in place what the plan decided.

        The decisions lie on the device of `fresh`.
        """
        from_pool = decisions.from_pool[:, None, None, None]
        shown = torch.where(from_pool, self.slots[decisions.read_slot], fresh[decisions.read_fresh])
        self.slots.index_copy_(0, decisions.write_slot, fresh)
        return shown

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps, to be written to in place."""
        return {"slots": self.slots[:-1]}


@dataclass(frozen=True)
class VariedPool(Pool):
    """A pool of pictures of many sizes, asked for one at a time: each lies in the upper left corner of its slot.

    Attributes:
        sizes: height and width of the picture in each slot, int64 [size + 1, 2], on the host.
    """

    sizes: Tensor

    @staticmethod
    def empty(size: int, channels: int, height: int, width: int, device: torch.device) -> "VariedPool":
        """A pool of `size` pictures of at most `channels` x `height` x `width`."""
        plain = Pool.empty(size, channels, height, width, device)
        return VariedPool(plain.slots, torch.zeros(size + 1, 2, dtype=torch.int64))

    def query(self, fresh: Tensor, decisions: PoolQuery) -> Tensor:
        """As `Pool.query`, for a batch of one; the decisions lie on the host, where sizes are decided."""
        assert len(fresh) == 1
        shown = fresh
        if decisions.from_pool[0]:
            slot = int(decisions.read_slot[0])
            height, width = self.sizes[slot].tolist()
            shown = self.slots[slot : slot + 1, :, :height, :width].clone()
        slot = int(decisions.write_slot[0])
        height, width = fresh.shape[2:]
        self.slots[slot, :, :height, :width] = fresh[0]
        self.sizes[slot] = torch.tensor([height, width])
        return shown

    def tensors(self) -> dict[str, Tensor]:
        return super().tensors() | {"sizes": self.sizes[:-1]}
