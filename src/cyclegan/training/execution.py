"""How the steps of a training are run on its device: where the pixels lie, replayed or not, compiled or not."""

import importlib.util
import os
import shutil
from dataclasses import dataclass

from cyclegan.config import Config

RESIDENT_SHARE = 0.25  # of the device's free memory, that pixels may take
# torch.compile takes minutes and saves a part of each step: by arithmetic (two minutes, a quarter of a step that takes
# about 5 ms at one 256 x 256 picture a domain) it is repaid after 100,000 such steps. Not yet measured on a GPU.
REPAID_PIXELS = 100_000 * 256 * 256


@dataclass(frozen=True)
class Execution:
    """What `choose_execution` chose.

    Attributes:
        resident: all pixels lie on the device; otherwise they are brought there step by step, one step ahead.
        replayed: a step is captured once as a CUDA graph and replayed.
        compiled: the networks go through torch.compile.
    """

    resident: bool = False
    replayed: bool = False
    compiled: bool = False

    def __str__(self) -> str:
        pixels = "all pixels on the device" if self.resident else "pixels streamed to the device"
        steps = "steps replayed as a CUDA graph" if self.replayed else "steps launched one by one"
        return f"{pixels}, {steps}, networks {'compiled' if self.compiled else 'not compiled'}"


def choose_execution(
    config: Config,
    *,
    cuda: bool,
    free_bytes: int,
    pixel_bytes: int,
    one_shape: bool,
    steps: int,
    compiler: bool,
    processes: int = 1,
    compiled_before: bool | None = None,
) -> Execution:
    """The quickest way that gives the same training; anywhere but on CUDA, the plain one.

    Args:
        config: its train.arithmetic "textbook" is never changed by compiling or replaying.
        cuda: whether the device is an NVIDIA GPU.
        free_bytes, pixel_bytes: the device's free memory, and what the pixels of both domains take.
        one_shape: whether all steps have pictures of one shape.
        steps: that the whole training has; how far it has come does not matter, so that a resumed one goes on as it began.
        compiler: whether torch.compile can work here.
        processes: that share the training; a step that talks to others is not captured, which no GPU has been seen to do.
        compiled_before: of a training that continues, whether it began compiled.
    """
    if not cuda:
        return Execution()
    resident = one_shape and config.preprocess.crops and pixel_bytes <= RESIDENT_SHARE * free_bytes
    plain = config.train.arithmetic == "textbook" or not one_shape
    if compiled_before is not None:
        compiled = compiled_before
    else:
        compiled = _worth_compiling(config, steps) and compiler and not plain
    # A captured step repeats its random numbers unless the generator is told: dropout is drawn anew, step by step.
    replayed = not plain and not config.model.dropout and processes == 1
    return Execution(resident, replayed, compiled)


def _worth_compiling(config: Config, steps: int) -> bool:
    if config.loss.gan_mode == "wgangp":  # its penalty differentiates twice, which torch.compile cannot
        return False
    if config.runtime.compile != "auto":
        return config.runtime.compile == "always"
    return steps * config.train.batch_size * config.preprocess.crop_size**2 >= REPAID_PIXELS


def can_compile() -> bool:
    """Whether torch.compile finds what it needs to make kernels for an NVIDIA GPU: Triton and a C compiler."""
    compilers = (os.environ.get("CC"), "cc", "gcc", "clang")
    return importlib.util.find_spec("triton") is not None and any(shutil.which(name) for name in compilers if name)
