"""Levels 0..255 of files <-> values in [-1, 1] of networks.

Apart from `images`, so that stages without networks need not import PyTorch, which takes seconds.
"""

import torch
from torch import Tensor

from cyclegan.images import Pixels


def to_tensor(pixels: Tensor) -> Tensor:
    """uint8 [N, H, W, C] in 0..255, on any device -> float32 [N, C, H, W] in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0


def from_pixels(pixels: Pixels) -> Tensor:
    """The same of an array."""
    return to_tensor(torch.from_numpy(pixels))


def to_uint8(pictures: Tensor) -> Tensor:
    """Float [N, C, H, W] in [-1, 1] -> uint8 [N, H, W, C], rounded to the nearest level and clipped."""
    levels = ((pictures.float() + 1.0) * 127.5).round().clamp(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1)


def to_pixels(pictures: Tensor) -> Pixels:
    """The same as an array, from whatever device, and without gradients."""
    pixels: Pixels = to_uint8(pictures.detach()).cpu().numpy()
    return pixels
