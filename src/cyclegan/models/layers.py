"""Layers that the generators and discriminators share, and their first weights."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from cyclegan.config import ModelConfig


def reflect_pad(x: Tensor, width: int) -> Tensor:
    """Pad the last two axes of x [N, C, H, W] by `width` on every side, mirroring without repeating the edge.

    PyTorch's own reflection padding has no deterministic backward pass on CUDA; where one is asked for, the same padding is
    built from flipped slices, whose backward is. On the CPU autocast would widen x to float32 first, and the convolution
    behind narrow it again: copying needs no precision, so autocast is left for it.
    """
    if x.is_cuda and torch.are_deterministic_algorithms_enabled():
        return _reflect_by_slices(_reflect_by_slices(x, width, 2), width, 3)
    around = (width, width, width, width)
    if x.device.type != "cpu" or torch.compiler.is_compiling() or not torch.is_autocast_enabled("cpu"):
        return functional.pad(x, around, mode="reflect")
    with torch.autocast("cpu", enabled=False):
        return functional.pad(x, around, mode="reflect")


def _reflect_by_slices(x: Tensor, width: int, axis: int) -> Tensor:
    size = x.shape[axis]
    before = x.narrow(axis, 1, width).flip(axis)
    after = x.narrow(axis, size - 1 - width, width).flip(axis)
    return torch.cat([before, x, after], axis)


class ReflectConv(nn.Module):
    """A stride-1 convolution of odd kernel size that keeps height and width, padding by reflection."""

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int, *, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel_size, bias=bias)
        self.width = kernel_size // 2

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(reflect_pad(x, self.width))
        return result


class InstanceNorm(nn.InstanceNorm2d):
    """PyTorch's, but quick in channels_last on the CPU, and with a backward pass that is right for a single picture too.

    PyTorch's own turns channels_last into plain memory and leaves it there, number by number, and keeps the statistics of
    bfloat16 in bfloat16. For a batch of one whose gradient arrives in channels_last, PyTorch 2.15's CPU backward returns
    wrong numbers without a word; a contiguous gradient it handles well.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return super().forward(x)
        if x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
            return _norm_in_channels_last(x, self.weight, self.bias, self.eps)
        result = super().forward(x)
        if result.requires_grad and len(x) == 1:
            result.register_hook(Tensor.contiguous)  # type: ignore[no-untyped-call]
        return result


def _norm_in_channels_last(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """InstanceNorm of x [N, C, H, W] as a BatchNorm over one picture of N x C channels.

    In channels_last the pictures only have to be moved beside the channels, [H, W, N, C], and back: that copies rows of C
    numbers, whereas plain memory would scatter each one. The statistics are float32 at least.
    """
    n, c, height, width = x.shape
    precision = torch.promote_types(x.dtype, torch.float32)
    scale = torch.ones(n * c, dtype=precision) if weight is None else weight.repeat(n)
    shift = torch.zeros(n * c, dtype=precision) if bias is None else bias.repeat(n)
    beside = x.permute(2, 3, 0, 1).reshape(1, height, width, n * c).permute(0, 3, 1, 2)
    normed = functional.batch_norm(beside, None, None, scale, shift, training=True, eps=eps)
    if n == 1 and normed.requires_grad:  # nothing is moved that would bring the gradient into the layout of x
        normed.register_hook(_in_channels_last)  # type: ignore[no-untyped-call]
    return normed.permute(0, 2, 3, 1).view(height, width, n, c).permute(2, 0, 1, 3).contiguous().permute(0, 3, 1, 2)


def _in_channels_last(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)


def norm_layer(norm: str, channels: int) -> nn.Module:
    """The normalisation that `model.norm` names.

    instance: per picture and channel, without scale, shift or running statistics (Ulyanov et al. 2016).
    instance_affine: the same with a learnt scale and shift.
    batch: per channel over the batch, with scale, shift and running statistics (Ioffe and Szegedy 2015).
    none: nothing, in its place.
    """
    match norm:
        case "instance":
            return InstanceNorm(channels)
        case "instance_affine":
            return InstanceNorm(channels, affine=True)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "none":
            return nn.Identity()
        case _:
            raise KeyError(norm)


def has_bias(norm: str) -> bool:
    """Whether a convolution before the norm has a bias: as in the reference implementation, under InstanceNorm only."""
    return norm in ("instance", "instance_affine")


def freeze_cancelled_biases(network: nn.Module) -> None:
    """Keep the biases before an InstanceNorm as they are, in place: it subtracts them again with the mean.

    Their gradients are zero but for rounding, and dear: on the CPU those of transposed convolutions cost as much as the
    rest of their backward pass.
    """
    for sequence in network.modules():
        if isinstance(sequence, nn.Sequential):
            for layer, behind in pairwise(sequence):
                convolution = layer.conv if isinstance(layer, ReflectConv) else layer
                if isinstance(behind, InstanceNorm) and convolution.bias is not None:
                    convolution.bias.requires_grad_(False)


def mixes_batch(model: ModelConfig) -> bool:
    """Whether the pictures of a batch influence one another, so that passes over two batches cannot be made one."""
    return model.norm == "batch"


def init_weights(network: nn.Module, model: ModelConfig, generator: torch.Generator) -> None:
    """Draw the first weights as the reference implementation does (`init_weights`), and the biases.

    Convolutions by `init_type` with `init_gain`: N(0, gain^2) (Zhu et al. 2017, appendix 7.1), Glorot's or He's normal
    (the latter without gain), or orthogonal. A BatchNorm's scale is drawn from N(1, gain^2) and its shift is 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            _init_convolution(module, model, generator)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, model.init_gain, generator=generator)
            nn.init.zeros_(module.bias)


def _init_convolution(module: nn.Conv2d | nn.ConvTranspose2d, model: ModelConfig, generator: torch.Generator) -> None:
    match model.init_type:
        case "normal":
            nn.init.normal_(module.weight, 0.0, model.init_gain, generator=generator)
        case "xavier":
            nn.init.xavier_normal_(module.weight, model.init_gain, generator=generator)
        case "kaiming":
            nn.init.kaiming_normal_(module.weight, generator=generator)
        case "orthogonal":
            nn.init.orthogonal_(module.weight, model.init_gain, generator=generator)
    if module.bias is None:
        return
    if model.init_bias == "zero":
        nn.init.zeros_(module.bias)
    else:
        fan_in = module.weight[0].numel()  # as PyTorch's own first biases count it, for both kinds of convolution
        nn.init.uniform_(module.bias, -(fan_in**-0.5), fan_in**-0.5, generator=generator)
