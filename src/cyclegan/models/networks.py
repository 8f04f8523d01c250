"""The four networks of a CycleGAN together."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from cyclegan import randomness
from cyclegan.config import ModelConfig
from cyclegan.models.discriminators import PatchDiscriminator
from cyclegan.models.generators import ResnetGenerator
from cyclegan.models.layers import init_normal

BLOCKS = {"resnet_6blocks": 6, "resnet_9blocks": 9}


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


def build_generator(model: ModelConfig, direction: str) -> ResnetGenerator:
    """The generator "G_AB" or "G_BA", with PyTorch's own first weights."""
    return ResnetGenerator(*channels(model, direction), model.ngf, BLOCKS[model.netG])


def build(model: ModelConfig, seed: int, device: torch.device) -> Networks:
    """The four networks with first weights from N(0, init_gain^2), the same on every device."""
    networks = Networks(
        G_AB=build_generator(model, "G_AB"),
        G_BA=build_generator(model, "G_BA"),
        D_A=PatchDiscriminator(model.input_nc, model.ndf, model.n_layers_D),
        D_B=PatchDiscriminator(model.output_nc, model.ndf, model.n_layers_D),
    )
    for name, network in networks.items():
        init_normal(network, model.init_gain, torch.Generator().manual_seed(randomness.torch_seed(seed, f"init/{name}")))
        network.to(device).to(memory_format=torch.channels_last)
    return networks
