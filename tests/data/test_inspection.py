"""All that is wrong with a data set is found in one pass, nothing is written, and what is usable is handed on in order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cyclegan import images
from cyclegan.config import Config
from cyclegan.data import inspection
from cyclegan.data.checks import Good
from cyclegan.data.inspection import Report, inspect

Settings = Callable[..., Config]


def noise(seed: int, height: int = 24, width: int = 20) -> images.Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Six pictures a training set, two a test set, all different."""
    counts = {"trainA": 6, "trainB": 6, "testA": 2, "testB": 2}
    for folder, (name, count) in enumerate(counts.items()):
        (tmp_path / name).mkdir()
        for number in range(count):
            images.write(tmp_path / name / f"{number}.png", noise(10 * folder + number))
    return tmp_path


def rows(report: Report) -> list[tuple[str, str, str]]:
    return [(row.problem, f"{row.set}/{row.file}", row.detail) for row in report.problems]


def tree(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*")}


def test_a_sound_data_set_has_no_problems_and_its_sizes_are_told(raw: Path, make_config: Settings) -> None:
    images.write(raw / "trainA/wide.png", noise(99, 20, 40))
    before = tree(raw)
    report = inspect(raw, make_config(), paired_test=True)
    assert tree(raw) == before
    assert (report.problems, report.failures) == ((), ())
    assert {name: (entry.pictures, entry.usable) for name, entry in report.sets.items()} == {
        "trainA": (7, 7),
        "testA": (2, 2),
        "trainB": (6, 6),
        "testB": (2, 2),
    }
    assert report.sets["trainA"].sizes == {(20, 24): 6, (40, 20): 1}
    assert report.sets["trainA"].packed_bytes == 7 * (36 * 36 + 32 * 32) * 3
    assert report.sets["testB"].packed_bytes == 2 * 32 * 32 * 3


@pytest.mark.parametrize("workers", [1, 3])
def test_usable_pictures_are_handed_on_scaled_and_in_order(raw: Path, make_config: Settings, workers: int) -> None:
    (raw / "trainA/2.png").write_bytes(b"")
    used: list[Good] = []
    settings = make_config(**{"runtime.workers": workers, "dataset.on_bad_image": "skip"})
    inspect(raw, settings, paired_test=False, use=used.append)
    names = [(good.picture.domain, good.picture.split, good.picture.name) for good in used]
    assert names == [
        (domain, split, f"{number}.png")
        for domain in "AB"
        for split, count in (("train", 6), ("test", 2))
        for number in range(count)
        if (domain, split, number) != ("A", "train", 2)
    ]
    for good in used:
        side = 36 if good.picture.split == "train" else 32
        wanted = images.resize(images.read(good.picture.path, 3), side, side)
        np.testing.assert_array_equal(good.pixels, wanted)


@pytest.mark.parametrize("on_bad", ["error", "skip"])
@pytest.mark.parametrize("on_leak", ["error", "report"])
def test_what_is_wrong_is_reported_whatever_it_leads_to(
    raw: Path, make_config: Settings, on_bad: str, on_leak: str
) -> None:
    (raw / "trainB/3.png").write_bytes(b"hello")
    images.write(raw / "testA/copy.bmp", noise(1))
    settings = make_config(**{"dataset.on_bad_image": on_bad, "dataset.on_leak": on_leak})
    report = inspect(raw, settings, paired_test=False)
    assert rows(report) == [
        ("bad", "trainB/3.png", "not a picture in a known format"),
        ("leak", "testA/copy.bmp", "the same pixels, in training and test"),
    ]
    assert report.problems[1].other == "trainA/1.png"
    words = ["1 of 17 pictures cannot be used"] * (on_bad == "error") + ["1 of 17 pictures lie in"] * (on_leak == "error")
    assert len(report.failures) == len(words)
    assert all(failure.startswith(word) for failure, word in zip(report.failures, words, strict=True))


def test_a_pair_of_which_one_is_bad_is_left_out_whole_and_leaks_nothing(raw: Path, make_config: Settings) -> None:
    (raw / "testA/1.png").write_bytes(b"")
    images.write(raw / "testB/1.png", noise(12))  # lies in trainB, too
    report = inspect(raw, make_config(), paired_test=True)
    assert rows(report) == [
        ("bad", "testA/1.png", "empty file"),
        ("bad", "testB/1.png", "its counterpart in the other domain is bad"),
    ]
    assert rows(inspect(raw, make_config(), paired_test=False))[1][:2] == ("leak", "testB/1.png")


def test_true_pairs_are_no_leak_of_one_another(raw: Path, make_config: Settings) -> None:
    images.write(raw / "testB/1.png", images.read(raw / "testA/1.png", 3))
    assert rows(inspect(raw, make_config(), paired_test=True)) == []
    assert rows(inspect(raw, make_config(), paired_test=False)) == [
        ("leak", "testB/1.png", "the same file, in both domains")
    ]


def test_paths_are_those_of_the_raw_folders_in_whichever_direction(raw: Path, make_config: Settings) -> None:
    (raw / "trainB/3.png").write_bytes(b"hello")
    images.write(raw / "testA/copy.png", noise(1))
    for direction in ("AtoB", "BtoA"):
        report = inspect(raw, make_config(**{"preprocess.direction": direction}), paired_test=False)
        assert [(row.set, row.file, row.other) for row in report.problems] == [
            ("trainB", "3.png", ""),
            ("testA", "copy.png", "trainA/1.png"),
        ]


def test_a_held_out_twin_is_a_leak_and_says_of_what(tmp_path: Path, make_config: Settings) -> None:
    for name in ("trainA", "trainB"):
        (tmp_path / name).mkdir()
        for number in range(12):  # twelve times the same: wherever the line is drawn, it separates twins
            images.write(tmp_path / name / f"{number:02d}.png", noise(number if name == "trainA" else 50))
    settings = make_config(**{"dataset.val_fraction": 0.1, "dataset.test_fraction": 0.1})
    report = inspect(tmp_path, settings, paired_test=False)
    details = [(row.problem, row.set, row.detail) for row in report.problems]
    assert sorted(details) == [
        ("leak", "trainB", "the same file, in training and test"),
        ("leak", "trainB", "the same file, in training and validation"),
        *[("note", "trainB", "the same file, twice in its set")] * 9,
    ]


@pytest.mark.parametrize(("size", "noted"), [((20, 60), False), ((20, 61), True), ((61, 20), True)])
def test_only_what_is_pressed_into_a_square_is_noted(
    raw: Path, make_config: Settings, size: tuple[int, int], noted: bool
) -> None:
    images.write(raw / "trainA/x.png", noise(99, *size))
    detail = f"{size[1]} x {size[0]} px, pressed into a square by preprocess.mode resize_and_crop"
    assert rows(inspect(raw, make_config(), paired_test=False)) == [("note", "trainA/x.png", detail)] * noted
    other = make_config(**{"preprocess.mode": "scale_shortside_and_crop"})
    assert rows(inspect(raw, other, paired_test=False)) == []


def test_mistakes_of_the_layout_are_failures_beside_what_else_is_wrong(raw: Path, make_config: Settings) -> None:
    (raw / "testA/alone.png").write_bytes(b"")
    report = inspect(raw, make_config(), paired_test=True)
    assert [failure.split(";")[0] for failure in report.failures] == [
        "dataset.paired_test is true in params.yaml, but only one of testA and testB has: alone",
        "1 of 17 pictures cannot be used",
    ]
    assert rows(report) == [("bad", "testA/alone.png", "empty file")]
    for path in (raw / "trainB").iterdir():
        path.unlink()
    (raw / "trainB/x.heic").touch()
    report = inspect(raw, make_config(), paired_test=True)
    (failure,) = report.failures
    assert "trainB has no pictures left to train on" in failure
    assert rows(report) == [("note", "trainB/*.heic", "1 file without a picture's suffix left out: x.heic")]


def test_a_set_without_a_usable_picture_is_a_failure(raw: Path, make_config: Settings) -> None:
    for path in (raw / "testB").iterdir():
        path.write_bytes(b"")
    report = inspect(raw, make_config(**{"dataset.on_bad_image": "skip"}), paired_test=False)
    assert report.failures == ("no usable picture is left in testB; add pictures to it",)


def test_few_pictures_are_decoded_ahead(raw: Path, make_config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(60):
        images.write(raw / "trainA" / f"more{number}.png", noise(1000 + number))
    decoded: list[Any] = []
    prepare = inspection._prepare

    def counted(picture: Any, config: Config) -> Any:
        decoded.append(picture)
        return prepare(picture, config)

    monkeypatch.setattr(inspection, "_prepare", counted)
    used, most = 0, 0

    def use(good: Good) -> None:
        nonlocal used, most
        used += 1
        most = max(most, len(decoded) - used)

    inspect(raw, make_config(**{"runtime.workers": 2}), paired_test=False, use=use)
    assert used == len(decoded) == 76
    assert most <= 2 * inspection.AHEAD + 1


def test_true_validation_pairs_stay_whole_are_no_leak_and_leak_into_other_sets(raw: Path, make_config: Settings) -> None:
    for number in range(3):
        for name in ("valA", "valB"):
            (raw / name).mkdir(exist_ok=True)
            images.write(raw / name / f"{number}.png", noise(60 + number))  # the same in both domains
    images.write(raw / "trainA/twin.png", noise(60))
    images.write(raw / "testB/1.png", noise(61))
    images.write(raw / "testA/1.png", noise(77))
    (raw / "valB/2.png").write_bytes(b"")
    used: list[Good] = []
    settings = make_config(**{"dataset.on_bad_image": "skip"})
    report = inspect(raw, settings, paired_test=True, paired_val=True, use=used.append)
    assert rows(report) == [
        ("bad", "valA/2.png", "its counterpart in the other domain is bad"),
        ("bad", "valB/2.png", "empty file"),
        ("leak", "valA/0.png", "the same file, in training and validation"),
        ("leak", "valB/0.png", "the same file, in training and validation, of different domains"),
        ("leak", "testB/1.png", "the same file, in validation and test, of different domains"),
    ]
    assert list(report.sets) == ["trainA", "valA", "testA", "trainB", "valB", "testB"]
    assert {name: entry.usable for name, entry in report.sets.items()} == {
        "trainA": 7, "valA": 2, "testA": 2, "trainB": 6, "valB": 2, "testB": 2
    }  # fmt: skip
    held_out = [
        (good.picture.domain, good.picture.split, good.picture.name) for good in used if good.picture.split == "val"
    ]
    assert held_out == [(domain, "val", f"{number}.png") for domain in "AB" for number in range(2)]
    assert all(good.pixels.shape == (32, 32, 3) for good in used if good.picture.split == "val")
    unpaired = inspect(raw, settings, paired_test=True)
    assert ("leak", "valB/1.png", "the same file, in both domains") in rows(unpaired)


def test_a_share_to_hold_out_beside_a_validation_set_is_one_failure(raw: Path, make_config: Settings) -> None:
    for name in ("valA", "valB"):
        (raw / name).mkdir()
        images.write(raw / name / "x.png", noise(60 + len(list((raw / name).parent.iterdir()))))
    report = inspect(raw, make_config(**{"dataset.val_fraction": 0.2}), paired_test=False)
    assert len(report.failures) == 1
    assert "set dataset.val_fraction to 0" in report.failures[0]


def squares_of(raw: Path, config: Config) -> list[images.Pixels | None]:
    taken: list[Good] = []
    inspect(raw, config, paired_test=True, use=taken.append)
    assert all(good.square is None for good in taken if good.picture.split != "train")
    return [good.square for good in taken if good.picture.split == "train"]


def test_training_pictures_are_kept_also_as_test_pictures_are(raw: Path, make_config: Settings) -> None:
    squares = squares_of(raw, make_config())
    assert len(squares) == 12
    expected, _ = images.decode((raw / "trainA/0.png").read_bytes(), 3, (255, 255, 255))
    assert squares[0] is not None
    np.testing.assert_array_equal(squares[0], images.resize(expected, 32, 32))
    report = inspect(raw, make_config(), paired_test=True)
    assert report.sets["trainA"].packed_bytes == 6 * (36 * 36 + 32 * 32) * 3


def test_they_are_not_kept_where_that_is_not_asked_for_or_they_are_the_same(raw: Path, make_config: Settings) -> None:
    assert set(map(type, squares_of(raw, make_config(**{"preprocess.reference_set": False})))) == {type(None)}
    assert set(map(type, squares_of(raw, make_config(**{"preprocess.load_size": 32})))) == {type(None)}


def test_a_picture_that_is_trained_on_but_too_small_to_be_scored_is_not_kept(raw: Path, make_config: Settings) -> None:
    for name in ("testA", "testB"):
        for path in (raw / name).iterdir():
            images.write(path, noise(50 + ord(name[-1]) + int(path.stem), 40, 40))
    images.write(raw / "trainA/large.png", noise(77, 40, 40))
    squares = squares_of(raw, make_config(**{"preprocess.mode": "none"}))
    assert [square is not None for square in squares] == [False] * 6 + [True] + [False] * 6
