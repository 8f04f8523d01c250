"""Digests as DVC makes them: of a file its MD5, of a folder that of a list of its files."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from cyclegan.history.commits import Tree
from cyclegan.history.lock import DIRECTORY, Recorded

IGNORED = {"__pycache__"}  # by .dvcignore; git has no such files


def in_tree(tree: Tree, path: str) -> Recorded | None:
    """A file or folder as a commit has it; None where git keeps nothing there."""
    contents = tree.read_all(tree.under(path))
    if path in contents:
        return _file(path, contents[path])
    return folder(path, {name.removeprefix(f"{path}/"): data for name, data in contents.items()}) if contents else None


def folder(path: str, files: Mapping[str, bytes]) -> Recorded:
    """A folder of these files, by their paths in it."""
    return _folder(path, {name: (md5(data), len(data)) for name, data in files.items()})


def on_disk(path: Path, name: str) -> Recorded | None:
    """A file or folder as it lies on the disk, under a name; None where there is none."""
    if path.is_file():
        return Recorded(name, _md5_of(path), path.stat().st_size, None)
    if not path.is_dir():
        return None
    return _folder(name, {inside: (digest, (path / inside).stat().st_size) for inside, digest in listing(path).items()})


def is_on_disk(path: Path, recorded: Recorded) -> bool:
    """Whether a file or folder lies there as recorded; nothing is read where sizes tell already."""
    files = [path] if path.is_file() else _files(path)
    if recorded.size is not None and sum(file.stat().st_size for file in files) != recorded.size:
        return False
    found = on_disk(path, recorded.path)
    return found is not None and found.md5 == recorded.md5


def listing(path: Path) -> dict[str, str]:
    """The digests of the files of a folder on the disk, by their paths in it."""
    return {file.relative_to(path).as_posix(): _md5_of(file) for file in _files(path)}


def md5(data: bytes) -> str:
    """Of a file's content."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file() and not IGNORED & set(file.relative_to(path).parts)]


def _file(path: str, data: bytes) -> Recorded:
    return Recorded(path, md5(data), len(data), None)


def _folder(path: str, files: Mapping[str, tuple[str, int]]) -> Recorded:
    """Of the digest and size of each file."""
    listed = [{"md5": files[name][0], "relpath": name} for name in sorted(files)]
    digest = md5(json.dumps(listed, sort_keys=True).encode())
    return Recorded(path, digest + DIRECTORY, sum(size for _, size in files.values()), len(files))


def _md5_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
