"""Good pictures are decoded and described; bad ones are refused with a reason."""

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cyclegan.data.checks import Bad, Good, judge
from cyclegan.data.layout import Picture
from cyclegan.data.leaks import fingerprint

WHITE = (255, 255, 255)


def png(width: int, height: int) -> bytes:
    levels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    return buffer.getvalue()


def picture(folder: Path, data: bytes) -> Picture:
    (folder / "x.png").write_bytes(data)
    return Picture("A", "train", folder / "x.png", "x.png")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_good_picture_is_decoded_and_described(tmp_path: Path, channels: int) -> None:
    data = png(20, 16)
    verdict = judge(picture(tmp_path, data), channels, WHITE, min_side=16)
    assert isinstance(verdict, Good)
    assert verdict.pixels.shape == (16, 20, channels)
    assert verdict.pixels.dtype == np.uint8
    assert verdict.sha256 == hashlib.sha256(data).hexdigest()
    assert (verdict.original.width, verdict.original.height, verdict.original.mode) == (20, 16, "RGB")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"no picture at all", "not a picture in a known format"),
        (png(20, 16)[:300], "damaged: "),
        (png(20, 15), "20 x 15 px, below preprocess.min_side of 16"),
        (png(15, 20), "15 x 20 px, below preprocess.min_side of 16"),
    ],
)
def test_a_bad_picture_is_refused_with_a_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    verdict = judge(picture(tmp_path, data), 3, WHITE, min_side=16)
    assert isinstance(verdict, Bad)
    assert verdict.reason.startswith(reason)


def test_what_a_picture_is_compared_by_is_made_of_all_its_pixels(tmp_path: Path) -> None:
    data = png(200, 160)
    verdict = judge(picture(tmp_path, data), 3, WHITE, min_side=16)
    assert isinstance(verdict, Good)
    wanted = fingerprint(verdict.pixels, hashlib.sha256(data).hexdigest())
    assert (verdict.fingerprint.file, verdict.fingerprint.pixels) == (wanted.file, wanted.pixels)
    assert verdict.fingerprint.hash == wanted.hash
    np.testing.assert_array_equal(verdict.fingerprint.grey, wanted.grey)


def test_a_name_that_is_not_utf_8_is_a_reason(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xe9.png")
    path.write_bytes(png(20, 20))
    bad = Picture("A", "train", path, "\\xe9.png")
    assert judge(bad, 3, WHITE, min_side=1) == Bad(bad, "its name is not UTF-8; rename it")


def test_a_file_that_cannot_be_opened_is_bad_rather_than_a_crash(tmp_path: Path) -> None:
    gone = Picture("A", "train", tmp_path / "gone.png", "gone.png")
    assert judge(gone, 3, WHITE, min_side=1) == Bad(gone, "cannot be read: No such file or directory")
