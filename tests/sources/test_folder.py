"""The user's own pictures: copied whole, nested or not, whatever their format, or one clear error."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faults.unprivileged import drop

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
    root = fill(tmp_path / "in", "trainA/a.png", "trainB/b.png", "other/c.png", "d.png")
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


def test_all_that_cannot_be_copied_is_named_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 10_000)
    root = fill(tmp_path / "in", "trainA/a.png", "trainB/b.png", "testB/deep/c.png")
    (root / "trainA/lost.png").symlink_to("nowhere.png")
    (root / "trainB/circle.jpg").symlink_to("circle.jpg")
    (root / "trainB/null.png").symlink_to("/dev/null")
    os.mkfifo(root / "testB/deep/pipe.png")
    (root / "testB" / os.fsdecode(b"\xe9.png")).write_bytes(b"x")
    os.truncate(root / "testB/deep/c.png", 10_001)
    with pytest.raises(UserError) as caught:
        folder.make(tmp_path / "out", root, paired_test=False)
    first, *files, last = str(caught.value).splitlines()
    assert first == "6 pictures cannot be copied:"
    assert sorted(line.removeprefix(f"  {root}/") for line in files) == [
        "testB/\\xe9.png: its name is not UTF-8; rename it",
        "testB/deep/c.png: a file of 10,001 bytes; pictures have at most 10,000",
        "testB/deep/pipe.png: not a regular file",
        "trainA/lost.png: cannot be read: a link that leads nowhere",
        "trainB/circle.jpg: cannot be read: Too many levels of symbolic links",
        "trainB/null.png: not a regular file",
    ]
    assert last == "mend or remove them and run again"


def test_what_permissions_forbid_is_named_files_as_well_as_folders(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "trainA/a.png", "trainA/b.png", "trainB/b.png", "testA/deep/c.png")
    code = (
        "import sys; from pathlib import Path; from cyclegan.sources import folder; from cyclegan.errors import UserError\n"
        "try: folder.make(Path(sys.argv[2]), Path(sys.argv[1]), paired_test=False)\n"
        "except UserError as error: print(error)"
    )

    def said() -> str:
        command = [sys.executable, "-c", code, str(root), str(tmp_path / "out")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=drop)
        return done.stdout

    (root / "trainA/a.png").chmod(0)
    (root / "trainB/b.png").chmod(0)
    lines = said().splitlines()
    assert lines[1:3] == [
        f"  {root}/{name}: cannot be read: Permission denied" for name in ("trainA/a.png", "trainB/b.png")
    ]
    (root / "testA/deep").chmod(0)
    assert said() == f"cannot list {root}/testA/deep (Permission denied); mend that and run again\n"
    (root / "testA/deep").chmod(0o755)


def test_a_full_disk_ends_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(tmp_path / "in", "trainA/a.png", "trainA/b.png", "trainB/b.png")
    tried = []

    def refuse(picture: Path, target: Path) -> None:
        tried.append(picture)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", refuse)
    with pytest.raises(UserError, match=r"^cannot write .*out/trainA/a.png: No space left on device; make room"):
        folder.make(tmp_path / "out", root, paired_test=False)
    assert len(tried) == 1


def test_a_set_that_is_a_link_to_nothing_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "trainA/a.png", "trainB/b.png")
    (root / "testA").symlink_to(tmp_path / "unplugged")
    with pytest.raises(UserError, match=r"^cannot list .*testA \(No such file or directory\)"):
        folder.make(tmp_path / "out", root, paired_test=False)


def test_what_is_left_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = fill(tmp_path / "in", "trainA/a.png", "trainB/b.png", "elsewhere/c.png")
    for name in ("trainA/1.heic", "trainA/2.HEIC", "trainA/notes", ".hidden", "trainB/.hidden", "unrelated.txt"):
        (root / name).write_text("x")
    (root / "trainB/more").symlink_to(root / "elsewhere")
    folder.make(tmp_path / "out", root, paired_test=False)
    assert capsys.readouterr().out.splitlines() == [
        f"{root}/trainA/*: 1 file without a picture's suffix left out: notes",
        f"{root}/trainA/*.heic: 2 files without a picture's suffix left out: 1.heic, 2.HEIC",
        f"{root}/trainB/more: a link to a folder is not followed",
    ]


def test_validation_pictures_are_copied_and_are_pairs_where_test_pictures_are(tmp_path: Path) -> None:
    root = tmp_path / "own"
    for name in ("trainA", "trainB", "testA", "testB", "valA", "valB"):
        (root / name).mkdir(parents=True)
        (root / name / "x.png").write_bytes(name.encode())
    paired = folder.make(tmp_path / "paired", root, paired_test=True)
    assert (paired.paired_test, paired.paired_val) == (True, True)
    assert (tmp_path / "paired/valB/x.png").read_bytes() == b"valB"
    assert folder.make(tmp_path / "unpaired", root, paired_test=False).paired_val is False
    (root / "valB/x.png").unlink()
    assert folder.make(tmp_path / "half", root, paired_test=True).paired_val is False
