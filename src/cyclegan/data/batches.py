"""Pictures of one step, cropped, flipped and normalised, on the device."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cyclegan import images
from cyclegan.data.plan import Decisions, View
from cyclegan.data.store import PixelSet


@dataclass(frozen=True)
class Batch:
    """One step's pictures, unpaired: float32 [N, C, H, W] in [-1, 1]; C may differ between the domains.

    H and W are the crop's; without crops they are the picture's, and may differ between the domains too.
    """

    real_A: Tensor
    real_B: Tensor


@dataclass(frozen=True)
class Loader:
    """Turns a step's decisions into its batch: squares of `crop_size` px, or whole pictures where that is None."""

    train_A: PixelSet
    train_B: PixelSet
    crop_size: int | None
    device: torch.device

    def load(self, decisions: Decisions) -> Batch:
        """Gather and crop on the host, where the pixels lie in memory; flip and normalise on the device."""
        return Batch(self._gather(self.train_A, decisions.A), self._gather(self.train_B, decisions.B))

    def _gather(self, pictures: PixelSet, view: View) -> Tensor:
        crops = [
            pictures[index] if self.crop_size is None else _crop(pictures[index], self.crop_size, top, left)
            for index, top, left in zip(view.index.tolist(), view.top.tolist(), view.left.tolist(), strict=True)
        ]
        batch = images.to_tensor(torch.from_numpy(np.stack(crops)).to(self.device, non_blocking=True))
        flip = torch.from_numpy(view.flip).to(self.device, non_blocking=True)
        return torch.where(flip[:, None, None, None], batch.flip(3), batch)


def _crop(pixels: images.Pixels, size: int, top: float, left: float) -> images.Pixels:
    y = int(top * (pixels.shape[0] - size + 1))
    x = int(left * (pixels.shape[1] - size + 1))
    return pixels[y : y + size, x : x + size]
