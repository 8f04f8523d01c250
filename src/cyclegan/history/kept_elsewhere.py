"""Where to have dependencies that git does not keep as they were, such as your own pictures or first weights."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from cyclegan.history.cache import Storage
from cyclegan.history.digests import is_on_disk
from cyclegan.history.lock import Recorded

Place = Literal["workspace", "DVC's cache"]


def where(root: Path, storage: Callable[[], Storage], recorded: Recorded) -> Place | None:
    """Which place has a file or folder as it was recorded; None where none has.

    Args:
        root: the workspace.
        storage: gives DVC's cache. DVC takes a second to say where that is, so it is asked only where the workspace has
            something else.
    """
    if is_on_disk(root / recorded.path, recorded):
        return "workspace"
    return None if storage().lacking(recorded) else "DVC's cache"


def bring(root: Path, storage: Callable[[], Storage], recorded: Recorded, folder: Path) -> bool:
    """Put it into `folder` under its own path, from where it is; whether the code that runs there finds it as recorded.

    What has an absolute path is the same for every folder, and never written.
    """
    place = where(root, storage, recorded)
    if Path(recorded.path).is_absolute():
        return place == "workspace"
    source, target = root / recorded.path, folder / recorded.path
    if place != "workspace":
        return place is not None and storage().restore(recorded, target)
    if recorded.is_folder:
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return True
