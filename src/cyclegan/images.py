"""Image files <-> arrays: formats, modes, bit depths, value ranges and grids. Nothing else knows file formats.

Arrays are uint8 [H, W, C] in 0..255 with C of 1 (greyscale) or 3 (RGB); tensors are float32 [N, C, H, W] in [-1, 1].
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.utils import make_grid

Pixels = npt.NDArray[np.uint8]

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
CELL = 128  # px: pictures in a grid are enlarged to about this width
LABEL_HEIGHT = 24  # px


class BadImageError(Exception):
    """A file that holds no usable picture; the text says why in a few words."""


@dataclass(frozen=True)
class Original:
    """What a file held before conversion: width and height in px after EXIF rotation, and Pillow's mode."""

    width: int
    height: int
    mode: str


def is_picture(path: Path) -> bool:
    """Whether the name says so; case does not matter."""
    return path.suffix.lower() in SUFFIXES


def below(folder: Path) -> list[Path]:
    """Every picture in `folder` and its folders, sorted; hidden files are none, links to folders are not followed."""
    files = (path for path in folder.rglob("*") if is_picture(path) and not path.name.startswith("."))
    return sorted(path for path in files if path.is_file())


def decode(data: bytes, channels: int, background: Sequence[int] = (255, 255, 255)) -> tuple[Pixels, Original]:
    """Decode one picture to uint8 [H, W, channels].

    The EXIF orientation is applied; transparent pixels are composited on `background` (RGB in 0..255); 16-bit
    greyscale keeps its 8 high bits, rounded. Of an animation the first frame is used.

    Raises:
        BadImageError: not a picture, truncated, or of a depth that has no agreed range (32-bit, float).
    """
    try:
        with Image.open(io.BytesIO(data)) as file:
            file.load()
            mode = file.mode
            image = ImageOps.exif_transpose(file)
            original = Original(image.width, image.height, mode)
            return _to_array(image, channels, background), original
    except UnidentifiedImageError:
        raise BadImageError("not a picture in a known format" if data else "empty file") from None
    except Image.DecompressionBombError:
        raise BadImageError(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels") from None
    except BadImageError:
        raise
    except Exception as error:  # on damage Pillow raises OSError, struct.error, TypeError, SyntaxError and more
        raise BadImageError(f"damaged: {error}") from None


def _to_array(image: Image.Image, channels: int, background: Sequence[int]) -> Pixels:
    if image.mode.startswith("I;16"):
        high = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((high + 128) // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise BadImageError(f"mode {image.mode}: 32-bit and float pictures have no agreed range; convert to 8 or 16 bits")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        red, green, blue = background
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (red, green, blue, 255)), rgba)
    if image.mode == "LAB":  # has no direct way to greyscale
        image = image.convert("RGB")
    array = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return array.reshape(image.height, image.width, channels)


def read(path: Path, channels: int, background: Sequence[int] = (255, 255, 255)) -> Pixels:
    """Decode the file at `path`; arguments, result and errors as `decode`."""
    return decode(path.read_bytes(), channels, background)[0]


def write(path: Path, pixels: Pixels) -> None:
    """Write uint8 [H, W, C] in the format its suffix names (JPEG at quality 95); the bytes depend on the pixels alone."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        image.save(path, quality=95, subsampling=0)
    elif path.suffix.lower() == ".webp":
        image.save(path, lossless=True)
    else:
        image.save(path)


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Bicubic with antialias, as the reference implementation resizes (Pillow's BICUBIC)."""
    if pixels.shape[:2] == (height, width):
        return pixels
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)).reshape(height, width, pixels.shape[2])


def to_tensor(pixels: Tensor) -> Tensor:
    """uint8 [N, H, W, C] in 0..255, on any device -> float32 [N, C, H, W] in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0


def to_uint8(pictures: Tensor) -> Tensor:
    """Float [N, C, H, W] in [-1, 1] -> uint8 [N, H, W, C], rounded to the nearest level and clipped."""
    levels = ((pictures.float() + 1.0) * 127.5).round().clamp(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1)


def grid(columns: Mapping[str, Tensor], gap: int = 2) -> Pixels:
    """Labelled columns of pictures side by side, a row an index.

    Args:
        columns: pictures by the column's label, each float [N, 1 or 3, H, W] in [-1, 1] of one size.
        gap: white px between pictures.

    Returns:
        uint8 [H', W', 3]; small pictures are enlarged by a whole factor, so that details can be seen.
    """
    pictures = [column.detach().cpu().expand(-1, 3, -1, -1) for column in columns.values()]
    pixels = sheet(torch.stack(pictures, dim=1).flatten(0, 1), len(columns), gap)
    width = pictures[0].shape[3]
    factor = _enlargement(width)
    canvas = Image.new("RGB", (pixels.shape[1], pixels.shape[0] + LABEL_HEIGHT), "white")
    canvas.paste(Image.fromarray(pixels), (0, LABEL_HEIGHT))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=LABEL_HEIGHT * 2 // 3)
    for index, label in enumerate(columns):
        middle = factor * (gap + index * (width + gap) + width / 2)
        draw.text((middle, LABEL_HEIGHT / 2), label, fill="black", font=font, anchor="mm")
    return np.asarray(canvas)


def sheet(pictures: Tensor, columns: int, gap: int = 2) -> Pixels:
    """Pictures in rows of `columns`, enlarged as by `grid`: float [N, C, H, W] in [-1, 1] -> uint8 [H', W', 3]."""
    pixels: Pixels = to_uint8(make_grid(pictures, nrow=columns, padding=gap, pad_value=1.0)[None])[0].numpy()
    factor = _enlargement(pictures.shape[3])
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def fit(pictures: Sequence[Pixels]) -> Tensor:
    """Pictures uint8 [H, W, C] of any sizes as float [N, C, side, side] in [-1, 1], for a sheet.

    The side is that of the largest, up to the cells of a grid; each is reduced to it, if need be, and centred on white.
    """
    side = min(CELL, max(max(pixels.shape[:2]) for pixels in pictures))
    cells = np.full((len(pictures), side, side, pictures[0].shape[2]), 255, dtype=np.uint8)
    for cell, pixels in zip(cells, pictures, strict=True):
        scale = min(1.0, side / max(pixels.shape[:2]))
        height, width = (max(1, round(length * scale)) for length in pixels.shape[:2])
        top, left = (side - height) // 2, (side - width) // 2
        cell[top : top + height, left : left + width] = resize(pixels, height, width)
    return to_tensor(torch.from_numpy(cells))


def _enlargement(width: int) -> int:
    return max(1, CELL // width)
