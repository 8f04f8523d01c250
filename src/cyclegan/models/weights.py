"""Generator folders: `generator.safetensors`, and `generator.json` with all that is needed to build the network again."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from cyclegan.config import ModelConfig
from cyclegan.errors import UserError
from cyclegan.models.generators import STRIDE, ResnetGenerator
from cyclegan.models.networks import BLOCKS, channels

WEIGHTS = "generator.safetensors"
CARD = "generator.json"
FORMAT = 1

Weights = Literal["raw", "ema"]  # as last trained, or the moving average


@dataclass(frozen=True)
class GeneratorSpec:
    """What generator.json says.

    Attributes:
        direction: "G_AB" or "G_BA".
        netG, ngf, channels_in, channels_out: the architecture.
        stride: height and width of its input must be multiples of this, in px.
        size: side of the squares it was trained on, in px.
        train_key: identity of the training that made it (params, data and code).
        weights: "raw" as last trained, "ema" for the moving average.
    """

    direction: str
    netG: str  # noqa: N815 - the name users of the reference code know
    ngf: int
    channels_in: int
    channels_out: int
    stride: int
    size: int
    train_key: str
    weights: Weights
    format: int = FORMAT


def spec_of(model: ModelConfig, direction: str, size: int, train_key: str, weights: Weights) -> GeneratorSpec:
    """Describe a generator built by `networks.build_generator(model, direction)`."""
    channels_in, channels_out = channels(model, direction)
    return GeneratorSpec(direction, model.netG, model.ngf, channels_in, channels_out, STRIDE, size, train_key, weights)


def save_generator(folder: Path, network: nn.Module, spec: GeneratorSpec) -> None:
    """Write a generator folder; the bytes depend on the weights and the spec alone."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    (folder / CARD).write_text(json.dumps(asdict(spec), indent=2) + "\n", encoding="utf-8")


def load_spec(folder: Path) -> GeneratorSpec:
    """Read generator.json.

    Raises:
        UserError: missing, damaged or of another format.
    """
    path = folder / CARD
    try:
        spec = GeneratorSpec(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{folder} is no generator folder: it has no {CARD}; give one such as models/exported/G_AB"
        ) from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}; restore it with `dvc checkout`, or export it again") from None
    if spec.format != FORMAT or spec.netG not in BLOCKS:
        raise UserError(
            f"{path} has format {spec.format} and netG {spec.netG}, which this version cannot build; update cyclegan"
        )
    return spec


def load_generator(folder: Path, device: torch.device) -> tuple[ResnetGenerator, GeneratorSpec]:
    """Build the generator of a folder, in evaluation mode.

    Raises:
        UserError: as `load_spec`, or weights that are missing, damaged or of other shapes.
    """
    spec = load_spec(folder)
    network = ResnetGenerator(spec.channels_in, spec.channels_out, spec.ngf, BLOCKS[spec.netG])
    path = folder / WEIGHTS
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"{folder} has no {WEIGHTS}; restore it with `dvc checkout`, or export it again") from None
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{path} does not hold this generator: {error}; restore it with `dvc checkout`") from None
    return network.to(device).to(memory_format=torch.channels_last).eval(), spec
