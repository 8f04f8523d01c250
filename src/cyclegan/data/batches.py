"""Pictures of one step, cropped, flipped and normalised, on the device."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cyclegan import images
from cyclegan.data.plan import Decisions, View
from cyclegan.data.store import PixelSet
from cyclegan.levels import to_tensor


@dataclass(frozen=True)
class Batch:
    """One step's pictures, unpaired: float32 [N, C, H, W] in [-1, 1]; C may differ between the domains.

    H and W are the crop's; without crops they are the picture's, and may differ between the domains too.
    """

    real_A: Tensor
    real_B: Tensor

    def split(self, parts: int) -> list["Batch"]:
        """Equal parts of it, in order."""
        return [Batch(*pair) for pair in zip(self.real_A.chunk(parts), self.real_B.chunk(parts), strict=True)]


class Loader(Protocol):
    """Turns a step's decisions into its batch."""

    def fetch(self, decisions: Decisions) -> tuple[Tensor, ...]:
        """What must be brought to the device besides the decisions; they lie on the host."""

    def batch(self, decisions: Decisions, fetched: tuple[Tensor, ...]) -> Batch:
        """The pictures, where decisions and what was fetched lie on the device; without waiting for it."""


@dataclass(frozen=True)
class Streaming:
    """Gathers and crops on the host, where the pixels lie in memory maps: squares of `crop_size` px, or whole pictures.

    Whole pictures, where `crop_size` is None, share a batch if they are of one size.
    """

    train_A: PixelSet
    train_B: PixelSet
    crop_size: int | None

    def fetch(self, decisions: Decisions) -> tuple[Tensor, ...]:
        """The pixels of A and of B, uint8 [N, H, W, C]."""
        return self._gather(self.train_A, decisions.A), self._gather(self.train_B, decisions.B)

    def batch(self, decisions: Decisions, fetched: tuple[Tensor, ...]) -> Batch:
        pixels_A, pixels_B = fetched
        return Batch(_finish(pixels_A, decisions.A.flip), _finish(pixels_B, decisions.B.flip))

    def _gather(self, pictures: PixelSet, view: View) -> Tensor:
        crops = [
            pictures[index] if self.crop_size is None else _crop(pictures[index], self.crop_size, top, left)
            for index, top, left in zip(view.index.tolist(), view.top.tolist(), view.left.tolist(), strict=True)
        ]
        return torch.from_numpy(np.stack(crops))


@dataclass(frozen=True)
class ResidentSet:
    """One set's pixels on a device, and where each picture lies among them.

    Attributes:
        pixels: uint8, picture after picture, each [H, W, C].
        places: int64 [3, n]: offset, height and width of each picture.
    """

    pixels: Tensor
    places: Tensor
    channels: int

    @staticmethod
    def of(pictures: PixelSet, device: torch.device) -> "ResidentSet":
        """A copy of a set on the device."""
        places = torch.tensor([pictures.offsets, pictures.heights, pictures.widths])
        return ResidentSet(torch.from_numpy(np.array(pictures.pixels)).to(device), places.to(device), pictures.channels)

    def crops(self, view: View, size: int) -> Tensor:
        """Squares of `size` px, uint8 [N, size, size, C]; the same as `Streaming` cuts."""
        offset, height, width = self.places[:, view.index]
        top = (view.top * (height - size + 1)).long()
        left = (view.left * (width - size + 1)).long()
        steps = torch.arange(size, device=self.pixels.device)
        rows = (offset + (top * width + left) * self.channels)[:, None] + steps * (width * self.channels)[:, None]
        values = torch.arange(size * self.channels, device=self.pixels.device)  # of a row, pixel after pixel
        return self.pixels[rows[:, :, None] + values].view(-1, size, size, self.channels)


@dataclass(frozen=True)
class Resident:
    """Gathers and crops on the device, which holds all pixels: a step needs nothing of the host but its decisions."""

    train_A: ResidentSet
    train_B: ResidentSet
    crop_size: int

    def fetch(self, decisions: Decisions) -> tuple[Tensor, ...]:  # noqa: ARG002 - as `Loader` has it
        return ()

    def batch(self, decisions: Decisions, fetched: tuple[Tensor, ...]) -> Batch:  # noqa: ARG002 - as above
        return Batch(
            _finish(self.train_A.crops(decisions.A, self.crop_size), decisions.A.flip),
            _finish(self.train_B.crops(decisions.B, self.crop_size), decisions.B.flip),
        )


def load(loader: Loader, decisions: Decisions) -> Batch:
    """A step's batch where nothing has to be brought elsewhere."""
    return loader.batch(decisions, loader.fetch(decisions))


def _finish(pixels: Tensor, flip: Tensor) -> Tensor:
    pictures = to_tensor(pixels)
    return torch.where(flip[:, None, None, None], pictures.flip(3), pictures)


def _crop(pixels: images.Pixels, size: int, top: float, left: float) -> images.Pixels:
    y = int(top * (pixels.shape[0] - size + 1))
    x = int(left * (pixels.shape[1] - size + 1))
    return pixels[y : y + size, x : x + size]
