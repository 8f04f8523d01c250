"""Network folders: the weights as safetensors, beside a JSON file with all that is needed to build the network again.

A generator's folder holds `generator.safetensors` and `generator.json`, a discriminator's `discriminator.*`. A model
folder holds such folders by the networks' names: G_AB and G_BA, and D_A and D_B where they are kept.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cyclegan.config import STRIDES, ModelConfig, smallest_translated
from cyclegan.errors import UserError
from cyclegan.models import networks as models
from cyclegan.models.networks import Domain, Networks

RANDOM = Path("weights/random")  # train.init_from that stands for random first weights
FORMAT = 2

Weights = Literal["raw", "ema"]  # as last trained, or the moving average


@dataclass(frozen=True)
class GeneratorSpec:
    """What generator.json says.

    Attributes:
        direction: "G_AB" or "G_BA".
        netG, ngf, norm, dropout, channels_in, channels_out: the architecture, as `networks.make_generator` takes it.
        size: side of the squares it was trained on, in px.
        train_key: identity of the training that made it (params, data and code), or where it was imported from.
        weights: "raw" as last trained, "ema" for the moving average.
    """

    direction: str
    netG: str  # noqa: N815 - the name users of the reference code know
    ngf: int
    norm: str
    dropout: bool
    channels_in: int
    channels_out: int
    size: int
    train_key: str
    weights: Weights
    format: int = FORMAT

    def build(self) -> nn.Module:
        """The network, with PyTorch's own first weights."""
        return models.make_generator(
            self.netG, self.channels_in, self.channels_out, self.ngf, self.norm, dropout=self.dropout
        )

    @property
    def stride(self) -> int:
        """Height and width of its input must be multiples of this, in px."""
        return STRIDES[self.netG]

    @property
    def smallest(self) -> int:
        """Height and width of its input must be at least this, in px."""
        return smallest_translated(self.netG)


@dataclass(frozen=True)
class DiscriminatorSpec:
    """What discriminator.json says.

    Attributes:
        domain: "A" or "B", the domain it judges.
        netD, ndf, n_layers, norm, channels_in: the architecture, as `networks.make_discriminator` takes it.
        train_key: as of a generator.
    """

    domain: Domain
    netD: str  # noqa: N815 - as above
    ndf: int
    n_layers: int
    norm: str
    channels_in: int
    train_key: str
    format: int = FORMAT

    def build(self) -> nn.Module:
        """The network, with PyTorch's own first weights."""
        return models.make_discriminator(self.netD, self.channels_in, self.ndf, self.n_layers, self.norm)


Spec = TypeVar("Spec", GeneratorSpec, DiscriminatorSpec)
KINDS = {GeneratorSpec: "generator", DiscriminatorSpec: "discriminator"}
ORIGIN = {"direction", "domain", "size", "train_key", "weights", "format"}  # what does not shape the network


def generator_spec(model: ModelConfig, direction: str, size: int, train_key: str, weights: Weights) -> GeneratorSpec:
    """Describe a generator built by `networks.build_generator(model, direction)`."""
    channels_in, channels_out = models.channels(model, direction)
    return GeneratorSpec(
        direction=direction,
        netG=model.netG,
        ngf=model.ngf,
        norm=model.norm,
        dropout=model.dropout,
        channels_in=channels_in,
        channels_out=channels_out,
        size=size,
        train_key=train_key,
        weights=weights,
    )


def discriminator_spec(model: ModelConfig, domain: Domain, train_key: str) -> DiscriminatorSpec:
    """Describe a discriminator built by `networks.build_discriminator(model, domain)`; n_layers of three are basic."""
    n_layers = model.n_layers_D if model.netD == "n_layers" else models.BASIC_LAYERS
    return DiscriminatorSpec(
        domain=domain,
        netD="basic" if model.netD == "n_layers" and n_layers == models.BASIC_LAYERS else model.netD,
        ndf=model.ndf,
        n_layers=n_layers,
        norm=model.norm,
        channels_in={"A": model.input_nc, "B": model.output_nc}[domain],
        train_key=train_key,
    )


def save(folder: Path, tensors: dict[str, Tensor], spec: GeneratorSpec | DiscriminatorSpec) -> None:
    """Write a network's folder; the bytes depend on the weights and the spec alone."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, folder / f"{KINDS[type(spec)]}.safetensors")
    text = json.dumps(asdict(spec), indent=2) + "\n"
    (folder / f"{KINDS[type(spec)]}.json").write_text(text, encoding="utf-8")


def load_spec(folder: Path, kind: type[Spec]) -> Spec:
    """Read generator.json or discriminator.json.

    Raises:
        UserError: missing, damaged or of another format.
    """
    path = folder / f"{KINDS[kind]}.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise UserError(
                f"{path} has format {values['format']}, and this version reads {FORMAT}; train or import it again"
            )
        return kind(**values)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{folder} is no {KINDS[kind]}'s folder: it has no {path.name}; give one such as models/exported/G_AB"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged: {error}; restore it with `dvc checkout`, or make it again") from None


def load(folder: Path, kind: type[Spec], device: torch.device) -> tuple[nn.Module, Spec]:
    """Build the network of a folder, in evaluation mode.

    Elsewhere than on CUDA it lies in plain memory, so that imported weights give what they give at home to the last bit.

    Raises:
        UserError: as `load_spec`, or weights that are missing, damaged or of other shapes.
    """
    spec = load_spec(folder, kind)
    path = folder / f"{KINDS[kind]}.safetensors"
    try:
        network = spec.build()
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"{folder} has no {path.name}; restore it with `dvc checkout`, or make it again") from None
    except (SafetensorError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} does not hold this {KINDS[kind]}: {error}; restore it with `dvc checkout`") from None
    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)
    return network.to(device).eval(), spec


def load_generator(folder: Path, device: torch.device) -> tuple[nn.Module, GeneratorSpec]:
    """Build the generator of a folder, in evaluation mode; errors as `load`."""
    return load(folder, GeneratorSpec, device)


def load_first_weights(networks: Networks, model: ModelConfig, folder: Path) -> list[str]:
    """Replace random first weights by those of a model folder, in place; returns the names of the networks it holds.

    Networks that the folder lacks keep their random weights. `weights/random` holds none.

    Raises:
        UserError: the folder holds no network, or one that is not what `model` describes.
    """
    if folder == RANDOM:
        return []
    expected: dict[str, GeneratorSpec | DiscriminatorSpec] = {
        **{name: generator_spec(model, name, 0, "", "raw") for name in ("G_AB", "G_BA")},
        "D_A": discriminator_spec(model, "A", ""),
        "D_B": discriminator_spec(model, "B", ""),
    }
    found = [name for name in expected if (folder / name).is_dir()]
    if not found:
        raise UserError(
            f"train.init_from is {folder} in params.yaml, but it holds none of {', '.join(expected)}; give a folder that "
            f"`cyclegan import-weights` or a training wrote, or {RANDOM} to start from random weights"
        )
    for name in found:
        there, loaded = _load_any(folder / name)
        here = asdict(expected[name])
        differences = [
            f"{key} is {there[key]} there and {here.get(key)} here"
            for key in there
            if key not in ORIGIN and there[key] != here.get(key)
        ]
        if differences:
            raise UserError(
                f"train.init_from: {folder / name} is another network than the section model of params.yaml asks for: "
                f"{'; '.join(differences)}; change the one or the other"
            )
        getattr(networks, name).load_state_dict(loaded.state_dict())
    return found


def _load_any(folder: Path) -> tuple[dict[str, object], nn.Module]:
    kind = next((kind for kind, name in KINDS.items() if (folder / f"{name}.json").exists()), GeneratorSpec)
    network, spec = load(folder, kind, torch.device("cpu"))
    return asdict(spec), network
