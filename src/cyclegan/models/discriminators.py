"""Discriminators: picture in, a map of scores out, one score a patch."""

from torch import Tensor, nn

from cyclegan.models.layers import instance_norm


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al. 2017): with three layers each score sees a patch of 70 x 70 px.

    Args:
        channels_in: channels of the domain it judges.
        ndf: channels of the first convolution, doubled a layer up to 8 x ndf.
        n_layers: convolutions of stride 2.
    """

    def __init__(self, channels_in: int, ndf: int, n_layers: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels_in, ndf, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        channels = ndf
        for layer in range(1, n_layers + 1):
            wider = min(2**layer, 8) * ndf
            stride = 2 if layer < n_layers else 1
            layers += [
                nn.Conv2d(channels, wider, 4, stride=stride, padding=1),
                instance_norm(wider),
                nn.LeakyReLU(0.2),
            ]
            channels = wider
        layers.append(nn.Conv2d(channels, 1, 4, stride=1, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """X [N, channels_in, H, W] in [-1, 1] -> [N, 1, h, w] of unbounded scores (30 x 30 for 256 x 256 px)."""
        result: Tensor = self.layers(x)
        return result
