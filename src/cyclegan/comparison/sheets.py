"""Galleries of several evaluations by test picture: what each made of the same one stands in one row.

A gallery is a sheet of pictures (reports/gallery_*.png). Its cells are cut out again, and two rows are of the same test
picture where their inputs, and their true counterparts if there are any, are equal to the pixel.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from cyclegan.evaluation.gallery import places
from cyclegan.images import LABEL_HEIGHT, Pixels, enlargement
from cyclegan.report.pictures import ENLARGED, data_uri

WHITE = 255
GAP = 2  # white px between pictures, before they are enlarged
COLUMNS = {4: ("input", "output", "truth", "rebuilt"), 3: ("input", "output", "rebuilt")}


@dataclass(frozen=True)
class Cell:
    """A picture on the page, its label, and whether its pixels are to be seen enlarged."""

    label: str
    uri: str
    small: bool


@dataclass
class TestPicture:
    """A test picture: its name, the input and the truth, and by the label of an evaluation what that made of it."""

    __test__ = False  # no class of tests

    name: str
    given: list[Cell]
    made: dict[str, list[Cell]] = field(default_factory=dict)


def by_picture(sheets: Mapping[str, bytes], files: Sequence[str]) -> list[TestPicture]:
    """The test pictures that sheets show, in the order in which they first come.

    Args:
        sheets: PNG files by the label of their evaluation; those that are no galleries are left out.
        files: names of all test pictures, in their order; empty where they are not known: then they are numbered.
    """
    found: dict[tuple[bytes, ...], TestPicture] = {}
    for label, sheet in sheets.items():
        rows = cells(sheet)
        seen: dict[tuple[bytes, ...], int] = {}
        for number, row in enumerate(rows):
            given = {name: row[name] for name in ("input", "truth") if name in row}
            pixels = tuple(one.tobytes() for one in given.values())
            seen[pixels] = seen.get(pixels, 0) + 1  # of test pictures that are equal, the first goes with the first
            key = (*pixels, str(seen[pixels]).encode())
            if key not in found:
                name = _name(number, len(rows), files)
                found[key] = TestPicture(name, [_cell(one, pixels) for one, pixels in given.items()])
            found[key].made[label] = [_cell(one, row[one]) for one in ("output", "rebuilt")]
    return list(found.values())


def cells(sheet: bytes) -> list[dict[str, Pixels]]:
    """The pictures of a gallery, as they were before they were enlarged, a row a test picture; empty if it is none."""
    try:
        with Image.open(io.BytesIO(sheet)) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError):
        return []
    shape = next((shape for shape in _shapes(*pixels.shape[:2]) if _fits(pixels, shape)), None)
    if shape is None:
        return []
    small, step, names = _reduced(pixels, shape.side), shape.side + GAP, COLUMNS[shape.columns]
    return [
        {
            name: small[GAP + row * step :, GAP + column * step :][: shape.side, : shape.side]
            for column, name in enumerate(names)
        }
        for row in range(shape.rows)
    ]


class _Shape(NamedTuple):
    """The side of a gallery's square pictures in px, its columns and its rows."""

    side: int
    columns: int
    rows: int


def _shapes(height: int, width: int) -> Iterator[_Shape]:
    """All that a sheet of a size in px can be."""
    for columns in COLUMNS:
        for side in range(1, width):
            factor = enlargement(side)
            rows, rest = divmod(height - LABEL_HEIGHT - factor * GAP, factor * (side + GAP))
            if width == factor * (columns * (side + GAP) + GAP) and rows > 0 and rest == 0:
                yield _Shape(side, columns, rows)


def _fits(pixels: Pixels, shape: _Shape) -> bool:
    """Whether pixels are enlarged as they would be then, with white between the pictures."""
    factor, small = enlargement(shape.side), _reduced(pixels, shape.side)
    if not np.array_equal(small.repeat(factor, axis=0).repeat(factor, axis=1), pixels[LABEL_HEIGHT:]):
        return False
    step = shape.side + GAP
    return all(
        bool((lines == WHITE).all()) for offset in range(GAP) for lines in (small[offset::step], small[:, offset::step])
    )


def _reduced(pixels: Pixels, side: int) -> Pixels:
    factor = enlargement(side)
    return pixels[LABEL_HEIGHT::factor, ::factor]


def _name(number: int, count: int, files: Sequence[str]) -> str:
    """Which test picture a row is of: they are spread evenly over the test set."""
    if not files:
        return f"row {number + 1} of the gallery"
    return files[places(len(files), count)[number]]


def _cell(label: str, pixels: Pixels) -> Cell:
    return Cell(label, data_uri(pixels), max(pixels.shape[:2]) < ENLARGED)
