"""Image files <-> arrays: formats, modes, bit depths, value ranges and grids. Nothing else knows file formats.

Arrays are uint8 [H, W, C] in 0..255 with C of 1 (greyscale) or 3 (RGB); `levels` makes tensors of them.
"""

import io
import os
import re
import stat
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from cyclegan.errors import UserError

Pixels = npt.NDArray[np.uint8]

# What Pillow says of files that it reads all the same (odd metadata, very many pixels) is nothing a user could act on.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

# Told by the content, whatever the name. Not all that Pillow reads: for some formats it starts other programs.
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
MAX_BYTES = 2**30  # of a file: the most pixels that Pillow reads, unpacked, as 16-bit colour
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
LISTED = 10  # names that one line spells out
CELL = 128  # px: pictures in a grid are enlarged to about this width
LABEL_HEIGHT = 24  # px


class BadImageError(Exception):
    """A file that holds no usable picture; the text says why in a few words."""


@dataclass(frozen=True)
class Original:
    """What a file held before conversion.

    Attributes:
        width, height: in px, after EXIF rotation.
        mode: Pillow's.
        frames: pictures in it, of which the first counts: an animation's frames, a TIFF's pages.
    """

    width: int
    height: int
    mode: str
    frames: int = 1


def is_picture(path: Path) -> bool:
    """Whether the name says so; case does not matter."""
    return path.suffix.lower() in SUFFIXES


def below(folder: Path) -> list[Path]:
    """Every file in `folder` and its folders that is named like a picture, sorted; none where there is no such folder.

    Hidden files and folders are passed over, links to folders not followed. Files that cannot be read, and links that lead
    nowhere, are among the result: whoever reads them says so.

    Raises:
        UserError: a folder that cannot be listed; names all of them.
    """
    return sorted(path for path in _files(folder) if is_picture(path) and not path.is_dir())


def left_out(folder: Path) -> dict[str, str]:
    """What `below` passes over in `folder` though it is not hidden: a pattern or a name, and what is to be said of it."""
    names: dict[str, list[str]] = {}
    said = {}
    for path in sorted(_files(folder)):
        name = printable(path.relative_to(folder).as_posix())
        if path.is_dir():
            said[name] = "a link to a folder is not followed"
        elif not is_picture(path):
            names.setdefault(f"*{path.suffix.lower()}", []).append(name)
    for pattern, found in names.items():
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        what = "1 file" if len(found) == 1 else f"{len(found)} files"
        said[pattern] = f"{what} without a picture's suffix left out: {', '.join(found[:LISTED])}{more}"
    return dict(sorted(said.items()))


def _files(folder: Path) -> Iterator[Path]:
    """Whatever is below `folder` and not hidden: files, and links of any kind."""
    unlisted: list[OSError] = []
    for root, folders, files in os.walk(folder, onerror=unlisted.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(root) / name for name in files if not name.startswith("."))
        yield from (Path(root) / name for name in folders if (Path(root) / name).is_symlink())
    if unlisted and os.path.lexists(folder):
        raise UserError(
            "cannot list "
            + ", ".join(f"{printable(str(error.filename))} ({error.strerror})" for error in unlisted)
            + "; mend that and run again"
        )


def printable(name: str) -> str:
    r"""A file's name as text that UTF-8 can hold: bytes of it that are none are spelled \xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def check(path: Path) -> None:
    """Look at a picture's file from outside.

    Raises:
        BadImageError: there is none, it is no regular file, or larger than any picture may be.
    """
    try:
        about = path.stat()
    except OSError as error:
        lost = isinstance(error, FileNotFoundError) and path.is_symlink()
        raise BadImageError(f"cannot be read: {'a link that leads nowhere' if lost else error.strerror}") from None
    if not stat.S_ISREG(about.st_mode):
        raise BadImageError("not a regular file")
    if about.st_size > MAX_BYTES:
        raise BadImageError(f"a file of {about.st_size:,} bytes; pictures have at most {MAX_BYTES:,}")


def fetch(path: Path) -> bytes:
    """The bytes of a picture's file.

    Raises:
        BadImageError: it cannot be read, or `check` objects to it.
    """
    check(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadImageError(f"cannot be read: {error.strerror}") from None


def decode(data: bytes, channels: int, background: Sequence[int] = (255, 255, 255)) -> tuple[Pixels, Original]:
    """Decode one picture to uint8 [H, W, channels].

    The EXIF orientation is applied; transparent pixels are composited on `background` (RGB in 0..255); 16 bits keep
    their 8 high ones, rounded in greyscale and, by Pillow, cut off in colour. Of an animation the first frame is used.

    Raises:
        BadImageError: not a picture, truncated, of a depth that has no agreed range (32-bit, float), or of more than
            twice Image.MAX_IMAGE_PIXELS (about 179 million), beyond which Pillow suspects a decompression bomb.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as file:
            file.load()
            mode, sixteen_bits = file.mode, file.mode.startswith("I;16") or (file.format, file.mode) == ("PPM", "I")
            white_is_zero = isinstance(file, TiffImageFile) and file.tag_v2.get(262) == 0
            image = ImageOps.exif_transpose(file)
            if sixteen_bits:
                image = _eight_bits(image, inverted=white_is_zero)  # Pillow heeds that tag for 8 bits only
            pixels = _to_array(image, channels, background)
            return pixels, Original(image.width, image.height, mode, _frames(file))
    except UnidentifiedImageError:
        raise BadImageError("not a picture in a known format" if data else "empty file") from None
    except Image.DecompressionBombError:
        raise BadImageError(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels") from None
    except MemoryError:
        raise BadImageError("needs more memory than there is") from None
    except BadImageError:
        raise
    except Exception as error:  # on damage Pillow raises OSError, struct.error, TypeError, SyntaxError and more
        text = " ".join(re.sub(r"<[^<>]* object at \w+>", "the file", str(error)).split())
        raise BadImageError(f"damaged: {text or type(error).__name__}") from None


@cache
def _formats() -> list[str]:
    """Those of FORMATS that this Pillow was built with."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _frames(file: Image.Image) -> int:
    """How many pictures the file holds; the second ones in a camera's JPEG (preview, depth, light) do not count."""
    return 1 if file.format == "MPO" else int(getattr(file, "n_frames", 1))


def _eight_bits(image: Image.Image, *, inverted: bool) -> Image.Image:
    levels = (np.asarray(image).astype(np.uint32) + 128) // 257
    return Image.fromarray((255 - levels if inverted else levels).astype(np.uint8))


def _to_array(image: Image.Image, channels: int, background: Sequence[int]) -> Pixels:
    if image.mode in ("I", "F"):
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
    return decode(fetch(path), channels, background)[0]


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


def grid(columns: Mapping[str, Pixels], gap: int = 2) -> Pixels:
    """Labelled columns of pictures side by side, a row an index.

    Args:
        columns: pictures by the column's label, each uint8 [N, H, W, 1 or 3] of one size.
        gap: white px between pictures.

    Returns:
        uint8 [H', W', 3]; small pictures are enlarged by a whole factor, so that details can be seen.
    """
    pictures = [picture for row in zip(*columns.values(), strict=True) for picture in row]
    pixels = sheet(pictures, len(columns), gap)
    width = pictures[0].shape[1]
    factor = enlargement(width)
    canvas = Image.new("RGB", (pixels.shape[1], pixels.shape[0] + LABEL_HEIGHT), "white")
    canvas.paste(Image.fromarray(pixels), (0, LABEL_HEIGHT))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=LABEL_HEIGHT * 2 // 3)
    for index, label in enumerate(columns):
        middle = factor * (gap + index * (width + gap) + width / 2)
        draw.text((middle, LABEL_HEIGHT / 2), label, fill="black", font=font, anchor="mm")
    return np.asarray(canvas)


def sheet(pictures: Sequence[Pixels], columns: int, gap: int = 2) -> Pixels:
    """Pictures uint8 [H, W, 1 or 3] of one size in rows of `columns`, enlarged as by `grid`: uint8 [H', W', 3]."""
    height, width = pictures[0].shape[:2]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    pixels = np.full((gap + rows * (height + gap), gap + columns * (width + gap), 3), 255, dtype=np.uint8)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        top, left = gap + row * (height + gap), gap + column * (width + gap)
        pixels[top : top + height, left : left + width] = picture
    factor = enlargement(width)
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def fit(pictures: Sequence[Pixels]) -> list[Pixels]:
    """Pictures uint8 [H, W, C] of any sizes as ones of uint8 [side, side, C], for a sheet.

    The side is that of the largest, up to the cells of a grid; each is reduced to it, if need be, and centred on white.
    """
    side = min(CELL, max(max(pixels.shape[:2]) for pixels in pictures))
    cells = np.full((len(pictures), side, side, pictures[0].shape[2]), 255, dtype=np.uint8)
    for cell, pixels in zip(cells, pictures, strict=True):
        scale = min(1.0, side / max(pixels.shape[:2]))
        height, width = (max(1, round(length * scale)) for length in pixels.shape[:2])
        top, left = (side - height) // 2, (side - width) // 2
        cell[top : top + height, left : left + width] = resize(pixels, height, width)
    return list(cells)


def enlargement(width: int) -> int:
    """The factor by which a grid enlarges pictures of a width in px."""
    return max(1, CELL // width)
