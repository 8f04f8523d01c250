"""Generators: picture in, picture of the other domain out."""

from torch import Tensor, nn

from cyclegan.models.layers import ReflectConv, instance_norm

STRIDE = 4  # height and width of the input must be multiples of this


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))): no activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ReflectConv(channels, channels, 3),
            instance_norm(channels),
            nn.ReLU(),
            ReflectConv(channels, channels, 3),
            instance_norm(channels),
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
    """

    def __init__(self, channels_in: int, channels_out: int, ngf: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(ReflectConv(channels_in, ngf, 7), instance_norm(ngf), nn.ReLU())
        self.down = nn.Sequential(*_down(ngf), *_down(2 * ngf))
        self.blocks = nn.Sequential(*(ResidualBlock(4 * ngf) for _ in range(blocks)))
        self.up = nn.Sequential(*_up(4 * ngf), *_up(2 * ngf))
        self.head = nn.Sequential(ReflectConv(ngf, channels_out, 7), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """X [N, channels_in, H, W] in [-1, 1], H and W multiples of 4 -> [N, channels_out, H, W] in [-1, 1]."""
        result: Tensor = self.head(self.up(self.blocks(self.down(self.stem(x)))))
        return result


def _down(channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), instance_norm(2 * channels), nn.ReLU()]


def _up(channels: int) -> list[nn.Module]:
    conv = nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1)
    return [conv, instance_norm(channels // 2), nn.ReLU()]
