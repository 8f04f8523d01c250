"""Weights files -> tensors by name. Nothing but tensors is ever unpickled."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from cyclegan.errors import UserError
from cyclegan.models.weights import read_safetensors

PICKLES = (".pth", ".pt")
SUFFIXES = (*PICKLES, ".safetensors")
LONGEST = 80  # letters of a name in an error


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name, without DataParallel's `module.`.

    Raises:
        UserError: damaged, of another kind, needs free unpickling, unfolds to more than the file has, or holds no plain
            tensors or those of several networks.
    """
    if file.suffix not in SUFFIXES:
        raise UserError(f"{file} is none of the files that can be read: {', '.join(SUFFIXES)}")
    try:
        with warnings.catch_warnings(action="ignore"):
            content = read_safetensors(file) if file.suffix == ".safetensors" else _unpickled(file)
    except SafetensorError as error:
        raise UserError(f"{file} is no readable safetensors file: {error}; fetch or save it again") from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}; mend that and try again") from None
    if isinstance(content, Mapping) and not _is_weights(content):  # such as {"epoch": 3, "state_dict": {...}}
        inner = {key: value for key, value in content.items() if _is_weights(value)}
        if len(inner) > 1:
            raise UserError(
                f"{file} holds several networks: {', '.join(map(shown, inner))}; save each in a file of its own"
            )
        content = next(iter(inner.values()), None)
    if not _is_weights(content):
        raise UserError(f"{file} holds no tensors by name; save network.state_dict() with the code that wrote it")
    _refuse_odd_tensors(file, content)
    prefix = "module." if all(key.startswith("module.") for key in content) else ""
    return {key.removeprefix(prefix): tensor for key, tensor in content.items()}


def shown(name: object) -> str:
    """A name from a foreign file as an error may print it."""
    text = name if isinstance(name, str) else f"a key that is no text but {type(name).__name__}"
    return text if text.isprintable() and len(text) <= LONGEST else f"{text[:LONGEST]!r}"


def _refuse_odd_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Weights are dense, real and each their own: a view of one number may pass for a network of any size."""
    for name, tensor in tensors.items():
        plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not plain or tensor.is_complex() or tensor.is_nested:
            raise UserError(
                f"{file} holds {shown(name)} as no plain tensor of real numbers ({tensor.dtype}, {tensor.layout}, "
                f"{tensor.device}); save network.state_dict() of the plain network with the code that wrote it"
            )
    unfolded, size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()), file.stat().st_size
    if unfolded > size:
        raise UserError(
            f"{file} has {size:,} bytes, but its tensors would unfold to {unfolded:,}; that is no honest weights file: do "
            f"not trust it"
        )


def _unpickled(file: Path) -> Any:
    with file.open("rb") as opened:
        start = opened.read(512)
    if start[257:262] == b"ustar":
        raise UserError(
            f"{file} is a tar file, as PyTorch wrote long ago, and to load it could run any code that somebody put there, "
            f"so it is refused; if you trust it, load it with the code that wrote it and save network.state_dict() again"
        )
    if _is_packed(file):
        raise UserError(f"{file} is compressed, as PyTorch never writes it; do not trust it, or save it again")
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds, going by where the file stops making sense
        is_pickle = start[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
        if is_pickle and (isinstance(error, pickle.UnpicklingError) or "TorchScript" in str(error)):
            needed = re.search(r"GLOBAL (\w\S*)", str(error))
            raise UserError(
                f"{file} holds more than tensors{f' ({needed[1]})' if needed else ''}, and to load all of it could run any "
                f"code that somebody put there, so it is refused; if you trust it, load it with the code that wrote it and "
                f"save network.state_dict() alone"
            ) from None
        raise UserError(f"{file} is damaged, or no PyTorch weights file; fetch or save it again") from None


def _is_packed(file: Path) -> bool:
    """Whether a zip file would unpack to more than its size."""
    try:
        with zipfile.ZipFile(file) as archive:
            return sum(info.file_size for info in archive.infolist()) > file.stat().st_size
    except Exception:  # no zip file, or one that torch.load may judge
        return False


def _is_weights(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
    )
