"""Exponential moving average of the generators' weights."""

import torch
from torch import nn


def decay_at(step: int, decay: float) -> float:
    """The decay after `step` updates (from 0); it starts as (1 + step) / (10 + step), to forget the first weights."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Average <- decay x average + (1 - decay) x network, for every parameter and in place.

    Running statistics of a BatchNorm are averages already: they are taken over as they are.
    """
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    for own, current in zip(average.buffers(), network.buffers(), strict=True):
        own.copy_(current)
