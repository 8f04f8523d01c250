"""The train key of a commit: computed from its files by its own code, and beside it the one that it recorded."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from posixpath import normpath
from typing import Any

from cyclegan.errors import UserError
from cyclegan.history import key_script
from cyclegan.history.cache import storage_of
from cyclegan.history.commits import Tree, tree_of
from cyclegan.history.kept_elsewhere import bring
from cyclegan.history.lock import LOCK, PARAMS, PIPELINE, read_json, read_lock, read_yaml

TRAIN_METRICS = Path("metrics/train.json")
DATASET_METRICS = Path("metrics/dataset.json")
FILES = ("src", "stages", PIPELINE.as_posix(), PARAMS.as_posix())  # what a key is a function of; and the first weights
SECONDS = 60.0  # that a commit's code may take
NO_SURROUNDINGS = ("DVC_", "MLFLOW_", "PYTHON")  # variables that are for the process here


@dataclass(frozen=True)
class Key:
    """The train key of a commit.

    Attributes:
        computed: from its parameters, code, first weights and recorded data; "" where that cannot be done.
        problem: why not; "" otherwise.
        recorded: that of the result which the commit holds; "" without one.
    """

    computed: str
    problem: str
    recorded: str

    @property
    def result_is_its_own(self) -> bool:
        """Whether the result in the commit is that of its own parameters, code and data."""
        return self.computed != "" and self.computed == self.recorded

    @property
    def result_is_anothers(self) -> bool:
        """Whether it is that of another training than of its own; false where either key is not known."""
        return "" not in (self.computed, self.recorded) and self.computed != self.recorded

    @property
    def best(self) -> str:
        """What to look for runs by: the computed key, else what is recorded; "" without either."""
        return self.computed or self.recorded


def key_of(root: Path, commit: str) -> Key:
    """The key of one commit."""
    return keys_of(root, [commit])[commit]


def keys_of(root: Path, commits: Sequence[str]) -> dict[str, Key]:
    """The keys of commits, by commit. Those that differ in nothing a key is made of are computed once."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        trees = list(pool.map(lambda commit: tree_of(root, commit), commits))
        makings = {tree.commit: _making(tree) for tree in trees}
        one_of_each = {makings[tree.commit]: tree for tree in trees}
        computed = dict(zip(one_of_each, pool.map(_compute, one_of_each.values()), strict=True))
    return {tree.commit: Key(*computed[makings[tree.commit]], recorded_key(tree.read(TRAIN_METRICS))) for tree in trees}


def recorded_key(train_metrics: bytes | None) -> str:
    """The key that a metrics/train.json holds; "" where there is none."""
    return _text(train_metrics, "train_key")


def _text(data: bytes | None, name: str) -> str:
    value = read_json(data).get(name)
    return value if isinstance(value, str) else ""


def _making(tree: Tree) -> str:
    """The same for commits whose keys are made of the same, whatever else is in them."""
    parts = [*FILES, *_first_weights(tree), DATASET_METRICS.as_posix(), LOCK.as_posix()]
    blobs = {path: tree.blobs[path] for part in parts for path in tree.under(part)}
    return hashlib.sha256(json.dumps(blobs, sort_keys=True).encode()).hexdigest()


def _compute(tree: Tree) -> tuple[str, str]:
    """The key, and why there is none."""
    data_digest = _text(tree.read(DATASET_METRICS), "digest")
    if not data_digest:
        return "", f"it holds no prepared data's digest ({DATASET_METRICS}); `dvc repro` and a commit of what it writes do"
    if not tree.under("src/cyclegan") or tree.read(PIPELINE) is None:
        return "", f"it has no src/cyclegan, or no {PIPELINE}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        first_weights = _first_weights(tree)
        tree.extract([*FILES, *first_weights], folder)
        for path in first_weights:
            problem = "" if tree.under(path) else _bring_first_weights(tree, path, folder)
            if problem:
                return "", problem
        return _ask_its_code(folder, data_digest)


def _ask_its_code(folder: Path, data_digest: str) -> tuple[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NO_SURROUNDINGS)}
    surroundings = kept | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder / "src")}
    command = [sys.executable, "-P", key_script.__file__, data_digest]
    try:
        done = subprocess.run(
            command, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        answer: dict[str, str] = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return "", f"its code takes longer than {SECONDS:.0f} s"
    except (ValueError, IndexError):
        return "", f"its code ends with {done.returncode}: {' '.join(done.stderr.split())[-200:]}"
    return answer.get("key", ""), answer.get("problem", "")


def _first_weights(tree: Tree) -> list[str]:
    """The folder that train.init_from names; none in commits that are older than it."""
    try:
        params: Any = read_yaml(tree.read(PARAMS) or b"", PARAMS.as_posix())
        return [normpath(str(params["train"]["init_from"]))]
    except (UserError, KeyError, TypeError):  # where params.yaml is wrong, the commit's own code says how
        return []


def _bring_first_weights(tree: Tree, path: str, folder: Path) -> str:
    """Put first weights that git does not keep where the commit's code looks for them; returns why that cannot be done.

    Only those that dvc.lock says it was trained from will do.
    """
    try:
        stage = read_lock(tree.read(LOCK) or b"stages: {}", LOCK.as_posix()).get("train")
    except UserError as error:
        return str(error)
    recorded = stage.deps.get(path) if stage else None
    if recorded is None:
        return f"its first weights, {path}, are neither in git nor in its {LOCK}"
    if bring(tree.root, partial(storage_of, tree.root), recorded, folder):
        return ""
    return f"its first weights, {path}, are neither in git, nor as recorded in the workspace or DVC's cache"
