"""Network folders: the weights as safetensors, beside a JSON file with all that is needed to build the network again.

A generator's folder holds `generator.safetensors` and `generator.json`, a discriminator's `discriminator.*`. A model
folder holds such folders by the networks' names: G_AB and G_BA, and D_A and D_B where they are kept.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cyclegan.config import STRIDES, ModelConfig, smallest_translated
from cyclegan.config.values import WIDEST
from cyclegan.errors import UserError
from cyclegan.models import networks as models
from cyclegan.models.networks import Domain, Networks

RANDOM = Path("weights/random")  # train.init_from that stands for random first weights
FORMAT = 2
CARD_BYTES = 1 << 16  # a description is no longer
SHOWN = 5  # faults that an error lists

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
CHOICES: dict[str, tuple[object, ...]] = {  # what a description may say ...
    "direction": ("G_AB", "G_BA"),
    "domain": get_args(Domain),
    "netG": get_args(ModelConfig.model_fields["netG"].annotation),
    "netD": get_args(ModelConfig.model_fields["netD"].annotation),
    "norm": get_args(ModelConfig.model_fields["norm"].annotation),
    "dropout": (False, True),
    "channels_in": (1, 3),
    "channels_out": (1, 3),
    "weights": get_args(Weights),
}
RANGES = {"ngf": (1, WIDEST), "ndf": (1, WIDEST), "n_layers": (1, 6), "size": (1, 16384)}  # ... and between which numbers
TRAIN_KEY = re.compile(r"[A-Za-z0-9_-]{0,128}")  # it names folders
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
        if not path.is_file():
            raise UserError(
                f"{folder} is no {KINDS[kind]}'s folder: it has no {path.name}; give one such as models/exported/G_AB"
            )
        if path.stat().st_size > CARD_BYTES:
            raise ValueError(f"it is longer than {CARD_BYTES:,} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
        if type(values["format"]) is not int or values["format"] != FORMAT:
            raise UserError(
                f"{path} has format {values['format']!r:.20}, and this version reads {FORMAT}; train or import it again"
            )
        _check(values)
        return kind(**values)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; mend that, or give another folder") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}; restore it with `dvc checkout`, or make it again") from None


def _check(values: Mapping[str, object]) -> None:
    """ValueError for a value that no network of this project has: such a network could be built of any size."""
    for key, value in values.items():
        if key in CHOICES and not any(type(value) is type(known) and value == known for known in CHOICES[key]):
            raise ValueError(f"{key} is {value!r:.40}, not one of {', '.join(map(str, CHOICES[key]))}")
        if key in RANGES:
            least, most = RANGES[key]
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{key} is {value!r:.40}, not a whole number from {least} to {most}")
        if key == "train_key" and not (isinstance(value, str) and TRAIN_KEY.fullmatch(value)):
            raise ValueError(f"train_key is {value!r:.40}, not letters and digits")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name.

    Raises:
        SafetensorError: damaged, or a name stands twice in it, so that another program may read another tensor.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(2, "No such file", str(path))
    tensors: dict[str, Tensor] = load_file(path)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        json.loads(file.read(length), object_pairs_hook=_unique)
    return tensors


def _unique(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SafetensorError(f"{twice!r:.80} stands twice in its header")


def load(folder: Path, kind: type[Spec], device: torch.device) -> tuple[nn.Module, Spec]:
    """Build the network of a folder, in evaluation mode.

    Elsewhere than on CUDA it lies in plain memory, so that imported weights give what they give at home to the last bit.

    Raises:
        UserError: as `load_spec`, or weights that are missing, damaged, of other shapes or types, or not finite.
    """
    spec = load_spec(folder, kind)
    path = folder / f"{KINDS[kind]}.safetensors"
    try:
        tensors = read_safetensors(path)
    except FileNotFoundError:
        raise UserError(f"{folder} has no {path.name}; restore it with `dvc checkout`, or make it again") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} does not hold this {KINDS[kind]}: {error}; restore it with `dvc checkout`") from None
    with torch.device("meta"):  # takes no memory, before the file has shown that it holds a network of this size
        faults = _misfits(spec.build().state_dict(), tensors)
    if faults:
        rest = f", and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise UserError(
            f"{path} does not hold this {KINDS[kind]}: {', '.join(faults[:SHOWN])}{rest}; restore it with `dvc checkout`"
        )
    network = spec.build()
    network.load_state_dict(tensors)
    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)
    return network.to(device).eval(), spec


def _misfits(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> list[str]:
    """What keeps the tensors of a file from being these, or from being of use."""
    found = [f"{key:.80} is not part of it" for key in tensors if key not in expected]
    for key, wanted in expected.items():
        if key not in tensors:
            found.append(f"{key} is missing")
            continue
        have = tensors[key]
        if (have.shape, have.dtype) != (wanted.shape, wanted.dtype):
            shapes = f"{list(have.shape)!s:.40} of {have.dtype}, not {list(wanted.shape)} of {wanted.dtype}"
            found.append(f"{key} is {shapes}".replace("torch.", ""))
        elif not bool(torch.isfinite(have).all()):
            found.append(f"{key} has values that are not finite")
    return found


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
