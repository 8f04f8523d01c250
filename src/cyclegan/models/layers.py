"""Layers that the generators and discriminators share."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def reflect_pad(x: Tensor, width: int) -> Tensor:
    """Pad the last two axes of x [N, C, H, W] by `width` on every side, mirroring without repeating the edge.

    PyTorch's own reflection padding has no deterministic backward pass on CUDA; there the same padding is
    built from flipped slices, whose backward is.
    """
    if x.is_cuda:
        return _reflect_by_slices(_reflect_by_slices(x, width, 2), width, 3)
    return functional.pad(x, (width, width, width, width), mode="reflect")


def _reflect_by_slices(x: Tensor, width: int, axis: int) -> Tensor:
    size = x.shape[axis]
    before = x.narrow(axis, 1, width).flip(axis)
    after = x.narrow(axis, size - 1 - width, width).flip(axis)
    return torch.cat([before, x, after], axis)


class ReflectConv(nn.Module):
    """A stride-1 convolution of odd kernel size that keeps height and width, padding by reflection."""

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel_size)
        self.width = kernel_size // 2

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(reflect_pad(x, self.width))
        return result


def instance_norm(channels: int) -> nn.Module:
    """Per picture and channel, without scale, shift or running statistics (Ulyanov et al. 2016)."""
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)


def init_normal(network: nn.Module, gain: float, generator: torch.Generator) -> None:
    """Draw every convolution's weight from N(0, gain^2) and set its bias to 0 (Zhu et al. 2017, appendix 7.1)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, gain, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
