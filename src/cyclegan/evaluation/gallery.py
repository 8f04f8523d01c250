"""A gallery of a direction: input, output, truth where there is one, reconstruction."""

import torch
from torch import Tensor

from cyclegan import images
from cyclegan.levels import to_pixels


def places(pictures: int, rows: int) -> list[int]:
    """Which of the test pictures a gallery shows: `rows` of them at most, spread evenly over the set."""
    return torch.linspace(0, pictures - 1, min(rows, pictures)).round().long().tolist()


def gallery(real: Tensor, fake: Tensor, reconstructed: Tensor, truth: Tensor | None, rows: int) -> images.Pixels:
    """A labelled sheet of `rows` test pictures; all [N, C, H, W] in [-1, 1]."""
    chosen = places(len(real), rows)
    columns = {"input": real, "output": fake}
    if truth is not None:
        columns["truth"] = truth
    columns["reconstruction"] = reconstructed
    return images.grid({name: to_pixels(pictures[chosen]) for name, pictures in columns.items()})
