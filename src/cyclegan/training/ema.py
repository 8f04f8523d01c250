"""Exponential moving average of the generators' weights."""

import torch
from torch import Tensor, nn


def decay_at(step: int, decay: float) -> float:
    """The decay after `step` updates (from 0); it starts as (1 + step) / (10 + step), to forget the first weights."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, decay: float | Tensor) -> None:
    """Average <- decay x average + (1 - decay) x network, for every parameter and in place.

    Running statistics of a BatchNorm are averages already: they are taken over as they are. A captured step, whose decay
    changes from replay to replay, gives it as a scalar tensor.
    """
    old: list[Tensor] = list(average.parameters())
    new: list[Tensor] = list(network.parameters())
    if isinstance(decay, Tensor):
        difference = torch._foreach_sub(new, old)  # noqa: SLF001 - as documented, but for its name
        torch._foreach_mul_(difference, 1 - decay)
        torch._foreach_add_(old, difference)
    else:
        torch._foreach_lerp_(old, new, 1 - decay)
    for own, current in zip(average.buffers(), network.buffers(), strict=True):
        own.copy_(current)
