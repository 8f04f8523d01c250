"""A throw-away copy of this project, in which whole stages can run."""

import shutil
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from common import ROOT

from cyclegan.config import Config

CODE = ("src", "stages", "dvc.yaml", ".dvcignore", "presets", "weights/random")


def copy_project(folder: Path) -> None:
    """Copy the code to `folder`; what lies there under the same names is written over."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in CODE:
        if (ROOT / part).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / part, folder / part, ignore=ignore, dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / part, folder / part)


def written(config: Config) -> str:
    """The settings as a params.yaml."""
    text: str = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    return text


@contextmanager
def workspace(config: Config) -> Iterator[Path]:
    """Within, a copy of the project with these settings is the current folder."""
    with TemporaryDirectory() as name:
        folder = Path(name) / "project"
        copy_project(folder)
        (folder / "params.yaml").write_text(written(config), encoding="utf-8")
        with chdir(folder):
            yield folder
