"""Picture files through one generator: same names, same sizes."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cyclegan import images
from cyclegan.errors import UserError
from cyclegan.levels import from_pixels, to_pixels
from cyclegan.models.weights import load_generator

ONNX_BYTES = (1 << 31) - 1  # the limit of its format
SIDE = re.compile("[1-9][0-9]{0,3}")


@dataclass(frozen=True)
class Translator:
    """A generator, ready for pictures of any size.

    Attributes:
        run: float32 [1, C, H, W] in [-1, 1] -> [1, C', H, W] on the CPU.
        channels: C, 1 or 3.
        stride: H and W must be multiples of this, in px ...
        smallest: ... and at least this.
    """

    run: Callable[[Tensor], Tensor]
    channels: int
    stride: int
    smallest: int

    def __call__(self, pixels: images.Pixels) -> images.Pixels:
        """uint8 [H, W, C] -> uint8 [H, W, C']: padded by reflection to what the network can take, and cropped back."""
        height, width = pixels.shape[:2]
        pad = [(0, max(self.smallest, -(-side // self.stride) * self.stride) - side) for side in (height, width)]
        padded = np.pad(pixels, [*pad, (0, 0)], mode="reflect")
        output = self.run(from_pixels(padded[None]))
        result: images.Pixels = to_pixels(output)[0, :height, :width]
        return result


def load(model: Path, device: torch.device) -> Translator:
    """Load a generator's folder, as train and export write it, or an ONNX file (which runs on the CPU).

    Raises:
        UserError: neither, or damaged.
    """
    try:
        there = model.exists()
    except OSError:  # such as a name that is too long
        there = False
    if not there:
        raise UserError(
            f"there is no model {model}; give a generator's folder such as models/exported/G_AB, or an ONNX file"
        )
    if model.suffix.lower() == ".onnx":
        return _load_onnx(model)
    network, spec = load_generator(model, device)

    @torch.no_grad()
    def run(pictures: Tensor) -> Tensor:
        output: Tensor = network(pictures.to(device))
        return _checked(output.cpu(), pictures, model)

    return Translator(run, spec.channels_in, spec.stride, spec.smallest)


def _load_onnx(path: Path) -> Translator:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is told once, by the error
    try:
        if path.stat().st_size > ONNX_BYTES:
            raise ValueError(f"it is larger than the {ONNX_BYTES:,} bytes that an ONNX file can have")
        # From bytes: then it can name no other file to read weights from.
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        ends = session.get_inputs(), session.get_outputs()
        inputs, outputs = ([entry.shape for entry in entries] for entries in ends)
        kinds = {entry.type for entries in ends for entry in entries}
        about = session.get_modelmeta().custom_metadata_map
    except Exception as error:  # ONNX Runtime's errors share no base but this
        raise UserError(f"{path} is not a readable ONNX model: {error}; export it again") from None
    if (
        not all(len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1] in (1, 3) for shapes in (inputs, outputs))
        or any(isinstance(side, int) for side in inputs[0][2:])
        or kinds != {"tensor(float)"}
    ):
        raise UserError(
            f"{path} maps {inputs} to {outputs} in {', '.join(sorted(kinds))}, not [N, 1 or 3, H, W] of any height and "
            f"width to the same in float32; it is no generator of this project"
        )
    if not {"stride", "smallest"} <= set(about):
        raise UserError(f"{path} does not say which sizes it takes; it is no generator of this version: export it again")
    stride, smallest = (_side(path, name, about[name]) for name in ("stride", "smallest"))
    name, channels = ends[0][0].name, inputs[0][1]

    def run(pictures: Tensor) -> Tensor:
        try:
            output = torch.from_numpy(np.asarray(session.run(None, {name: pictures.numpy()})[0]))
        except Exception as error:  # as above
            size = " x ".join(map(str, pictures.shape[:1:-1]))
            raise UserError(f"{path} fails on a picture of {size} px: {error}; export it again") from None
        return _checked(output, pictures, path)

    return Translator(run, channels, stride, smallest)


def _side(path: Path, name: str, text: str) -> int:
    """A size in px from an ONNX file's metadata, where anything may stand."""
    if not SIDE.fullmatch(text):
        raise UserError(
            f"{path} says that its {name} is {text[:40]!r}, not a number of px from 1 to 9999; it is no generator of this "
            f"project: export it again"
        )
    return int(text)


def _checked(output: Tensor, pictures: Tensor, model: Path) -> Tensor:
    """`output`, if pictures of the same size can be made of it."""
    if output.shape[0] != len(pictures) or output.shape[2:] != pictures.shape[2:]:
        raise UserError(
            f"{model} makes {list(output.shape)} of {list(pictures.shape)}, not pictures of the same size; it is no "
            f"generator of this project"
        )
    if not bool(torch.isfinite(output).all()):
        raise UserError(f"{model} gives values that are not finite, so its weights are of no use; train or fetch it again")
    return output


def translate_files(
    translator: Translator, source: Path, target: Path, short_side: int | None = None
) -> Iterator[tuple[Path, str | None]]:
    """Translate a picture, or every picture below a folder into a folder of the same structure.

    Args:
        source: a file or a folder.
        target: where to write; for a single file, a file or an existing folder.
        short_side: resize so that the shorter side has so many px first; None keeps the size.

    Yields:
        each picture's path, and why it could not be translated (None if it was).

    Raises:
        UserError: nothing to translate, or the output would overwrite the input.
    """
    for path, place in _places(source, target):
        try:
            pixels = images.read(path, translator.channels)
            place.parent.mkdir(parents=True, exist_ok=True)
            images.write(place, translator(_resized(pixels, short_side)))
        except images.BadImageError as error:
            yield path, str(error)
        except torch.OutOfMemoryError:
            yield path, "too large for the device's memory; try --resize or --device cpu"
        except OSError as error:
            yield path, f"{error.filename or place}: {error.strerror or error}"
        else:
            yield path, None


def _places(source: Path, target: Path) -> list[tuple[Path, Path]]:
    if source.is_dir():
        if target.resolve() == source.resolve():
            raise UserError(f"the output {target} is the input; give another folder")
        if target.exists() and not target.is_dir():
            raise UserError(f"the input {source} is a folder, so the output must be one; {target} is a file")
        here, there = source.resolve(), target.resolve()
        earlier = there if here in there.parents else None  # output of an earlier run inside the input is no input
        pairs = [
            (path, target / path.relative_to(source))
            for path in images.below(source)
            if earlier not in path.resolve().parents
        ]
        if not pairs:
            raise UserError(f"there are no pictures in {source} ({', '.join(sorted(images.SUFFIXES))})")
        inputs = {path.resolve() for path, _ in pairs}
        clash = next((place for _, place in pairs if place.resolve() in inputs), None)
        if clash:
            raise UserError(f"the output {clash} is an input too; give another folder")
        return pairs
    if not source.is_file():
        raise UserError(f"there is no picture or folder {source}")
    place = target / source.name if target.is_dir() else target
    if place.resolve() == source.resolve():
        raise UserError(f"the output {place} is the input; give another name or folder")
    if not images.is_picture(place):
        raise UserError(f"{place} has no suffix of a picture format ({', '.join(sorted(images.SUFFIXES))})")
    return [(source, place)]


def _resized(pixels: images.Pixels, short_side: int | None) -> images.Pixels:
    if short_side is None:
        return pixels
    height, width = pixels.shape[:2]
    scale = short_side / min(height, width)
    return images.resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)))
