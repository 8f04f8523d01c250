"""What tests know of the history that `conftest.py` makes."""

from dataclasses import dataclass
from pathlib import Path

import yaml
from mlflow import MlflowClient


@dataclass(frozen=True)
class Past:
    """A repository and its commits.

    Attributes:
        code: no result.
        first: the result of a clean tree; also tagged v1, and the experiment keen-ape.
        second: that of other parameters, which were not committed while it was made.
        stale: like `second`, but for the code of training, which was edited afterwards.
        keys: the train keys that `first` and `second` recorded.
        runs: the ids of the runs that made them, and of one that made `first` again.
    """

    root: Path
    code: str
    first: str
    second: str
    stale: str
    keys: tuple[str, str]
    runs: tuple[str, str, str]


def client_of(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def key_in(root: Path) -> str:
    return str(yaml.safe_load((root / "metrics/train.json").read_text())["train_key"])


def newest_run(root: Path) -> str:
    (found,) = client_of(root).search_runs(["1"], order_by=["attributes.start_time DESC"], max_results=1)
    return str(found.info.run_id)
