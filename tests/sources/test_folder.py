"""The user's own pictures: copied whole, nested or not, whatever their format, or one clear error."""

from pathlib import Path

import numpy as np
import pytest

from cyclegan import images
from cyclegan.errors import UserError
from cyclegan.sources import folder

PICTURE = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)


def fill(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, PICTURE)
    return root


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_pictures_are_copied_byte_by_byte_under_their_names(tmp_path: Path) -> None:
    names = ("trainA/1.JPG", "trainA/deep/er/1.jpg", "trainA/2.Png", "trainB/é ü.tiff", "testA/x.webp", "testB/x.bmp")
    root = fill(tmp_path / "in", *names)
    provenance = folder.make(tmp_path / "out", root, paired_test=True)
    assert tree(tmp_path / "out") == tree(root)
    assert set(tree(root)) == set(names)
    assert provenance.paired_test is True
    assert provenance.name == "folder"


@pytest.mark.parametrize("suffix", sorted(images.SUFFIXES))
def test_every_known_suffix_is_found_in_either_case(tmp_path: Path, suffix: str) -> None:
    root = fill(tmp_path / "in", f"trainA/a{suffix}", f"trainB/b{suffix.upper()}")
    folder.make(tmp_path / "out", root, paired_test=False)
    assert set(tree(tmp_path / "out")) == {f"trainA/a{suffix}", f"trainB/b{suffix.upper()}"}


def test_what_is_no_picture_is_left_where_it_is(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "trainA/a.png", "trainB/b.png", "valA/c.png", "d.png")
    for name in ("trainA/notes.txt", "trainA/Thumbs.db", "trainB/.DS_Store", "readme.md"):
        (root / name).write_text("x")
    (root / "trainA" / "folder.png").mkdir()
    folder.make(tmp_path / "out", root, paired_test=False)
    assert set(tree(tmp_path / "out")) == {"trainA/a.png", "trainB/b.png"}


def test_links_to_files_are_copied_as_files(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "trainA/a.png", "trainB/b.png")
    fill(tmp_path / "elsewhere", "c.png")
    (root / "trainA" / "c.png").symlink_to(tmp_path / "elsewhere" / "c.png")
    folder.make(tmp_path / "out", root, paired_test=False)
    assert not (tmp_path / "out/trainA/c.png").is_symlink()
    assert tree(tmp_path / "out")["trainA/c.png"] == (tmp_path / "elsewhere" / "c.png").read_bytes()


def test_one_test_set_alone_is_allowed_without_pairs(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "trainA/a.png", "trainB/b.png", "testA/c.png")
    assert folder.make(tmp_path / "out", root, paired_test=False).paired_test is False
    assert "testA/c.png" in tree(tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["trainB/b.png"], "no pictures in its trainA;"),
        (["trainA/a.png"], "no pictures in its trainB;"),
        (["testA/a.png"], "no pictures in its trainA and trainB;"),
        (["trainA.png", "trainB/b.png"], "no pictures in its trainA;"),
    ],
)
def test_training_sets_must_be_there(tmp_path: Path, names: list[str], word: str) -> None:
    root = fill(tmp_path / "in", *names)
    (root / "trainA").mkdir(exist_ok=True)
    with pytest.raises(UserError) as caught:
        folder.make(tmp_path / "out", root, paired_test=False)
    assert word in str(caught.value)
    assert f"dataset.path is {root} in params.yaml" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(UserError, match=r"dataset\.path .*there is no such folder") as caught:
            folder.make(tmp_path / "out", path, paired_test=False)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("present", [[], ["testA/a.png"], ["testB/b.png"]])
def test_pairs_need_both_test_sets(tmp_path: Path, present: list[str]) -> None:
    root = fill(tmp_path / "in", "trainA/a.png", "trainB/b.png", *present)
    with pytest.raises(UserError, match=r"dataset\.paired_test is true .*testA or in testB"):
        folder.make(tmp_path / "out", root, paired_test=True)
    assert not (tmp_path / "out").exists()
