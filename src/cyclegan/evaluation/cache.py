"""Features of real pictures, kept from one evaluation to the next by what they are a function of."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

VERSION = 2  # of how features are computed: raise it when they change


def cached(folder: Path, what: dict[str, object], compute: Callable[[], Tensor]) -> Tensor:
    """Features [N, D] of real pictures, from `folder` where it has them.

    Args:
        folder: where they are kept; it is no output, and can be removed at any time.
        what: all that they are a function of, such as digests of pictures and network.
        compute: how to get them otherwise.
    """
    what = {**what, "version": VERSION, "torch": torch.__version__}
    path = folder / f"{hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()}.safetensors"
    kept = _read(path)
    if kept is not None:
        return kept
    features = compute().contiguous()
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"features": features}, part, metadata={"sha256": _digest(features)})
        part.replace(path)
    except (OSError, SafetensorError):  # a full disk costs the time of the next evaluation, not this one
        with contextlib.suppress(OSError):
            part.unlink()
    return features


def _read(path: Path) -> Tensor | None:
    """What a file holds; None where there is none, or it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            features: Tensor = file.get_tensor("features")
            return features if file.metadata()["sha256"] == _digest(features) else None
    except (OSError, SafetensorError, KeyError, TypeError):
        return None


def _digest(features: Tensor) -> str:
    return hashlib.sha256(features.numpy().tobytes()).hexdigest()
