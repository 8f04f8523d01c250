"""A throw-away copy of this project, in which whole stages can run."""

import shutil
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from common import ROOT

from cyclegan.config import Config

CODE = ("src", "stages", "dvc.yaml", ".dvcignore", "weights/random")


@contextmanager
def workspace(config: Config) -> Iterator[Path]:
    """Within, a copy of the project with these settings is the current folder."""
    with TemporaryDirectory() as name:
        folder = Path(name) / "project"
        for part in CODE:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy(ROOT / part, folder / part)
        (folder / "params.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        with chdir(folder):
            yield folder
