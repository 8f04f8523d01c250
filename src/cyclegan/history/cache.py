"""What DVC keeps of outs: whether all of an out is there, and what its files say, without a checkout."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cyclegan.errors import UserError
from cyclegan.history.lock import Recorded

OBJECTS = Path("files/md5")  # in a cache, and in a remote


@dataclass(frozen=True)
class Objects:
    """Files by their digests: DVC's cache, or a remote that is a folder."""

    folder: Path

    def place(self, md5: str) -> Path:
        """Where the object of a digest lies, if it is there."""
        return self.folder / OBJECTS / md5[:2] / md5[2:]

    def listing(self, folder: Recorded) -> dict[str, str] | None:
        """The digests of the files of a folder, by their paths in it; None where its list is not there."""
        try:
            entries = json.loads(self.place(folder.md5).read_bytes())
            return {str(entry["relpath"]): str(entry["md5"]) for entry in entries}
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def find(self, out: Recorded, inside: str | None = None) -> Path | None:
        """The object of a file, or of one inside a folder; None where it is not there."""
        md5 = (self.listing(out) or {}).get(inside) if inside is not None else out.md5
        place = None if md5 is None else self.place(md5)
        return place if place is not None and place.is_file() else None


@dataclass(frozen=True)
class Storage:
    """DVC's cache and the remotes beside it.

    Attributes:
        cache: of this project.
        remotes: those that are folders which can be read here, by name.
        away: names of the others, which only DVC can ask.
    """

    cache: Objects
    remotes: dict[str, Objects]
    away: list[str]

    def lacking(self, out: Recorded) -> list[Recorded]:
        """What of an out the cache lacks: the file, or files of the folder; the folder itself where its list is missing."""
        if not out.is_folder:
            return [] if self.cache.place(out.md5).is_file() else [out]
        listing = self.cache.listing(out)
        if listing is None:
            return [out]
        files = [Recorded(f"{out.path}/{name}", md5, None, None) for name, md5 in listing.items()]
        return [file for file in files if not self.cache.place(file.md5).is_file()]

    def remote_with(self, lacking: list[Recorded]) -> str | None:
        """A remote that has all of it."""
        for name, remote in self.remotes.items():
            if all(self._has(remote, each) for each in lacking):
                return name
        return None

    def restore(self, out: Recorded, target: Path) -> bool:
        """Copy a file or folder out of the cache to `target`; whether all of it was there."""
        if self.lacking(out):
            return False
        listing = self.cache.listing(out) if out.is_folder else {"": out.md5}
        for name, md5 in (listing or {}).items():
            place = target / name if name else target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.cache.place(md5), place)
        return True

    @staticmethod
    def _has(objects: Objects, out: Recorded) -> bool:
        if not objects.place(out.md5).is_file():
            return False
        listing = objects.listing(out) if out.is_folder else {}
        return listing is not None and all(objects.place(md5).is_file() for md5 in listing.values())


def storage_of(root: Path) -> Storage:
    """The cache and the remotes of a project, as DVC's configuration of any level says.

    Raises:
        UserError: no DVC project.
    """
    folder = _dvc(root, "cache", "dir").strip()
    remotes: dict[str, Objects] = {}
    away: list[str] = []
    for name, url in _remotes(_dvc(root, "remote", "list")):
        place = Path(url.removeprefix("file://"))
        if "://" in url.removeprefix("file://"):
            away.append(name)
        else:  # DVC prints a path as seen from the current folder
            remotes[name] = Objects(root / place)
    return Storage(Objects(root / folder), remotes, away)


def _remotes(listed: str) -> Iterator[tuple[str, str]]:
    for line in listed.splitlines():
        name, _, url = line.removesuffix("(default)").strip().partition("\t")
        yield name.strip(), url.strip()


def _dvc(root: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = next((line for line in done.stderr.splitlines() if line), "it says nothing")
        raise UserError(f"`dvc {' '.join(arguments)}` in {root}: {said}; run in a clone of the project, or `dvc init`")
    return done.stdout
