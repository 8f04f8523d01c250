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
    def empty(size: int, channels: int, side: int, device: torch.device) -> "Pool":
        """A pool of `size` pictures of `channels` x `side` x `side`."""
        return Pool(torch.zeros(size + 1, channels, side, side, device=device))

    def query(self, fresh: Tensor, decisions: PoolQuery) -> Tensor:
        """What the discriminator is shown for the batch `fresh` [N, C, H, W]; stores in place what the plan decided."""
        from_pool, read_slot, read_fresh, write_slot = (
            torch.from_numpy(array).to(fresh.device, non_blocking=True)
            for array in (decisions.from_pool, decisions.read_slot, decisions.read_fresh, decisions.write_slot)
        )
        shown = torch.where(from_pool[:, None, None, None], self.slots[read_slot], fresh[read_fresh])
        self.slots.index_copy_(0, write_slot, fresh)
        return shown
