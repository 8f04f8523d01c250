"""What generator.json or discriminator.json says of a network: all that is needed to build it again."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

from torch import nn

from cyclegan.config import STRIDES, ModelConfig, smallest_translated
from cyclegan.config.values import WIDEST
from cyclegan.errors import UserError
from cyclegan.models import networks as models
from cyclegan.models.networks import Domain

FORMAT = 2
CARD_BYTES = 1 << 16  # a description is no longer

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
