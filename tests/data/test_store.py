"""Packed pixels: what goes in comes out, and any change is noticed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cyclegan import images
from cyclegan.data.checks import Good
from cyclegan.data.layout import Picture
from cyclegan.data.leaks import fingerprint
from cyclegan.data.store import MANIFEST, SUMMARY, Moments, Store, Writer
from cyclegan.errors import UserError

SIZES = [(8, 8), (5, 9), (16, 4), (1, 1), (7, 7)]
CHANNELS = {"A": 1, "B": 3}
SOURCE: dict[str, Any] = {"name": "mine", "paired_test": True}


def good(domain: Any, split: Any, name: str, pixels: images.Pixels) -> Good:
    original = images.Original(pixels.shape[1] * 2, pixels.shape[0] * 3, "RGB")
    sha256 = f"sha-{name}"
    return Good(Picture(domain, split, Path(name), name), pixels, sha256, original, fingerprint(pixels, sha256))


def mixed() -> list[Good]:
    rng = np.random.default_rng(0)
    return [
        good(domain, split, f"{index}.png", rng.integers(0, 256, (*size, CHANNELS[domain]), dtype=np.uint8))
        for split in ("train", "test")
        for index, size in enumerate(SIZES)
        for domain in ("A", "B")
    ]


def write(folder: Path, pictures: list[Good]) -> Store:
    writer = Writer(folder)
    for picture in pictures:
        writer.add(picture)
    writer.finish(SOURCE, skipped=[])
    return Store(folder)


def test_pictures_of_mixed_sizes_and_channels_come_out_as_they_went_in(tmp_path: Path) -> None:
    pictures = mixed()
    store = write(tmp_path / "store", pictures)
    for split in ("train", "test"):
        for domain in ("A", "B"):
            opened = store.open(split, domain)
            expected = [p for p in pictures if (p.picture.split, p.picture.domain) == (split, domain)]
            assert len(opened) == len(expected)
            assert opened.files == [p.picture.name for p in expected]
            for index, picture in enumerate(expected):
                np.testing.assert_array_equal(opened[index], picture.pixels)
    assert store.paired_test is True


def test_names_that_tables_could_misread_survive(tmp_path: Path) -> None:
    names = ["NA", "007", "1e5", "", 'a,"b".png', "null", "ä b.png", "True"]
    pixels = np.zeros((2, 2, 3), np.uint8)
    store = write(tmp_path, [good("A", "train", name, pixels) for name in names])
    assert store.open("train", "A").files == names


def test_manifest_has_a_row_a_picture_with_all_that_is_known(tmp_path: Path) -> None:
    pictures = mixed()
    write(tmp_path, pictures)
    table = pd.read_csv(tmp_path / MANIFEST)
    assert list(table.columns) == [
        "domain",
        "split",
        "file",
        "sha256",
        "original_width",
        "original_height",
        "original_mode",
        "offset",
        "height",
        "width",
    ]
    assert len(table) == len(pictures)
    for row, picture in zip(table.to_dict("records"), pictures, strict=True):
        height, width, _ = picture.pixels.shape
        assert (row["domain"], row["split"], row["file"]) == (
            picture.picture.domain,
            picture.picture.split,
            picture.picture.name,
        )
        assert (row["height"], row["width"]) == (height, width)
        assert (row["original_height"], row["original_width"], row["original_mode"]) == (3 * height, 2 * width, "RGB")
        assert row["sha256"] == picture.sha256
    for (split, domain), rows in table.groupby(["split", "domain"]):
        sizes = rows["height"] * rows["width"] * CHANNELS[domain]
        assert rows["offset"].tolist() == (sizes.cumsum() - sizes).tolist(), (split, domain)
        assert (tmp_path / f"{split}{domain}.u8").stat().st_size == sizes.sum()


def test_digest_is_the_same_for_the_same_pictures_and_changes_with_any_pixel(tmp_path: Path) -> None:
    digest = write(tmp_path / "one", mixed()).digest
    assert write(tmp_path / "two", mixed()).digest == digest
    digests = {digest}
    rng = np.random.default_rng(1)
    for trial in range(12):
        pictures = mixed()
        pixels = pictures[int(rng.integers(len(pictures)))].pixels
        flat = pixels.reshape(-1)
        flat[rng.integers(len(flat))] ^= 1  # the smallest change there is
        digests.add(write(tmp_path / f"changed{trial}", pictures).digest)
    assert len(digests) == 13


def test_the_digest_of_the_test_pictures_changes_with_their_pixels_alone(tmp_path: Path) -> None:
    first = write(tmp_path / "first", mixed())
    for number, picture in enumerate(mixed()):
        pictures = mixed()
        pictures[number].pixels.reshape(-1)[0] ^= 1
        changed = write(tmp_path / f"changed{number}", pictures)
        assert changed.digest != first.digest
        assert (changed.test_digest != first.test_digest) == (picture.picture.split == "test")


def test_digest_changes_with_the_order_and_the_names(tmp_path: Path) -> None:
    pixels = [np.full((2, 2, 3), level, np.uint8) for level in (0, 255)]
    digests = {
        write(tmp_path / str(number), [good("A", "train", *item) for item in items]).digest
        for number, items in enumerate(
            [
                [("a", pixels[0]), ("b", pixels[1])],
                [("b", pixels[1]), ("a", pixels[0])],
                [("a", pixels[0]), ("c", pixels[1])],
            ]
        )
    }
    assert len(digests) == 3


@pytest.mark.parametrize("name", ["trainA.u8", "testB.u8", MANIFEST])
def test_a_changed_shortened_or_missing_file_is_noticed_and_named(tmp_path: Path, name: str) -> None:
    write(tmp_path, mixed())
    path = tmp_path / name
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UserError, match=name):
        Store(tmp_path)
    path.write_bytes(data[:-1])
    with pytest.raises(UserError, match=name):
        Store(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=name):
        Store(tmp_path)
    path.write_bytes(data)
    assert Store(tmp_path).digest


def test_a_folder_that_is_not_prepared_or_of_another_format_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no prepared data"):
        Store(tmp_path)
    write(tmp_path, mixed())
    summary = json.loads((tmp_path / SUMMARY).read_text(encoding="utf-8"))
    (tmp_path / SUMMARY).write_text(json.dumps(summary | {"format": 0}), encoding="utf-8")
    with pytest.raises(UserError, match="has format 0"):
        Store(tmp_path)


@given(
    st.lists(hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 2, st.just(3))), min_size=1, max_size=5), st.randoms()
)
def test_moments_are_numpys_mean_and_std_in_any_order(pictures: list[images.Pixels], random: Any) -> None:
    levels = np.concatenate([pixels.reshape(-1, 3) for pixels in pictures]).astype(np.float64)
    summaries = []
    for _ in range(2):
        moments = Moments(3)
        for pixels in pictures:
            moments.add(pixels)
        summaries.append(moments.summary())
        random.shuffle(pictures)
    assert summaries[0] == summaries[1]
    np.testing.assert_allclose(summaries[0].mean, levels.mean(0), atol=5.001e-4)
    np.testing.assert_allclose(summaries[0].std, levels.std(0), atol=5.001e-4)
    assert (summaries[0].pictures, summaries[0].channels) == (len(pictures), 3)


def test_stack_takes_a_range_and_ends_with_the_set(tmp_path: Path) -> None:
    levels = [0, 51, 255]
    store = write(tmp_path, [good("B", "test", f"{v}.png", np.full((4, 6, 3), v, np.uint8)) for v in levels])
    stacked = store.open("test", "B").stack(1, 9)
    assert stacked.shape == (2, 4, 6, 3)
    assert stacked.dtype == np.uint8
    assert stacked[:, 0, 0, 0].tolist() == [51, 255]


@pytest.mark.parametrize(
    ("sizes", "one_size"),
    [
        ([(4, 6)], True),
        ([(4, 6), (4, 6), (4, 6)], True),
        ([(4, 6), (4, 6), (4, 7)], False),
        ([(4, 6), (5, 6)], False),
        ([(4, 6), (6, 4)], False),  # as many pixels
    ],
)
def test_a_set_says_whether_its_pictures_are_of_one_size(
    tmp_path: Path, sizes: list[tuple[int, int]], one_size: bool
) -> None:
    of_A = [good("A", "train", f"{i}", np.zeros((*size, 1), np.uint8)) for i, size in enumerate(sizes)]
    of_B = [good("B", "train", f"{i}", np.zeros((9 + i, 9, 3), np.uint8)) for i in range(2)]
    store = write(tmp_path, [*of_A, *of_B])
    assert store.open("train", "A").one_size is one_size
    assert store.open("train", "B").one_size is False


def test_a_validation_set_is_kept_beside_the_others(tmp_path: Path) -> None:
    pixels = {split: np.full((4, 4, 3), level, np.uint8) for level, split in enumerate(("train", "val", "test"))}
    store = write(tmp_path, [good("A", split, "x.png", levels) for split, levels in pixels.items()])
    for split, levels in pixels.items():
        np.testing.assert_array_equal(store.open(split, "A")[0], levels)
    assert set(store.summary["sets"]) == {"trainA", "valA", "testA"}
    assert "valA.u8" in store.summary["files"]


def test_squares_of_training_pictures_are_the_reference_set(tmp_path: Path) -> None:
    pictures = [replace(one, square=one.pixels[:4, :4]) if one.picture.split == "train" else one for one in uniform(8, 4)]
    store = write(tmp_path / "store", pictures)
    found = store.reference("A")
    assert found is not None
    trained = [one for one in pictures if (one.picture.split, one.picture.domain) == ("train", "A")]
    assert found.files == [one.picture.name for one in trained]
    for index, one in enumerate(trained):
        np.testing.assert_array_equal(found[index], one.pixels[:4, :4])
    assert store.open("train", "A").heights == [8] * len(trained), "training does not see them"


def test_the_training_set_is_the_reference_where_it_is_prepared_as_the_test_set(tmp_path: Path) -> None:
    found = write(tmp_path / "same", uniform(8, 8)).reference("B")
    assert found is not None
    assert len(found) == len(SIZES)
    assert write(tmp_path / "other", uniform(8, 4)).reference("B") is None
    assert write(tmp_path / "mixed", mixed()).reference("B") is None


def test_the_test_digest_is_of_the_test_pictures_alone(tmp_path: Path) -> None:
    pictures = uniform(8, 8)
    digest = write(tmp_path / "one", pictures).test_digest
    fewer = [one for one in pictures if one.picture.split == "test" or one.picture.name != "0.png"]
    assert write(tmp_path / "fewer", fewer).test_digest == digest
    changed = [replace(one, pixels=255 - one.pixels) if one.picture.split == "test" else one for one in pictures]
    assert write(tmp_path / "changed", changed).test_digest != digest
    fewer_tests = [one for one in pictures if one.picture.split == "train" or one.picture.name != "0.png"]
    assert write(tmp_path / "fewer tests", fewer_tests).test_digest != digest


def uniform(train: int, test: int) -> list[Good]:
    """Pictures of one size in each split."""
    rng = np.random.default_rng(0)
    return [
        good(domain, split, f"{index}.png", rng.integers(0, 256, (side, side, CHANNELS[domain]), dtype=np.uint8))
        for split, side in (("train", train), ("test", test))
        for index in range(len(SIZES))
        for domain in ("A", "B")
    ]
