"""Galleries are cut into the pictures they were made of, and rows of one test picture are joined across evaluations."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cyclegan import images
from cyclegan.comparison import sheets
from cyclegan.evaluation.gallery import gallery
from cyclegan.levels import to_tensor, to_uint8


def drawn(count: int, channels: int = 3, side: int = 8, seed: int = 0) -> Tensor:
    pictures = torch.randint(0, 256, (count, side, side, channels), generator=torch.Generator().manual_seed(seed))
    return to_tensor(pictures.to(torch.uint8))


def sheet(real: Tensor, fake: Tensor, truth: Tensor | None, rows: int, folder: Path) -> bytes:
    path = folder / "gallery.png"
    images.write(path, gallery(real, fake, -fake, truth, rows))
    return path.read_bytes()


@pytest.mark.parametrize("side", [8, 64, 200])
@pytest.mark.parametrize("paired", [True, False])
def test_a_gallery_is_cut_into_its_pictures(tmp_path: Path, side: int, paired: bool) -> None:
    real, fake, truth = (drawn(5, side=side, seed=seed) for seed in range(3))
    rows = sheets.cells(sheet(real, fake, truth if paired else None, 3, tmp_path))
    expected = {"input": real, "output": fake, "truth": truth, "rebuilt": -fake}
    assert len(rows) == 3
    for row, index in zip(rows, (0, 2, 4), strict=True):
        assert list(row) == [name for name in expected if paired or name != "truth"]
        for name, pixels in row.items():
            assert np.array_equal(pixels, to_uint8(expected[name])[index].numpy())


def test_what_is_no_gallery_is_left_out() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(buffer, "PNG")
    assert sheets.cells(buffer.getvalue()) == sheets.cells(b"nothing") == []
    assert sheets.by_picture({"a": buffer.getvalue()}, []) == []


def test_rows_of_one_test_picture_are_joined_whatever_else_the_galleries_show(tmp_path: Path) -> None:
    """The one shows pictures 0, 2 and 4 of five, the other 0 and 4."""
    real, truth = drawn(5), drawn(5, seed=1)
    three, two = (sheet(real, drawn(5, seed=seed), truth, rows, tmp_path) for seed, rows in ((2, 3), (3, 2)))
    found = sheets.by_picture({"old": three, "new": two}, [f"{index}.png" for index in range(5)])
    assert [(one.name, list(one.made)) for one in found] == [
        ("0.png", ["old", "new"]),
        ("2.png", ["old"]),
        ("4.png", ["old", "new"]),
    ]
    assert [cell.label for cell in found[0].given] == ["input", "truth"]
    for label, seed in (("old", 2), ("new", 3)):
        output, rebuilt = found[2].made[label]
        assert (output.label, rebuilt.label) == ("output", "rebuilt")
        assert np.array_equal(pixels(output.uri), to_uint8(drawn(5, seed=seed))[4].numpy())


def test_galleries_of_other_pictures_stand_by_themselves_and_names_may_be_unknown(tmp_path: Path) -> None:
    one, other = (sheet(drawn(2, seed=seed), drawn(2, seed=9), None, 2, tmp_path) for seed in (0, 1))
    found = sheets.by_picture({"old": one, "new": other}, [])
    assert [(row.name, list(row.made)) for row in found] == [
        (f"row {number} of the gallery", [label]) for label in ("old", "new") for number in (1, 2)
    ]


def test_equal_test_pictures_are_not_mixed_up(tmp_path: Path) -> None:
    real = drawn(1).expand(2, -1, -1, -1)
    both = [sheet(real, drawn(2, seed=seed), None, 2, tmp_path) for seed in (1, 2)]
    found = sheets.by_picture({"old": both[0], "new": both[1]}, ["a", "b"])
    assert [(row.name, list(row.made)) for row in found] == [("a", ["old", "new"]), ("b", ["old", "new"])]


def pixels(uri: str) -> np.ndarray:  # type: ignore[type-arg]
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image)
