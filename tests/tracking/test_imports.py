"""Two threads never import MLflow at once: its modules import one another in circles."""

import importlib
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
