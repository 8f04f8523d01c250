"""Small files that several stages write."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cyclegan.errors import UserError


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a metrics file: keys in the given order, numbers as they are, the same bytes each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote.

    Raises:
        UserError: it is not there, or damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no {path}; run `dvc repro`, which makes what is missing") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}; restore it with `dvc checkout`, or make it again") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} is damaged: it holds no object; restore it with `dvc checkout`, or make it again")
    return values


def fresh_folder(path: Path) -> Path:
    """An empty folder beside `path`, to be filled and then put in its place by `put_in_place`."""
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def put_in_place(partial: Path, path: Path) -> None:
    """Make the filled folder the one at `path`, in one rename."""
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)
