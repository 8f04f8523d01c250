"""Which device and which precision PyTorch computes with."""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

from cyclegan.errors import UserError

OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")  # what PyTorch's plain errors say

Precision = Literal["float32", "bf16"]


def choose_device(wanted: str) -> torch.device:
    """`auto` is CUDA, then MPS, then the CPU; anything else is taken at its word.

    Raises:
        UserError: the wanted device is not there.
    """
    if wanted == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(kind)
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise UserError(f"runtime.device is {wanted}; it must be auto, cpu, cuda, cuda:N or mps") from None
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise UserError(f"runtime.device is {wanted} in params.yaml, but PyTorch sees no such device; set it to auto")
    return device


def choose_precision(wanted: Literal["auto", "float32", "bf16"], device: torch.device) -> Precision:
    """`auto` is bf16 where the hardware multiplies matrices of it (recent NVIDIA GPUs, CPUs with AMX), float32 elsewhere.

    A CPU with AVX-512 BF16 alone has instructions for it too, but a step took longer with them than in float32
    (docs/performance.md).
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu" and torch.cpu._is_amx_tile_supported():  # noqa: SLF001 - there is no public way to ask
        return "bf16"
    return "float32"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """The context in which networks run; it can be entered again and again."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def make_deterministic(wanted: bool = True) -> None:
    """Same inputs, same bytes on the same kind of machine; an operation that cannot promise it warns.

    Where that is not wanted, a GPU takes whatever kernels prove to be the quickest.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; without it cuBLAS may differ
    torch.use_deterministic_algorithms(wanted, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # none is read here
    torch.backends.cudnn.benchmark = not wanted
    torch.backends.cudnn.allow_tf32 = False  # float32 means float32


@contextmanager
def out_of_memory_explained(sizes: Mapping[str, int], instead: str = "") -> Iterator[None]:
    """Within, running out of the device's or the machine's memory is an error that names what to lower.

    Args:
        sizes: the parameters that take most of it, and their values, the best to lower first.
        instead: what else helps, as an order.

    Raises:
        UserError: memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        said = next(iter(str(error).splitlines()), "")
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not known and not any(words in said for words in OUT_OF_MEMORY):
            raise
        named = " and ".join(f"{name} {value}" for name, value in sizes.items())
        rather = f"{instead}, or " if instead else ""
        raise UserError(
            f"memory ran out{f' ({said})' if said else ''} with {named} in params.yaml; {rather}"
            f"lower {', then '.join(sizes)}, then model.ngf and model.ndf, or end what else uses the device. What was "
            f"saved before is kept"
        ) from None
