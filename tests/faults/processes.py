"""Real processes, signals and faults, and what a training leaves behind."""

import os
import signal
import sqlite3
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from project import child_environment

from cyclegan.pipeline import paths

PATIENCE_SECONDS = 180
KILLED = ("exited with -9", "exited with 137")  # what DVC says of a killed stage; the latter where $SHELL stands between
MARK = "FAULT_SUITE"  # an environment variable by which a project's processes are found

# What a process does by itself, at an exact place: it cannot be hit from outside. FAULT is "STAGE ACT PLACE WHEN COUNT";
# as the stage "dvc" it strikes DVC itself where it writes dvc.lock.
INJECTION = '''
import os, signal, sys, time

stage, act, place, when, count = os.environ["FAULT"].split()
left = int(count)
folder = os.path.dirname(__file__)

def strike():
    global left
    left -= 1
    if left != 0:
        return
    if act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    open(os.path.join(folder, "here"), "w").close()
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.02)

def around(module, name, concerns):
    real = getattr(module, name)
    def replacement(*arguments, **keywords):
        concerned = concerns(*arguments)
        if concerned and when == "before":
            strike()
        if concerned and when == "half":
            half(real, *arguments, **keywords)
        result = real(*arguments, **keywords)
        if concerned and when == "after":
            strike()
        return result
    setattr(module, name, replacement)

def half(real, tensors, path, metadata):
    """As a process that is killed while it writes leaves it, under either of the names that safetensors may write to."""
    if left > 1:
        strike()
        return
    real(tensors, path, metadata)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    path.with_name(".tmpHaLf00").write_bytes(content[: len(content) // 2])
    strike()

def path_of(descriptor):
    return os.readlink(f"/proc/self/fd/{descriptor}")

def exhaust(*arguments, **keywords):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB.\\nMore advice")

def watch(event, arguments):
    if event == ("os.mkdir" if when == "mkdir" else "open") and str(arguments[0]).endswith(place) and left > 0:
        strike()

def hasten(event, arguments):
    """Write checkpoints as often as params.yaml says, however slow the disk is at the moment."""
    if event == "import" and arguments[0] == "cyclegan.training.loop":
        sys.modules["cyclegan.training.checkpoint"].LARGEST_SHARE = 1.0

if any(word.endswith(f"stages/{stage}.py") for word in sys.orig_argv):
    if act == "kill":
        sys.addaudithook(hasten)
    if act == "pause":
        sys.addaudithook(watch)
    elif place == "memory":
        import torch
        torch.optim.Adam.step = exhaust
    elif place == "file":
        import safetensors.torch
        around(safetensors.torch, "save_file", lambda tensors, path, metadata=None: ".checkpoints" in str(path))
    elif place == "sync":
        around(os, "fsync", lambda number: "writing.tmp" in path_of(number))
    elif place == "sync-folder":
        around(os, "fsync", lambda number: ".checkpoints" in path_of(number) and os.path.isdir(path_of(number)))
    elif place == "rename":
        around(os, "replace", lambda here, there: "writing.tmp" in str(here))
    elif place == "prune":
        around(os, "unlink", lambda path, **keywords: "step-" in str(path))

if stage == "dvc" and any(word.endswith("/dvc") for word in sys.orig_argv):
    import ruamel.yaml
    around(ruamel.yaml.YAML, "dump", lambda yaml, data, stream: stream.name.endswith("dvc.lock"))
'''


class Started:
    """A command that runs in a process group of its own, as a shell starts it."""

    def __init__(self, project: Path, *command: str, preexec: Callable[[], None] | None = None, **environment: str) -> None:
        self.project = project
        self.mark = uuid4().hex
        self.log = project.parent / f"{self.mark}.log"
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                command,
                cwd=project,
                env=child_environment(project) | {MARK: self.mark, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: (signal.signal(signal.SIGINT, signal.SIG_DFL), preexec and preexec()),
            )

    def kill(self) -> None:
        """As preemption does it: the whole group, without a warning."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.wait_for_all()

    def signal(self, number: int) -> None:
        """As a terminal does it: to the whole group."""
        os.killpg(self.process.pid, number)

    def ended(self) -> str:
        """Wait for its end; returns all that it printed."""
        self.process.wait(PATIENCE_SECONDS)
        return self.log.read_text()

    def processes(self) -> list[int]:
        """Those of its processes that live, whoever their parent is now."""
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if self._own(path)]

    def _own(self, environ: Path) -> bool:
        try:
            return f"{MARK}={self.mark}".encode() in environ.read_bytes()
        except OSError:
            return False

    def wait_for_all(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until none of its processes lives."""
        deadline = time.monotonic() + seconds
        while self.processes():
            assert time.monotonic() < deadline, f"{self.processes()} live on"
            time.sleep(0.02)


@contextmanager
def paused(project: Path, stage: str, moment: str) -> Iterator[tuple[Started, Callable[[], str]]]:
    """`dvc repro -f -s STAGE`, stopped as it opens or makes a file, and what lets it go on and returns all that it printed.

    Args:
        moment: "PATH open N" or "PATH mkdir N": the N-th time.
    """
    folder = injection(project)
    process = Started(project, "dvc", "repro", "-f", "-s", stage, PYTHONPATH=str(folder), FAULT=f"{stage} pause {moment}")

    def go_on() -> str:
        (folder / "go").touch()
        said = process.ended()
        process.wait_for_all()
        return said

    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (folder / "here").exists():
            assert process.process.poll() is None, process.ended()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process, go_on
    finally:
        go_on()


def injection(project: Path) -> Path:
    """A folder for PYTHONPATH whose sitecustomize.py does what FAULT says."""
    folder = project.parent / f"injection-{uuid4().hex}"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(textwrap.dedent(INJECTION))
    return folder


def outputs(project: Path) -> dict[str, bytes]:
    """What training makes: weights, history, metrics, samples."""
    files = [*(project / paths.TRAINED).rglob("*"), project / paths.TRAIN_METRICS]
    files += [project / path for path in (paths.HISTORY, paths.VALIDATION, *paths.SAMPLES.values())]
    return {str(file.relative_to(project)): file.read_bytes() for file in files if file.is_file()}


def files(project: Path) -> set[str]:
    """All files but those of git, DVC and MLflow, Python's caches and checkpoints."""
    names = {file.relative_to(project).as_posix() for file in project.rglob("*") if file.is_file()}
    return {
        name
        for name in names
        if not name.startswith((".git/", ".dvc/", "mlartifacts/", "mlflow.db-", ".checkpoints/"))
        and "__pycache__" not in name
    }


Curves = dict[str, list[tuple[int, float]]]


def mlflow_runs(project: Path) -> list[tuple[str, Curves, list[str]]]:
    """Each run's status, its curves in order of time written, and the names of its sample grids without their dates."""
    with sqlite3.connect(project / "mlflow.db") as database:
        found = []
        for run_id, status, place in database.execute(
            "select run_uuid, status, artifact_uri from runs order by start_time"
        ):
            curves: Curves = {}
            rows = database.execute(
                "select key, step, value from metrics where run_uuid = ? order by key, step, timestamp", (run_id,)
            )
            for key, step, value in rows:
                if not key.startswith("system/"):
                    curves.setdefault(key, []).append((step, value))
            pictures = sorted(path.name for path in Path(place.removeprefix("file://")).glob("images/*"))
            found.append((status, curves, ["+".join(name.split("+")[:3]) for name in pictures]))
    return found
