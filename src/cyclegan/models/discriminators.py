"""Discriminators: picture in, a map of scores out, one score a patch."""

from torch import Tensor, nn

from cyclegan.models.layers import has_bias, norm_layer


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al. 2017): with three layers each score sees a patch of 70 x 70 px.

    Args:
        channels_in: channels of the domain it judges.
        ndf: channels of the first convolution, doubled a layer up to 8 x ndf.
        n_layers: convolutions of stride 2.
        norm: as `layers.norm_layer`.
        same_size: pad the last two convolutions by (1, 2) and (2, 1) px, vertically and horizontally, instead of by (1, 1):
            one makes the map a row lower and a column wider, the other undoes it.
    """

    def __init__(
        self, channels_in: int, ndf: int, n_layers: int, norm: str = "instance", *, same_size: bool = False
    ) -> None:
        super().__init__()
        bias = has_bias(norm)
        layers: list[nn.Module] = [nn.Conv2d(channels_in, ndf, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        channels = ndf
        for layer in range(1, n_layers + 1):
            wider = min(2**layer, 8) * ndf
            last = layer == n_layers
            padding = (1, 2) if last and same_size else 1
            conv = nn.Conv2d(channels, wider, 4, stride=1 if last else 2, padding=padding, bias=bias)
            layers += [conv, norm_layer(norm, wider), nn.LeakyReLU(0.2)]
            channels = wider
        layers.append(nn.Conv2d(channels, 1, 4, padding=(2, 1) if same_size else 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """X [N, channels_in, H, W] in [-1, 1] -> [N, 1, h, w] of unbounded scores.

        256 x 256 px give 30 x 30 scores with three layers, 32 x 32 with same_size.
        """
        result: Tensor = self.layers(x)
        return result


class PixelDiscriminator(nn.Module):
    """The 1 x 1 PixelGAN (Isola et al. 2017): each score sees one pixel. Arguments as `PatchDiscriminator`."""

    def __init__(self, channels_in: int, ndf: int, norm: str = "instance") -> None:
        super().__init__()
        bias = has_bias(norm)
        self.layers = nn.Sequential(
            nn.Conv2d(channels_in, ndf, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
            norm_layer(norm, 2 * ndf),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * ndf, 1, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        """X [N, channels_in, H, W] in [-1, 1] -> [N, 1, H, W] of unbounded scores."""
        result: Tensor = self.layers(x)
        return result
