"""Generators: picture in, picture of the other domain out."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cyclegan.models.layers import ReflectConv, has_bias, norm_layer


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))): no activation after the sum; dropout of 1/2, if any, before the second conv."""

    def __init__(self, channels: int, norm: str, *, dropout: bool) -> None:
        super().__init__()
        bias = has_bias(norm)
        self.body = nn.Sequential(
            ReflectConv(channels, channels, 3, bias=bias),
            norm_layer(norm, channels),
            nn.ReLU(),
            *([nn.Dropout(0.5)] if dropout else []),
            ReflectConv(channels, channels, 3, bias=bias),
            norm_layer(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.body(x)
        return result


class ResnetGenerator(nn.Module):
    """The paper's generator (Zhu et al. 2017, appendix 7.2, after Johnson et al. 2016).

    Args:
        channels_in: channels of the domain it reads.
        channels_out: channels of the domain it writes.
        ngf: channels of the first convolution; the residual blocks work at 4 x ngf.
        blocks: residual blocks, 9 for 256 x 256 pictures and 6 for smaller ones in the paper.
        norm: as `layers.norm_layer`.
        dropout: dropout of 1/2 within the residual blocks.

    Attributes:
        checkpointed: keep for the backward pass only what lies between the parts of the network, and compute the rest
            again (activation checkpointing, Chen et al. 2016).
    """

    def __init__(
        self, channels_in: int, channels_out: int, ngf: int, blocks: int, norm: str = "instance", *, dropout: bool = False
    ) -> None:
        super().__init__()
        stem = ReflectConv(channels_in, ngf, 7, bias=has_bias(norm))
        self.stem = nn.Sequential(stem, norm_layer(norm, ngf), nn.ReLU())
        self.down = nn.Sequential(*_down(ngf, norm), *_down(2 * ngf, norm))
        self.blocks = nn.Sequential(*(ResidualBlock(4 * ngf, norm, dropout=dropout) for _ in range(blocks)))
        self.up = nn.Sequential(*_up(4 * ngf, norm), *_up(2 * ngf, norm))
        self.head = nn.Sequential(ReflectConv(ngf, channels_out, 7), nn.Tanh())
        self.dropout = dropout
        self.checkpointed = False

    def forward(self, x: Tensor) -> Tensor:
        """X [N, channels_in, H, W] in [-1, 1], H and W multiples of 4 -> [N, channels_out, H, W] in [-1, 1]."""
        for part in (self.stem, self.down, *self.blocks, self.up, self.head):
            if self.checkpointed and torch.is_grad_enabled():
                x = checkpoint(part, x, use_reentrant=False, preserve_rng_state=self.dropout)
            else:
                x = part(x)
        return x


def _down(channels: int, norm: str) -> list[nn.Module]:
    conv = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=has_bias(norm))
    return [conv, norm_layer(norm, 2 * channels), nn.ReLU()]


def _up(channels: int, norm: str) -> list[nn.Module]:
    conv = nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1, bias=has_bias(norm))
    return [conv, norm_layer(norm, channels // 2), nn.ReLU()]


class UnetGenerator(nn.Module):
    """The U-Net of Isola et al. 2017 (appendix 6.1), as the reference implementation builds it.

    Level by level it halves the picture down to one px and doubles it again, and hands each level's features across.

    Args:
        channels_in, channels_out, ngf, norm: as for `ResnetGenerator`; widths go up to 8 x ngf.
        levels: how often the picture is halved: 7 in unet_128, 8 in unet_256.
        dropout: dropout of 1/2 on the way up, on the levels between the innermost one and the first of width 8 x ngf.
    """

    def __init__(
        self, channels_in: int, channels_out: int, ngf: int, levels: int, norm: str = "instance", *, dropout: bool = False
    ) -> None:
        super().__init__()
        bias, innermost = has_bias(norm), levels - 1
        widths = [ngf * min(2**level, 8) for level in range(levels)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            outer_in, outer_out = (channels_in, channels_out) if level == 0 else (widths[level - 1],) * 2
            down: list[nn.Module] = [nn.Conv2d(outer_in, width, 4, stride=2, padding=1, bias=bias)]
            if level > 0:
                down.insert(0, nn.LeakyReLU(0.2))
            if 0 < level < innermost:
                down.append(norm_layer(norm, width))
            inner = width if level == innermost else 2 * width
            up: list[nn.Module] = [
                nn.ReLU(),
                nn.ConvTranspose2d(inner, outer_out, 4, stride=2, padding=1, bias=bias or level == 0),
                nn.Tanh() if level == 0 else norm_layer(norm, outer_out),
            ]
            if dropout and 3 < level < innermost:
                up.append(nn.Dropout(0.5))
            self.down.append(nn.Sequential(*down))
            self.up.append(nn.Sequential(*up))

    def forward(self, x: Tensor) -> Tensor:
        """X [N, channels_in, H, W] in [-1, 1], H and W multiples of 2^levels -> [N, channels_out, H, W] in [-1, 1]."""
        features = []
        for down in self.down:
            x = down(x)
            features.append(x)
        x = self.up[-1](features.pop())
        for up in reversed(self.up[:-1]):
            x = up(torch.cat([features.pop(), x], 1))
        return x
