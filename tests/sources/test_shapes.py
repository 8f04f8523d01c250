"""Shapes: test sets are the same scenes outlined and filled, training scenes are not, and a seed fixes every byte."""

from pathlib import Path

import numpy as np
import pytest

from cyclegan import images, randomness
from cyclegan.sources import shapes

SETS = ("trainA", "trainB", "testA", "testB")


def make(folder: Path, size: int = 32, n_train: int | None = 30, n_test: int = 20, seed: int = 0) -> Path:
    shapes.make(folder, size, n_train, n_test, seed)
    return folder


def pictures(folder: Path, name: str) -> images.Pixels:
    return np.stack([images.read(path, 3) for path in sorted((folder / name).iterdir())]).astype(int)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


def inks(whole: images.Pixels) -> images.Pixels:
    return (whole == 0).all(axis=3)


def test_counts_and_sizes(tmp_path: Path) -> None:
    folder = make(tmp_path / "x", size=20, n_train=7, n_test=3)
    assert {name: pictures(folder, name).shape for name in SETS} == {
        "trainA": (7, 20, 20, 3),
        "trainB": (7, 20, 20, 3),
        "testA": (3, 20, 20, 3),
        "testB": (3, 20, 20, 3),
    }
    provenance = shapes.make(tmp_path / "default", 16, None, 1, 0)
    assert provenance.paired_test is True
    assert len(list((tmp_path / "default" / "trainA").iterdir())) == shapes.DEFAULT_COUNT == 400


def test_test_sets_are_true_pairs(tmp_path: Path) -> None:
    folder = make(tmp_path / "x", size=64)
    outlined, filled = pictures(folder, "testA"), pictures(folder, "testB")
    np.testing.assert_array_equal(inks(outlined), inks(filled))
    assert (inks(outlined).sum(axis=(1, 2)) > 10).all()
    assert (filled <= outlined).all()  # filling only darkens
    assert [path.name for path in sorted((folder / "testA").iterdir())] == [
        path.name for path in sorted((folder / "testB").iterdir())
    ]


def test_training_scenes_differ_from_one_another_and_from_the_test_scenes(tmp_path: Path) -> None:
    folder = make(tmp_path / "x", size=64)
    scenes = [inks(pictures(folder, name)) for name in ("trainA", "trainB", "testA")]
    every = [scene.tobytes() for scene in np.concatenate(scenes)]
    assert len(every) == 80
    assert len(set(every)) == len(every)


def test_outlines_are_grey_and_fillings_have_the_colour_of_their_kind(tmp_path: Path) -> None:
    folder = make(tmp_path / "x", size=64)
    assert np.ptp(pictures(folder, "trainA"), axis=3).max() == 0
    filled = pictures(folder, "trainB").reshape(-1, 3)
    pure = [(filled == colour).all(axis=1).mean() for colour in [(255,) * 3, (0,) * 3, *shapes.COLOURS.values()]]
    assert all(share > 0.005 for share in pure)
    assert sum(pure) > 0.9  # the rest are smooth edges


def test_a_seed_fixes_every_byte(tmp_path: Path) -> None:
    once = contents(make(tmp_path / "once"))
    assert contents(make(tmp_path / "again")) == once
    other = contents(make(tmp_path / "other", seed=1))
    assert other.keys() == once.keys()
    assert not set(other.values()) & set(once.values())
    more = contents(make(tmp_path / "more", n_train=35, n_test=25))
    assert {name: more[name] for name in once} == once


@pytest.mark.parametrize("size", [16, 33, 128])
def test_scenes_scale_with_the_picture(size: int) -> None:
    small, large = (shapes.scene(randomness.generator(0, "t", 3), side, filled=True) for side in (size, 2 * size))
    assert small.shape == (size, size, 3)
    reduced = images.resize(large, size, size)
    assert np.abs(reduced.astype(int) - small).mean() < 12


def test_validation_pairs_are_scenes_of_their_own_and_change_no_other_set(tmp_path: Path) -> None:
    without, folder = make(tmp_path / "without", size=64), tmp_path / "with"
    assert shapes.make(folder, 64, 30, 20, 0, n_val=7).paired_val is True
    assert shapes.make(tmp_path / "none", 64, 1, 1, 0).paired_val is False
    assert {path.name for path in without.iterdir()} == set(SETS)  # not even an empty folder
    found = contents(folder)
    val = {name: found.pop(name) for name in list(found) if name.startswith("val")}
    assert found == contents(without)
    assert len(val) == 14
    outlined, filled = pictures(folder, "valA"), pictures(folder, "valB")
    np.testing.assert_array_equal(inks(outlined), inks(filled))
    others = {scene.tobytes() for name in ("trainA", "trainB", "testA") for scene in inks(pictures(folder, name))}
    assert not others & {scene.tobytes() for scene in inks(outlined)}
