"""Weights files -> tensors by name. Nothing but tensors is ever unpickled."""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cyclegan.errors import UserError

PICKLES = (".pth", ".pt")
SUFFIXES = (*PICKLES, ".safetensors")


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name, without DataParallel's `module.`.

    Raises:
        UserError: damaged, of another kind, needs free unpickling, or holds no tensors or those of several networks.
    """
    if file.suffix not in SUFFIXES:
        raise UserError(f"{file} is none of the files that can be read: {', '.join(SUFFIXES)}")
    try:
        with warnings.catch_warnings(action="ignore"):
            content = load_file(file) if file.suffix == ".safetensors" else _unpickled(file)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} is no readable safetensors file: {error}; fetch or save it again") from None
    if isinstance(content, Mapping) and not _is_weights(content):  # such as {"epoch": 3, "state_dict": {...}}
        inner = {key: value for key, value in content.items() if _is_weights(value)}
        if len(inner) > 1:
            raise UserError(f"{file} holds several networks: {', '.join(map(str, inner))}; save each in a file of its own")
        content = next(iter(inner.values()), None)
    if not _is_weights(content):
        raise UserError(f"{file} holds no tensors by name; save network.state_dict() with the code that wrote it")
    prefix = "module." if all(key.startswith("module.") for key in content) else ""
    return {key.removeprefix(prefix): tensor for key, tensor in content.items()}


def _unpickled(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds, going by where the file stops making sense
        with file.open("rb") as opened:
            is_pickle = opened.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
        if is_pickle and (isinstance(error, pickle.UnpicklingError) or "TorchScript" in str(error)):
            needed = re.search(r"GLOBAL (\w\S*)", str(error))
            raise UserError(
                f"{file} holds more than tensors{f' ({needed[1]})' if needed else ''}, and to load all of it could run any "
                f"code that somebody put there, so it is refused; if you trust it, load it with the code that wrote it and "
                f"save network.state_dict() alone"
            ) from None
        raise UserError(f"{file} is damaged, or no PyTorch weights file; fetch or save it again") from None


def _is_weights(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
    )
