"""What a working tree has that its commit has not: with the commit it makes the tree again, or says what it cannot make."""

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from project import run

from cyclegan import working_tree
from cyclegan.working_tree import difference

HOSTILE = {  # what users have in ~/.gitconfig, and `git apply` cannot take
    "diff.noprefix": "true",
    "diff.mnemonicPrefix": "true",
    "diff.external": "false",
    "diff.context": "0",
    "diff.relative": "true",
    "diff.renames": "copies",
    "diff.submodule": "log",
    "color.ui": "always",
    "core.quotePath": "false",
    "core.splitIndex": "true",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one commit of text, binary, executable and linked files."""
    folder = tmp_path / "tree"
    (folder / "src").mkdir(parents=True)
    (folder / "src/text.py").write_text("one\ntwo\nthree\n")
    (folder / "src/gone.py").write_text("gone\n")
    (folder / "script").write_text("run\n")
    (folder / "link").symlink_to("script")
    (folder / "picture").write_bytes(b"\0picture")
    (folder / "old picture").write_bytes(b"\0old")
    (folder / ".gitignore").write_text("ignored\n*.ignored\n")
    run(folder, "git", "init", "-q", "-b", "main")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-q", "-m", "a commit")


def rebuilt(tree: Path, patch: str) -> Path:
    """A clone of its commit with the patch applied."""
    clone = tree.with_name("clone")
    run(tree.parent, "git", "clone", "-q", str(tree), str(clone))
    applied = subprocess.run(
        ["git", "apply", "--whitespace=nowarn"],
        cwd=clone,
        input=patch.encode(errors="surrogateescape"),
        capture_output=True,
        check=False,
    )
    assert applied.returncode == 0, applied.stderr
    return clone


def contents(folder: Path) -> dict[str, tuple[str, bool, bytes]]:
    """Of every file but git's own: kind, whether it may be executed, content."""
    files = [Path(base) / name for base, _, names in os.walk(folder) for name in names]
    files += [Path(base) / name for base, names, _ in os.walk(folder) for name in names if (Path(base) / name).is_symlink()]
    return {
        os.fsdecode(file.relative_to(folder)): ("link", False, os.fsencode(file.readlink()))
        if file.is_symlink()
        else ("file", bool(file.stat().st_mode & 0o100), file.read_bytes())
        for file in files
        if ".git" not in file.relative_to(folder).parts
    }


def edit_everything(tree: Path) -> None:
    (tree / "src/text.py").write_bytes(b"one\r\n\xff two\nthree\nno end")
    (tree / "src/gone.py").unlink()
    (tree / "script").chmod(0o755)
    (tree / "link").unlink()
    (tree / "link").symlink_to("src/text.py")
    (tree / "old picture").unlink()
    (tree / "new").mkdir()
    (tree / "new/module.py").write_text("def new() -> None: ...\n\n\n")
    (tree / "new/empty.py").touch()
    (tree / "new/latin.txt").write_bytes(b"caf\xe9\r\nno end")
    (tree / "new/script").write_text("run\n")
    (tree / "new/script").chmod(0o755)
    (tree / "new/link to a folder").symlink_to("../src")
    (tree / 'new/ümlaut "quoted"\tnamed').write_text("@@ -1 +1 @@\n-a\n+b\ndiff --git a/x b/x\n")
    (tree / "-n").write_text("no option\n")
    (tree / "[a-z]*").write_text("no pattern\n")


def test_commit_and_difference_make_the_tree_again(tree: Path) -> None:
    edit_everything(tree)
    patch = difference(tree, [])
    assert working_tree.LEFT_OUT not in patch
    assert contents(rebuilt(tree, patch)) == contents(tree)


def test_what_is_staged_hidden_or_configured_makes_no_difference(tree: Path) -> None:
    edit_everything(tree)
    plain = difference(tree, [])
    run(tree, "git", "add", "-A")
    assert difference(tree, []) == plain
    run(tree, "git", "reset", "-q")
    run(tree, "git", "update-index", "--assume-unchanged", "src/text.py")
    run(tree, "git", "update-index", "--skip-worktree", "script")
    run(tree, "git", "rm", "-q", "--cached", "link")
    assert difference(tree, []) == plain
    for name, value in HOSTILE.items():
        run(tree, "git", "config", name, value)
    assert difference(tree, []) == plain


def test_it_leaves_the_repository_as_it_was(tree: Path) -> None:
    edit_everything(tree)
    (tree / "new/staged.py").write_text("staged\n")
    run(tree, "git", "add", "new/staged.py")
    (tree / "new/staged.py").write_text("staged, and edited\n")
    before = {path: path.read_bytes() for path in (tree / ".git").rglob("*") if path.is_file()}
    patch = difference(tree, [])
    assert {path: path.read_bytes() for path in (tree / ".git").rglob("*") if path.is_file()} == before
    assert contents(rebuilt(tree, patch)) == contents(tree)


def test_a_clean_tree_has_no_difference_and_neither_have_ignored_files_and_those_apart(tree: Path) -> None:
    assert difference(tree, []) == ""
    (tree / "ignored").write_text("x")
    (tree / "src/x.ignored").write_text("x")
    (tree / "picture").write_bytes(b"\0another")
    (tree / "made").mkdir()
    (tree / "made/file").write_text("x")
    (tree / "src/text.py").touch()  # git looks closer then
    assert difference(tree, ["made", "picture"]) == ""
    run(tree, "git", "add", "--force", "ignored")  # whoever does this wants git to have it
    assert '"ignored"' not in difference(tree, ["made", "picture"])
    assert contents(rebuilt(tree, difference(tree, ["made", "picture"])))["ignored"] == ("file", False, b"x")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("new\npicture", b"\x89PNG\r\n\0\xff", "binary, 8 bytes"),
        ("picture", b"\0another", "binary, 8 bytes"),
        ("large", b"\n" * (2**20 + 1), "large, 1048577 bytes"),
    ],
)
def test_what_is_left_out_is_named_with_its_digest_and_the_rest_applies(
    tree: Path, name: str, content: bytes, why: str
) -> None:
    (tree / name).write_bytes(content)
    (tree / "module.py").write_text("new\n")
    patch = difference(tree, [])
    quoted = name.replace("\n", "\\n")
    line = f'left out: "{quoted}": {why}, SHA-256 {hashlib.sha256(content).hexdigest()}\n'
    assert patch.startswith(line + "diff --git a/module.py b/module.py\n")
    clone = contents(rebuilt(tree, patch))
    assert {file for file in contents(tree) if clone.get(file) != contents(tree)[file]} == {name}


def test_alone_what_is_left_out_is_a_difference_too(tree: Path) -> None:
    (tree / "new picture").write_bytes(b"\0")
    assert difference(tree, []).splitlines() == [
        f'left out: "new picture": binary, 1 bytes, SHA-256 {hashlib.sha256(bytes(1)).hexdigest()}'
    ]


def test_many_new_files_are_taken_until_there_are_too_many(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working_tree, "CONTENT_BYTES", 10)
    monkeypatch.setattr(working_tree, "DIGESTED_BYTES", 4)
    for number in range(5):
        (tree / f"{number}.txt").write_text("1234")
    lines = difference(tree, []).splitlines()
    digest = hashlib.sha256(b"1234").hexdigest()
    assert lines[:3] == [
        f'left out: "2.txt": after many others, 4 bytes, SHA-256 {digest}',
        'left out: "3.txt": after many others, 4 bytes',
        'left out: "4.txt": after many others, 4 bytes',
    ]
    assert [line for line in lines if line.startswith("diff")] == [f"diff --git a/{n}.txt b/{n}.txt" for n in range(2)]


def test_a_repository_within_is_named(tree: Path) -> None:
    run(tree, "git", "init", "-q", "within")
    (tree / "within/file").write_text("x")
    assert difference(tree, []) == 'left out: "within/": a repository of its own\n'


def test_below_the_top_of_a_repository_it_says_what_is_below_and_applies_at_the_top(tree: Path) -> None:
    (tree / "script").write_text("elsewhere\n")
    (tree / "src/text.py").write_text("here\n")
    (tree / "src/new.py").write_text("new\n")
    (tree / "src/made").write_text("made\n")
    patch = difference(tree / "src", ["made"])
    clone = contents(rebuilt(tree, patch))
    assert {name for name in clone if clone[name] != contents(tree)[name]} == {"script"}
    assert contents(tree).keys() - clone.keys() == {"src/made"}


def break_objects(tree: Path) -> None:
    for path in (tree / ".git/objects").glob("??/*"):
        path.unlink()


def break_file(tree: Path) -> None:
    (tree / ".git/index").write_bytes(b"no index")


@pytest.mark.parametrize("damage", [break_objects, break_file])
def test_a_tree_that_git_cannot_tell_is_not_called_clean(tree: Path, damage: Callable[[Path], None]) -> None:
    damage(tree)
    assert difference(tree, []).startswith("left out: everything, for git cannot tell it: ")
