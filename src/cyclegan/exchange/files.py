"""Weights files of other projects <-> this project's network folders and model folders."""

import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.exchange import layouts
from cyclegan.exchange.layouts import AnySpec
from cyclegan.exchange.tensors import PICKLES, SUFFIXES, read_tensors
from cyclegan.models.networks import UNET_LEVELS, Domain
from cyclegan.models.specs import KINDS, RANGES, DiscriminatorSpec, GeneratorSpec, load_spec
from cyclegan.models.weights import load, save

# Names of files, by our names of the networks. The reference's D_A judges what its G_A makes, which lies in domain B.
REFERENCE = {"G_AB": "net_G_A", "G_BA": "net_G_B", "D_A": "net_D_B", "D_B": "net_D_A"}
WALKTHROUGH = {"G_AB": "netG_A2B", "G_BA": "netG_B2A", "D_A": "netD_A", "D_B": "netD_B"}
TOLD_BY = {"G_AB": "net_G_A|(net)?G_A2B", "G_BA": "net_G_B|(net)?G_B2A", "D_A": "net_D_B|netD_A", "D_B": "net_D_A|netD_B"}
LATEST = "latest"
TRAINING = "training.json"  # in a model folder: where its weights come from


@dataclass(frozen=True)
class Exchanged:
    """A network that was imported or exported.

    Attributes:
        name: ours: G_AB, G_BA, D_A or D_B.
        source, target: where it was read and written.
        spec: what it is.
        parameters: how many numbers it has learnt.
        layout: whose layout the foreign file is in.
    """

    name: str
    source: Path
    target: Path
    spec: AnySpec
    parameters: int
    layout: str

    def __str__(self) -> str:
        return f"{self.name}: {layouts.describe(self.spec)}, {self.parameters:,} parameters ({self.layout})"


def import_weights(
    source: Path, target: Path, *, name: str | None = None, epoch: str = LATEST, size: int = 256, dropout: bool = False
) -> list[Exchanged]:
    """Write a network folder from one file, or a model folder from a folder of files: whole or not at all.

    Args:
        source: a .pth, .pt or .safetensors file; or a folder as the reference or the walkthrough leaves it.
        target: the folder to write.
        name: which network a single file holds (G_AB, G_BA, D_A or D_B); None where the file's name tells.
        epoch: of the reference's files in a folder: a number, or "latest".
        size: side of the squares that the generators were trained on, in px.
        dropout: whether U-Nets have dropout, which their files do not show.

    Raises:
        UserError: nothing that can be read, nothing that tells which network it is, or the target is taken.
    """
    _check_free(target)
    if _is_dir(source):
        if name:
            raise UserError(f"--as names the network in a single file, but {source} is a folder; leave it out")
        files = _files_in(source, epoch)
    elif source.is_file():
        if epoch != LATEST:
            raise UserError(f"--epoch chooses among the files of a folder, but {source} is a file; leave it out")
        files = {name or _told_by(source): source}
    else:
        raise UserError(f"there is no {source}; give a weights file, or a folder of them")
    digests = {own: _sha256(file) for own, file in files.items()}
    train_key = f"imported-{hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:16]}"
    networks = {own: layouts.read(read_tensors(file), str(file), unet_dropout=dropout) for own, file in files.items()}
    specs = {own: _named(network.spec, own, files[own], size, train_key) for own, network in networks.items()}
    if dropout and not any(isinstance(spec, GeneratorSpec) and spec.netG in UNET_LEVELS for spec in specs.values()):
        raise UserError(f"--dropout is for U-Nets, and {source} holds none; ResNets show their dropout: leave it out")
    done = []
    with _written_whole(target) as partial:
        for own, spec in specs.items():
            module = spec.build()
            module.load_state_dict(networks[own].tensors)
            place = Path(own if source.is_dir() else "")
            save(partial / place, module.state_dict(), spec)
            done.append(Exchanged(own, files[own], target / place, spec, _parameters(module), networks[own].layout))
        if source.is_dir():
            about = json.dumps(_about(train_key, files), indent=2, ensure_ascii=False)
            (partial / TRAINING).write_text(about + "\n", encoding="utf-8")
    return done


def export_weights(source: Path, target: Path, *, weights: str | None = None) -> list[Exchanged]:
    """Write the reference layout: one .pth file from a network folder, or a folder of them from a model folder.

    Args:
        source: a folder with generator.json or discriminator.json, or one that holds such folders by our names.
        target: the file or the folder to write.
        weights: "best", "ema" or "raw", of the generators in a model folder; None takes the first of these that there is.

    Raises:
        UserError: no such networks, one that the reference does not have, or the target is taken.
    """
    _check_free(target)
    if weights not in (None, "best", "ema", "raw"):
        raise UserError(
            f"--weights is {weights}; it must be best (by validation), ema (the moving average) or raw (as last trained)"
        )
    alone = any((source / f"{kind}.json").is_file() for kind in KINDS.values())
    if alone and weights:
        raise UserError(f"--weights chooses within a model folder, but {source} is a single network; leave it out")
    if alone and target.suffix not in PICKLES:
        raise UserError(f"{source} is a single network, which is written as one file; end {target} in .pth")
    done, written = [], {}
    for folder in [source] if alone else _networks_in(source, weights):
        module, spec = _load(folder)
        own = spec.direction if isinstance(spec, GeneratorSpec) else f"D_{spec.domain}"
        path = Path("" if alone else f"{LATEST}_{REFERENCE[own]}.pth")
        written[path] = _pickled(layouts.write(spec, module.state_dict()))
        done.append(Exchanged(own, folder, target / path, spec, _parameters(module), "reference layout"))
    with _written_whole(target) as partial:
        if not alone:
            partial.mkdir()
        for path, data in written.items():
            (partial / path).write_bytes(data)
    return done


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:  # such as a name that is too long
        raise UserError(f"cannot read {path}: {error.strerror or error}; give another place") from None


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}; mend that and try again") from None


def _files_in(folder: Path, epoch: str) -> dict[str, Path]:
    reference = {own: f"{epoch}_{stem}" for own, stem in REFERENCE.items()}
    conventions = [reference, WALKTHROUGH] if epoch == LATEST else [reference]
    for stems in conventions:
        places = [(own, folder / f"{stem}{suffix}") for own, stem in stems.items() for suffix in SUFFIXES]
        files = {own: path for own, path in places if path.is_file()}
        if files:
            return files
    wanted = " and none of ".join(", ".join(f"{stem}.pth" for stem in stems.values()) for stems in conventions)
    present = sorted(path.name for path in folder.iterdir() if path.suffix in SUFFIXES)
    raise UserError(
        f"{folder} holds none of {wanted}; its weights files are: {', '.join(present[:10]) or 'none'}; choose others with "
        f"--epoch, or give one file and say with --as which network it is"
    )


def _told_by(file: Path) -> str:
    for own, names in TOLD_BY.items():
        if re.search(rf"(?<![A-Za-z0-9])({names})(?![A-Za-z0-9])", file.stem):
            return own
    raise UserError(
        f"the name of {file} does not tell which network it holds; add --as G_AB or --as G_BA for a generator of that "
        f"direction, --as D_A or --as D_B for the discriminator that judges that domain"
    )


def _named(spec: AnySpec, own: str, file: Path, size: int, train_key: str) -> AnySpec:
    if own not in REFERENCE:
        raise UserError(f"--as is {own}; it must be one of {', '.join(REFERENCE)}")
    if isinstance(spec, GeneratorSpec) != own.startswith("G_"):
        raise UserError(
            f"{file} should be {own}, but it holds a {KINDS[type(spec)]} ({layouts.describe(spec)}); say with --as which"
        )
    if isinstance(spec, DiscriminatorSpec):
        return replace(spec, domain=cast(Domain, own[-1]), train_key=train_key)
    largest = RANGES["size"][1]
    if size % spec.stride or not spec.smallest <= size <= largest:
        raise UserError(
            f"--size is {size}, but {file} holds a {spec.netG}, which takes sides in multiples of {spec.stride} px from "
            f"{spec.smallest} to {largest} px; give the size that it was trained on"
        )
    return replace(spec, direction=own, size=size, train_key=train_key)


def _about(train_key: str, files: Mapping[str, Path]) -> dict[str, Any]:
    source = {
        "name": "imported weights",
        "domain_A": "domain A",
        "domain_B": "domain B",
        "licence": "not stated",
        "attribution": f"Imported from {', '.join(file.name for file in files.values())}",
        "paired_test": False,
    }
    return {"train_key": train_key, "data": None, "source": source, "params": {}}


def _networks_in(model: Path, weights: str | None) -> list[Path]:
    generators, judges = [], [model / own for own in ("D_A", "D_B")]
    for own in ("G_AB", "G_BA"):
        best = model / f"{own}_best"
        present = (folder for folder in (best, model / f"{own}_ema", model / own) if folder.is_dir())
        kept = {folder: "best" if folder == best else load_spec(folder, GeneratorSpec).weights for folder in present}
        fitting = [folder for folder, kind in kept.items() if weights in (None, kind)]
        if kept and not fitting:
            raise UserError(f"{model} holds no {weights} weights of {own}; leave --weights out to take what there is")
        generators += fitting[:1]
    found = [*generators, *(folder for folder in judges if folder.is_dir())]
    if not found:
        raise UserError(
            f"{model} holds no network; give a folder such as models/exported/G_AB, or one that holds such folders"
        )
    return found


def _load(folder: Path) -> tuple[nn.Module, AnySpec]:
    cpu = torch.device("cpu")
    if (folder / f"{KINDS[DiscriminatorSpec]}.json").is_file():
        return load(folder, DiscriminatorSpec, cpu)
    return load(folder, GeneratorSpec, cpu)


def _pickled(tensors: Mapping[str, Tensor]) -> bytes:
    buffer = io.BytesIO()  # in a file, PyTorch would put the file's name among the bytes
    torch.save({key: tensor.contiguous() for key, tensor in tensors.items()}, buffer)
    return buffer.getvalue()


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _check_free(target: Path) -> None:
    try:
        taken = target.exists() and not (target.is_dir() and not any(target.iterdir()))
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}; give another place") from None
    if taken:
        raise UserError(f"{target} exists already; give another name, or remove it")


@contextmanager
def _written_whole(target: Path) -> Iterator[Path]:
    """A name beside `target` to write a file or a folder at, which becomes `target` if nothing goes wrong."""
    target = target.resolve()
    partial = target.with_name(target.name + ".partial")
    try:
        _remove(partial)
        partial.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if target.is_dir():
            target.rmdir()  # empty
        partial.rename(target)
    except (OSError, SafetensorError) as error:  # the latter where a disk is full
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{target} cannot be written: {reason}; give another place") from None
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
