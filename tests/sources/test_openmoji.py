"""OpenMoji: glyphs split without overlap, by seed and code point alone, and line art that is the colour version's lines."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cyclegan import images
from cyclegan.errors import UserError
from cyclegan.sources import openmoji

SETS = ("trainA", "trainB", "testA", "testB")
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def points() -> list[int]:
    font = openmoji._font_bytes()
    return openmoji._selected(openmoji._line_art(font), font)


@pytest.fixture
def make(tmp_path: Path, points: list[int], monkeypatch: pytest.MonkeyPatch) -> Make:
    """Draw a data set; the glyphs are judged once for all tests."""
    monkeypatch.setattr(openmoji, "_selected", lambda *_: list(points))

    def draw(name: str, size: int = 24, n_train: int | None = 20, n_test: int = 10, seed: int = 0, n_val: int = 0) -> Path:
        openmoji.make(tmp_path / name, size, n_train, n_test, seed, n_val)
        return tmp_path / name

    return draw


def names(folder: Path) -> dict[str, list[str]]:
    return {name: sorted(path.name for path in (folder / name).iterdir()) for name in SETS}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


def pictures(folder: Path, name: str) -> images.Pixels:
    return np.stack([images.read(path, 3) for path in sorted((folder / name).iterdir())])


def test_all_glyphs_are_used_and_none_twice(make: Make, points: list[int]) -> None:
    found = names(make("all", n_train=None, n_test=120))
    assert found["testA"] == found["testB"]
    assert len(found["testA"]) == 120
    assert len(found["trainA"]) == len(found["trainB"]) == (len(points) - 120) // 2
    used = found["trainA"] + found["trainB"] + found["testA"]
    assert len(used) == len(set(used))
    assert {int(name.removesuffix(".png"), 16) for name in used} <= set(points)
    assert len(points) - len(used) <= 1


def test_there_are_as_many_glyphs_as_the_documents_say(points: list[int]) -> None:
    everything = openmoji._code_points()
    assert 1450 < len(everything) < 1550
    assert 900 < len(points) < 1050
    assert set(points) < set(everything)
    assert points == sorted(set(points))
    assert not any(0xE000 <= point <= 0xF8FF for point in everything)  # the private use area holds brand logos


def test_no_two_glyphs_have_the_same_lines(points: list[int]) -> None:
    """Else a test drawing could lie in the training set under another name, as that of a heart of another colour."""
    draw = openmoji._Renderer(openmoji._line_art(openmoji._font_bytes()), openmoji.SELECTION_SIZE)
    hearts = [point for point in (0x2764, 0x1F9E1, 0x1F49B, 0x1F49A) if draw(point).tobytes() == draw(0x2764).tobytes()]
    assert len(hearts) > 1
    assert len(set(hearts) & set(points)) == 1
    assert len({draw(point).tobytes() for point in points}) == len(points)


def test_the_same_seed_draws_the_same_bytes(make: Make) -> None:
    once = contents(make("once"))
    assert contents(make("again")) == once
    assert len(once) == 60


def test_the_split_depends_on_the_seed_alone(make: Make) -> None:
    first, other_seed = names(make("first")), names(make("seed", seed=1))
    assert names(make("size", size=16)) == first
    for name in SETS:
        assert len(set(first[name]) & set(other_seed[name])) < len(first[name]) / 2
    fewer = names(make("fewer", n_train=7))
    assert fewer["testA"] == first["testA"]
    assert set(fewer["trainA"]) < set(first["trainA"])
    assert set(fewer["trainB"]) < set(first["trainB"])


def test_pictures_have_the_size_asked_for(make: Make) -> None:
    for size in (16, 40):
        assert pictures(make(str(size), size, n_train=3, n_test=2), "trainB").shape == (3, size, size, 3)


def test_line_art_has_no_colour_and_colour_has(make: Make) -> None:
    folder = make("x", size=64, n_train=40)
    line, colour = pictures(folder, "trainA"), pictures(folder, "trainB")
    assert np.ptp(line, axis=3).max() == 0
    assert ((np.ptp(colour, axis=3) > 64).mean(axis=(1, 2)) >= 0.02).all()
    assert ((line < 128).all(axis=3).mean(axis=(1, 2)) >= 0.02).all()
    for whole in (line, colour):  # white paper, and nothing is clipped
        for edge in (whole[:, 0], whole[:, -1], whole[:, :, 0], whole[:, :, -1]):
            assert (edge == 255).all()


def test_both_renderings_of_a_test_glyph_share_their_lines(make: Make) -> None:
    folder = make("x", size=64, n_train=1, n_test=150)
    line, colour = (pictures(folder, name).mean(axis=3) for name in ("testA", "testB"))
    ink = line < 64
    share = np.array([(of_colour[of_ink] < 128).mean() for of_colour, of_ink in zip(colour, ink, strict=True)])
    assert np.median(share) > 0.99  # some glyphs paint over a few of their lines
    assert (share > 0.9).mean() > 0.75
    stranger = np.roll(colour, 1, axis=0)
    assert (stranger[ink] < 128).mean() < 0.5 < 0.9 < (colour[ink] < 128).mean()
    # And colour adds no lines of its own: what is black in colour is ink in the line art.
    assert (line[colour < 8] < 128).mean() > 0.95


def test_more_than_there_are_is_an_error(make: Make, points: list[int], tmp_path: Path) -> None:
    most = (len(points) - 10) // 2
    for n_train, n_test in ((most + 1, 10), (None, len(points)), (1, len(points) - 1), (None, 10**6)):
        with pytest.raises(UserError, match=rf"n_train is {n_train} and .*n_test is {n_test} .* {len(points)} glyphs"):
            make("much", n_train=n_train, n_test=n_test)
    assert not (tmp_path / "much").exists()
    assert len(names(make("most", size=16, n_train=most))["trainB"]) == most


def test_provenance_names_licence_and_authors(tmp_path: Path, make: Make) -> None:
    provenance = openmoji.make(tmp_path / "x", 16, 1, 1, 0)
    assert provenance.paired_test is True
    assert "CC BY-SA 4.0" in provenance.licence
    assert "OpenMoji" in provenance.attribution
    provenance.save(tmp_path)
    assert type(provenance).load(tmp_path) == provenance


def test_validation_pairs_are_glyphs_of_their_own_and_move_no_other(make: Make, points: list[int]) -> None:
    without, some = make("without"), make("some", n_val=6)
    found = contents(some)
    val = {name for name in found if name.startswith("val")}
    assert {name: found[name] for name in found if name not in val} == contents(without)
    glyphs = sorted(path.name for path in (some / "valA").iterdir())
    assert glyphs == sorted(path.name for path in (some / "valB").iterdir())
    assert len(glyphs) == 6
    assert not set(glyphs) & {name for members in names(some).values() for name in members}

    every = names(make("every", n_train=None, n_val=40))
    assert len(every["trainA"]) == len(every["trainB"]) == (len(points) - 10 - 40) // 2
    most = (len(points) - 10 - 40) // 2
    with pytest.raises(UserError, match=r"dataset\.n_val is 40, .* 2 x n_train \+ n_test \+ n_val"):
        make("much", n_train=most + 1, n_val=40)
