"""Commits by their names, and the files in them, read without a checkout."""

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cyclegan import lineage
from cyclegan.errors import UserError

SHORT = 8  # digits of a commit, of a run's id or of a key, on the screen
FILE_MODES = ("100644", "100755")  # not symbolic links, not submodules
KINDS = {"refs/heads/": "branch", "refs/remotes/": "branch", "refs/tags/": "tag", lineage.EXPERIMENTS: "experiment"}
EXECUTION = "exec/"  # of refs/exps/: what DVC keeps while an experiment runs


def commits_of(root: Path, name: str) -> list[str]:
    """The commits of a name: one of a hash, branch, tag or HEAD~1; perhaps several experiments of DVC with one name.

    Raises:
        UserError: there is none, or no git repository.
    """
    if lineage.git(root, "rev-parse", "--git-dir") is None:
        raise UserError(f"{root} is in no git repository, which commits are read from; run in a clone of the project")
    found = lineage.commits_named(root, name)
    if not found:
        raise UserError(
            f"there is no commit, branch, tag or experiment {name}; `git log --all --oneline` and `dvc exp list --all` "
            f"list what there is, and `git fetch` or `dvc exp pull` gets what others have"
        )
    return found


def one_commit(root: Path, name: str) -> str:
    """The commit of a name.

    Raises:
        UserError: there is none, or there are several, or no git repository.
    """
    found = commits_of(root, name)
    if len(found) > 1:
        known = ", ".join(commit[:SHORT] for commit in found)
        raise UserError(f"{name} is the name of several experiments; name one by its commit: {known}")
    return found[0]


def changing(root: Path, path: Path) -> list[str]:
    """Every commit of any branch, tag or experiment that changed a file, newest first, and none before its descendants."""
    return (lineage.git(root, "rev-list", "--all", "--date-order", "--", path.as_posix()) or "").split()


def last_change(root: Path, commit: str, path: Path) -> str | None:
    """The commit that gave a file the content that it has in `commit`; None where it has none."""
    return lineage.git(root, "log", "-1", "--format=%H", commit, "--", path.as_posix()) or None


def names_by_commit(root: Path) -> dict[str, list[str]]:
    """The branches, tags and experiments, as "branch main", by the commit that each of them ends at."""
    lines = lineage.git(root, "for-each-ref", "--format=%(objectname) %(*objectname) %(refname)") or ""
    names: dict[str, list[str]] = {}
    for line in lines.splitlines():
        own, annotated, reference = line.split(" ", 2)  # an annotated tag is an object of its own
        for start, kind in KINDS.items():
            name = reference.removeprefix(start)
            if name == reference or (kind == "experiment" and name.startswith(EXECUTION)):
                continue
            name = name.split("/", 2)[-1] if kind == "experiment" else name
            names.setdefault(annotated or own, []).append(f"{kind} {name}")
    return names


def file_of_each(root: Path, commits: Sequence[str], path: Path) -> dict[str, bytes]:
    """A file as each of the commits has it; those without it are left out."""
    inside = lineage.git(root, "rev-parse", "--show-prefix") or ""  # the project may be a folder of a larger repository
    names = [f"{commit}:{inside}{path.as_posix()}" for commit in commits]
    return {commit: data for commit, data in zip(commits, _objects(root, names), strict=True) if data is not None}


@dataclass(frozen=True)
class Tree:
    """The project's files in a commit, as git has them.

    Attributes:
        root: the project's folder.
        commit: the full hash.
        blobs: git's own hash of every file, by its path in the project; neither links nor submodules.
    """

    root: Path
    commit: str
    blobs: dict[str, str]

    @cached_property
    def folders(self) -> set[str]:
        """Every folder that holds a file, however deep."""
        return {parent.as_posix() for path in self.blobs for parent in Path(path).parents}

    def under(self, path: str) -> list[str]:
        """The file of that path, or all files in the folder, in order; none where there is neither."""
        if path in self.blobs:
            return [path]
        return sorted(name for name in self.blobs if name.startswith(f"{path}/")) if path in self.folders else []

    def read(self, path: Path) -> bytes | None:
        """A file; None where the commit has none of that path."""
        return self.read_all([path.as_posix()]).get(path.as_posix())

    def read_all(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Those of the files that the commit has, by their paths, in one go."""
        there = [path for path in paths if path in self.blobs]
        found = zip(there, _objects(self.root, [self.blobs[path] for path in there]), strict=True)
        return {path: data for path, data in found if data is not None}

    def extract(self, paths: Iterable[str], target: Path) -> None:
        """Write the files of these paths, and those in these folders, under `target`."""
        files = [file for path in paths for file in self.under(path)]
        for name, data in self.read_all(files).items():
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)


def tree_of(root: Path, commit: str) -> Tree:
    """The files of a commit, by its full hash."""
    listed = lineage.git(root, "ls-tree", "-r", "-z", commit) or ""
    blobs: dict[str, str] = {}
    for entry in listed.split("\0"):
        about, _, path = entry.partition("\t")
        mode, _, blob = about.partition(" blob ")
        if mode in FILE_MODES:
            blobs[path] = blob
    return Tree(root, commit, blobs)


def _objects(root: Path, names: Sequence[str]) -> list[bytes | None]:
    """The content of each object that git has under these names."""
    if not names:
        return []
    asked = "".join(f"{name}\n" for name in names).encode()
    command = ["git", "cat-file", "--batch"]
    answer = subprocess.run(command, cwd=root, input=asked, capture_output=True, check=True).stdout
    found: list[bytes | None] = []
    start = 0
    for _ in names:
        end = answer.index(b"\n", start)
        about = answer[start:end].split(b" ")  # hash, kind and size; or what was asked for, and "missing"
        start = end + 1
        if about[-1] in (b"missing", b"ambiguous"):
            found.append(None)
            continue
        size = int(about[-1])
        found.append(answer[start : start + size] if about[-2] == b"blob" else None)
        start += size + 1
    return found
