"""What a git working tree has that its commit has not, as one text: `git apply` makes the tree again from both."""

import contextlib
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

LARGEST_BYTES = 2**20  # of a new text file whose content is taken in
CONTENT_BYTES = 2**23  # of all of them together: what is logged goes to a server, and no repository's code is larger
DIGESTED_BYTES = 2**28  # of what is left out: a folder of pictures that nobody ignored must not delay a training
LEFT_OUT = "left out: "  # how a line begins that names a file whose content is not there; `git apply` passes over it
HEAD_BYTES = 8000  # in which git, too, looks for the zero that tells a binary file
SETTINGS = (
    *("-c", "core.splitIndex=false", "-c", "core.fsmonitor=false"),  # either would write beside the user's index
    *("-c", "core.quotePath=true"),
)
SAME_FOR_EVERYBODY = (  # users may have configured any of these otherwise, and then git would not apply what it says
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-relative",
    "--no-renames",
    "--full-index",
    "--submodule=short",
    "--unified=3",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)


def difference(workspace: Path, apart: Iterable[str]) -> str:
    """Edits and new files at and below `workspace` that HEAD has not and git does not ignore, as a patch; "" if none.

    Binary files, and new ones that are too large, are only named, with their digests. What is no UTF-8 is decoded, and must
    be encoded again, with "surrogateescape".

    Args:
        apart: paths below `workspace` to leave out.
    """
    below = ["--", ".", *(f":(exclude){path}" for path in apart)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _difference(workspace, below, Path(folder))
    except subprocess.CalledProcessError as error:  # no reason to train nothing, but the tree is not known to be clean
        return f"{LEFT_OUT}everything, for git cannot tell it: {error.stderr.decode(errors='replace').strip()}"


def _difference(workspace: Path, below: list[str], temporary: Path) -> str:
    """With an index of its own, which has HEAD's files: the user's may hide edits, and is none of our business."""

    def git(*arguments: str, given: bytes = b"", apart: Mapping[str, str] | None = None) -> bytes:
        command, environment = ["git", *SETTINGS, *arguments], os.environ | (apart or {})
        return subprocess.run(command, cwd=workspace, input=given, capture_output=True, check=True, env=environment).stdout

    top = Path(os.fsdecode(git("rev-parse", "--show-toplevel").rstrip(b"\n")))
    objects = os.fsdecode(git("rev-parse", "--path-format=absolute", "--git-path", "objects").rstrip(b"\n"))
    apart = {
        "GIT_INDEX_FILE": str(temporary / "index"),
        "GIT_OBJECT_DIRECTORY": str(temporary / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": json.dumps(objects, ensure_ascii=False),
    }
    (temporary / "objects").mkdir()
    listed = git("ls-files", "-z", "--full-name", "--cached", "--others", "--exclude-standard", *below)
    committed = git("ls-tree", "-r", "-z", "--name-only", "--full-tree", "HEAD")
    names = sorted(set(_names(listed)) - set(_names(committed)))
    reasons = _Reasons(top)
    new = [name for name in names if os.path.lexists(top / name) and reasons.takes(name)]

    git("read-tree", "HEAD", apart=apart)
    taken = b"\0".join(map(os.fsencode, new))
    add = ("--literal-pathspecs", "-C", str(top), "add", "--intent-to-add", "--force", "--pathspec-from-file=-")
    if new:
        git(*add, "--pathspec-file-nul", given=taken, apart=apart)
    counts = git("diff", *SAME_FOR_EVERYBODY, "--numstat", "-z", "HEAD", *below, apart=apart)
    for name in _binary(counts):
        if os.path.lexists(top / name):  # that it is gone can be said
            reasons.leave_out(name, "binary")
            below.append(f":(exclude,top,literal){name}")
    edits = git("diff", *SAME_FOR_EVERYBODY, "HEAD", *below, apart=apart)
    return "".join(f"{line}\n" for line in reasons.lines) + edits.decode(errors="surrogateescape")


class _Reasons:
    """Decides which new files are taken in, and names the others."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.content, self.digested = CONTENT_BYTES, DIGESTED_BYTES  # what is still free of each
        self.lines: list[str] = []

    def takes(self, name: str) -> bool:
        path = self.top / name
        if path.is_symlink():
            return True
        if not path.is_file():
            self.lines.append(f"{LEFT_OUT}{_quoted(name)}: a repository of its own")
            return False
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            self.leave_out(name, "large")
            return False
        try:
            with path.open("rb") as file:
                binary = b"\0" in file.read(HEAD_BYTES)
        except OSError as error:
            self.lines.append(f"{LEFT_OUT}{_quoted(name)}: {error.strerror}")
            return False
        if binary or size > self.content:
            self.leave_out(name, "binary" if binary else "after many others")
            return False
        self.content -= size
        return True

    def leave_out(self, name: str, why: str) -> None:
        path = self.top / name
        if path.is_symlink():
            self.lines.append(f"{LEFT_OUT}{_quoted(name)}: a link to {_quoted(str(path.readlink()))}")
            return
        size, digest = path.stat().st_size, ""
        if size <= self.digested:
            self.digested -= size
            with contextlib.suppress(OSError), path.open("rb") as file:
                digest = f", SHA-256 {hashlib.file_digest(file, 'sha256').hexdigest()}"
        self.lines.append(f"{LEFT_OUT}{_quoted(name)}: {why}, {size} bytes{digest}")


def _names(listing: bytes) -> Iterator[str]:
    return (os.fsdecode(name) for name in listing.split(b"\0") if name)


def _binary(counts: bytes) -> list[str]:
    """Of the lines "added TAB deleted TAB name", the names of those that git cannot count."""
    return [name.split("\t", 2)[2] for name in _names(counts) if name.startswith("-\t-\t")]


def _quoted(name: str) -> str:
    return json.dumps(name)
