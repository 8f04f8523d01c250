"""Two threads never import MLflow at once: its modules import one another in circles."""

import importlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cyclegan.tracking import imports

MODULE = """
import time
import tally
tally.inside += 1
tally.most = max(tally.most, tally.inside)
time.sleep(0.2)
tally.inside -= 1
"""


def test_one_thread_at_a_time_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tally.py").write_text("inside = most = 0\n")
    for name in ("one", "other"):
        (tmp_path / f"module_{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    threads = [threading.Thread(target=imports.load, args=([f"module_{name}"],)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tally = importlib.import_module("tally")
    assert (tally.most, tally.inside) == (1, 0)


def test_all_that_is_imported_is_there() -> None:
    imports.load()


TRAINING = """
import sys
from pathlib import Path
from cyclegan import tracking
from cyclegan.tracking.store import Store

root = Path.cwd()
store = Store("sqlite:///" + str(root / "mlflow.db"), "cyclegan", str(root / "mlartifacts"), str(root / ".mlflow.lock"))
log = tracking.start_training(
    store, root, "id", "key", name="name", params={}, tags={}, data={"source": "s", "digest": "d", "commit": "c"},
    system_metrics=True,
)
log.finish("FINISHED")
"""


def test_the_log_and_the_system_metrics_of_a_training_begin_at_once(tmp_path: Path, mlflow_database: Path) -> None:
    """In a process of its own, which has not imported MLflow yet."""
    (tmp_path / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    done = subprocess.run([sys.executable, "-c", TRAINING], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "warning" not in done.stdout
    assert not list((tmp_path / ".tracking").glob("*")), "all is sent"
