"""dvc.lock as data: what DVC recorded of each stage when it last ran."""

import json
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath
from typing import Any

from cyclegan.errors import UserError

LOCK = Path("dvc.lock")
PIPELINE = Path("dvc.yaml")
PARAMS = Path("params.yaml")
DIRECTORY = ".dir"  # what the digest of a folder ends in


@dataclass(frozen=True)
class Recorded:
    """A file or folder as recorded.

    Attributes:
        md5: of a file its MD5; of a folder that of DVC's list of the files in it, and ".dir".
        size: in bytes, all files together.
        nfiles: of a folder, how many files.
    """

    path: str
    md5: str
    size: int | None
    nfiles: int | None

    @property
    def is_folder(self) -> bool:
        return self.md5.endswith(DIRECTORY)

    def __str__(self) -> str:
        files = "" if self.nfiles is None else f", {self.nfiles} files"
        return f"{self.md5} ({'?' if self.size is None else f'{self.size:,}'} bytes{files})"


@dataclass(frozen=True)
class LockedStage:
    """A stage as recorded; dependencies and outs by their paths, parameters by file and dotted name.

    Attributes:
        raw: the same, as it stands in the file.
    """

    raw: dict[str, Any]
    cmd: str
    deps: dict[str, Recorded]
    params: dict[str, dict[str, Any]]
    outs: dict[str, Recorded]


def read_lock(data: bytes, name: str) -> dict[str, LockedStage]:
    """The stages of a dvc.lock, by name; `name` is the name of the file that errors give.

    Raises:
        UserError: it is not what DVC writes.
    """
    raw = read_yaml(data, name)
    try:
        return {stage: _stage(entry) for stage, entry in raw["stages"].items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise UserError(f"{name} is not what DVC writes ({problem}); without it, `dvc repro` writes it anew") from None


def read_yaml(data: bytes, name: str) -> Any:
    """YAML as DVC reads it: version 1.2, to which 2e-4 is a number and `no` a word.

    Raises:
        UserError: it is none.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(data.decode())
    except (YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise UserError(f"{name} is not valid YAML: {said}; mend it, or take another commit") from None


def read_json(data: bytes | None) -> dict[str, Any]:
    """An object of JSON, such as a file of metrics; an empty one where there is none that can be read."""
    try:
        values = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _stage(entry: dict[str, Any]) -> LockedStage:
    deps, outs = ([_recorded(each) for each in entry.get(kind) or []] for kind in ("deps", "outs"))
    return LockedStage(
        entry,
        str(entry["cmd"]),
        {each.path: each for each in deps},
        {file: dict(values) for file, values in (entry.get("params") or {}).items()},
        {each.path: each for each in outs},
    )


def _recorded(entry: dict[str, Any]) -> Recorded:
    size, nfiles = entry.get("size"), entry.get("nfiles")
    return Recorded(
        normpath(str(entry["path"])),
        str(entry["md5"]),
        None if size is None else int(size),
        None if nfiles is None else int(nfiles),
    )
