"""The four networks of a CycleGAN together."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.fx.experimental._config
from torch import nn

from cyclegan import randomness
from cyclegan.config import ModelConfig
from cyclegan.models.discriminators import PatchDiscriminator, PixelDiscriminator
from cyclegan.models.generators import ResnetGenerator, UnetGenerator
from cyclegan.models.layers import init_weights

RESNET_BLOCKS = {"resnet_6blocks": 6, "resnet_9blocks": 9}
UNET_LEVELS = {"unet_128": 7, "unet_256": 8}
BASIC_LAYERS = 3  # of the 70 x 70 PatchGAN

Domain = Literal["A", "B"]


@dataclass(frozen=True)
class Networks:
    """Generators are named by their direction, discriminators by the domain they judge."""

    G_AB: nn.Module
    G_BA: nn.Module
    D_A: nn.Module
    D_B: nn.Module

    def items(self) -> Iterator[tuple[str, nn.Module]]:
        """The networks by name, in a fixed order."""
        return iter(vars(self).items())

    def generators(self) -> dict[str, nn.Module]:
        return {"G_AB": self.G_AB, "G_BA": self.G_BA}

    def generator_parameters(self) -> list[nn.Parameter]:
        return [*self.G_AB.parameters(), *self.G_BA.parameters()]

    def discriminator_parameters(self) -> list[nn.Parameter]:
        return [*self.D_A.parameters(), *self.D_B.parameters()]


def channels(model: ModelConfig, direction: str) -> tuple[int, int]:
    """Channels in and out of the generator `direction` ("G_AB" or "G_BA")."""
    pair = (model.input_nc, model.output_nc)
    return pair if direction == "G_AB" else pair[::-1]


def make_generator(
    architecture: str, channels_in: int, channels_out: int, ngf: int, norm: str, *, dropout: bool
) -> nn.Module:
    """A generator by its `netG`, with PyTorch's own first weights."""
    if architecture in UNET_LEVELS:
        return UnetGenerator(channels_in, channels_out, ngf, UNET_LEVELS[architecture], norm, dropout=dropout)
    return ResnetGenerator(channels_in, channels_out, ngf, RESNET_BLOCKS[architecture], norm, dropout=dropout)


def make_discriminator(architecture: str, channels_in: int, ndf: int, n_layers: int, norm: str) -> nn.Module:
    """A discriminator by its `netD`, with PyTorch's own first weights; `n_layers` counts for n_layers only."""
    match architecture:
        case "pixel":
            return PixelDiscriminator(channels_in, ndf, norm)
        case "n_layers":
            return PatchDiscriminator(channels_in, ndf, n_layers, norm)
        case "basic" | "same_size":
            return PatchDiscriminator(channels_in, ndf, BASIC_LAYERS, norm, same_size=architecture == "same_size")
        case _:
            raise KeyError(architecture)


def build_generator(model: ModelConfig, direction: str) -> nn.Module:
    """The generator "G_AB" or "G_BA", with PyTorch's own first weights."""
    return make_generator(model.netG, *channels(model, direction), model.ngf, model.norm, dropout=model.dropout)


def build_discriminator(model: ModelConfig, domain: Domain) -> nn.Module:
    """The discriminator of a domain, with PyTorch's own first weights."""
    channels_in = {"A": model.input_nc, "B": model.output_nc}[domain]
    return make_discriminator(model.netD, channels_in, model.ndf, model.n_layers_D, model.norm)


def build(model: ModelConfig, seed: int, device: torch.device) -> Networks:
    """The four networks with first weights as `model` asks, the same on every device."""
    networks = Networks(
        G_AB=build_generator(model, "G_AB"),
        G_BA=build_generator(model, "G_BA"),
        D_A=build_discriminator(model, "A"),
        D_B=build_discriminator(model, "B"),
    )
    for name, network in networks.items():
        init_weights(network, model, torch.Generator().manual_seed(randomness.torch_seed(seed, f"init/{name}")))
        network.to(device)
    return networks


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Within, the networks normalise by their running statistics and drop nothing out; no gradients are kept."""
    before = [network.training for network in networks]
    try:
        with torch.no_grad():
            for network in networks:
                network.eval()
            yield
    finally:
        for network, training in zip(networks, before, strict=True):
            network.train(training)


def any_size() -> AbstractContextManager[None]:
    """Within, torch.export makes no case of a size of 1, as the innermost features of a U-Net may have it."""
    patched: AbstractContextManager[None] = torch.fx.experimental._config.patch(  # type: ignore[attr-defined]  # noqa: SLF001
        backed_size_oblivious=True
    )
    return patched
