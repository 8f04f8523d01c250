"""A gallery of a direction: input, output, truth where there is one, reconstruction."""

import torch
from torch import Tensor

from cyclegan import images


def gallery(real: Tensor, fake: Tensor, reconstructed: Tensor, truth: Tensor | None, rows: int) -> images.Pixels:
    """A labelled sheet of `rows` test pictures spread evenly over the test set; all [N, C, H, W] in [-1, 1]."""
    chosen = torch.linspace(0, len(real) - 1, min(rows, len(real))).round().long()
    columns = {"input": real, "output": fake}
    if truth is not None:
        columns["truth"] = truth
    columns["reconstruction"] = reconstructed
    return images.grid({name: pictures[chosen] for name, pictures in columns.items()})
