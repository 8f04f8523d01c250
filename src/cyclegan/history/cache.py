"""What DVC keeps of outs: whether all of an out is there, and what its files say, without a checkout."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclegan.errors import UserError
from cyclegan.history.lock import LockedStage, Recorded, read_yaml

DVC = (sys.executable, "-m", "dvc")  # that of this Python, whatever is first on the path
OBJECTS = Path("files/md5")  # in a cache, and in a remote
CACHE = Path(".dvc/cache")  # of a project, unless its configuration names another
REMOTE = re.compile(r"remote\.(.+)\.url")
RUNS = "runs"  # in a cache: what came out of every run of a stage
SIZES = ("size", "nfiles")


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

    def records(self, stage: LockedStage) -> list[dict[str, str]]:
        """What DVC's run-cache says came out of this very command, with these dependencies and parameters: digests by path.

        Several times where it was run several times with different outcomes; none where it was not run here, or where
        DVC keeps its records under other names than the versions that this was written for.
        """
        inputs = {name: value for name, value in stage.raw.items() if name != "outs"} | {"outs": list(stage.outs)}
        name = hashlib.sha256(json.dumps(_without_sizes(inputs), sort_keys=True).encode()).hexdigest()
        found: list[dict[str, str]] = []
        for file in sorted((self.cache.folder / RUNS / name[:2] / name).glob("*")):
            try:
                outs = read_yaml(file.read_bytes(), str(file))["outs"]
                found.append({str(out["path"]): str(out["md5"]) for out in outs})
            except (UserError, OSError, KeyError, TypeError):  # cut short while it was written
                continue
        return found

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
        UserError: the configuration cannot be read.
    """
    cache = root / CACHE
    remotes: dict[str, Objects] = {}
    away: list[str] = []
    for name, value in configuration(root).items():
        if name == "cache.dir":
            cache = root / value
        elif match := REMOTE.fullmatch(name):
            place = value.removeprefix("file://")
            if "://" in place:
                away.append(match[1])
            else:
                remotes[match[1]] = Objects(root / place)
    return Storage(Objects(cache), remotes, away)


def configuration(root: Path) -> dict[str, str]:
    """DVC's configuration of any level by dotted name, with whole paths, wherever they were written relative to.

    Raises:
        UserError: it cannot be read.
    """
    done = subprocess.run([*DVC, "config", "--list"], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = next((line for line in done.stderr.splitlines() if line), "it says nothing")
        raise UserError(f"`dvc config --list` in {root}: {said}; mend .dvc/config")
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _without_sizes(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_sizes(each) for name, each in value.items() if name not in SIZES}
    return [_without_sizes(each) for each in value] if isinstance(value, list) else value
