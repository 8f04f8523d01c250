"""Real servers on loopback for tests to start and stop: MLflow's, PostgreSQL, and storage that speaks S3."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from project import child_environment

PATIENCE_SECONDS = 180


class Service:
    """A process of its own that answers at a free port; `start` returns when it does.

    Attributes:
        folder: where its log and what it keeps lie.
        command: how it is started.
        environment: variables beside those that a test's commands have.
    """

    command: list[str]
    environment: dict[str, str]
    user: str | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=child_environment(self.folder) | self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.user,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)

    def answers(self) -> bool:
        raise NotImplementedError

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, number)
            self.process.wait()
            self.process = None


class MlflowServer(Service):
    """An MLflow server that hands out artifacts itself, under the name 127.0.0.1 alone.

    Args:
        database: an address, or a database file to copy.
        artifacts: where it keeps them; None for a folder of its own.
    """

    def __init__(self, folder: Path, database: Path | str, *options: str, artifacts: str | None = None) -> None:
        super().__init__(folder)
        self.uri = f"http://127.0.0.1:{self.port}"
        self.environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        if isinstance(database, Path):
            shutil.copy(database, folder / "mlflow.db")
            database = f"sqlite:///{folder}/mlflow.db"
        self.command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(self.port)]
        self.command += ["--allowed-hosts", f"127.0.0.1:{self.port}", "--backend-store-uri", database]
        self.command += ["--artifacts-destination", artifacts or f"{folder}/artifacts", *options]

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.uri}/health", timeout=1).ok
        except requests.RequestException:
            return False


class Storage(Service):
    """Storage that speaks S3, with one bucket, `team`; it asks for a key but takes any."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.uri = f"http://127.0.0.1:{self.port}"
        self.command = [sys.executable, "-m", "moto.server", "--port", str(self.port)]
        self.environment = {}

    def start(self) -> None:
        super().start()
        assert requests.put(f"{self.uri}/team", timeout=PATIENCE_SECONDS).ok

    def answers(self) -> bool:
        try:
            return requests.get(self.uri, timeout=1).ok
        except requests.RequestException:
            return False


class Postgres(Service):
    """A PostgreSQL server in a temporary folder, with one user, `mlflow`, who needs a password.

    It refuses to run as root; there it runs as nobody.
    """

    password = "a secret"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.programs = _postgres_programs()
        self.uri = f"postgresql+psycopg://mlflow:a%20secret@127.0.0.1:{self.port}/postgres"
        where = ["-p", str(self.port), "-h", "127.0.0.1", "-k", str(folder), "-F"]
        self.command = [f"{self.programs}/postgres", "-D", f"{folder}/data", *where]
        self.environment = {}
        if os.geteuid() == 0:
            self.user = "nobody"
            os.chown(folder, pwd.getpwnam(self.user).pw_uid, -1)
        word = folder / "password"
        word.write_text(self.password)
        word.chmod(0o644)
        make = [f"{self.programs}/initdb", "-D", f"{folder}/data", "-U", "mlflow", "-A", "scram-sha-256"]
        subprocess.run(
            [*make, "--pwfile", str(word), "-E", "UTF8", "--no-sync"],
            cwd=folder,
            user=self.user,
            check=True,
            capture_output=True,
        )

    def answers(self) -> bool:
        ready = [f"{self.programs}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0


def _postgres_programs() -> Path:
    """The folder of initdb, which Debian keeps off the path; elsewhere a link may stand on it."""
    found = [path / "initdb" for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"))] or [shutil.which("initdb")]
    if found[-1] is None:
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    return Path(found[-1]).resolve().parent


@contextmanager
def running(service: Service, stop_by: signal.Signals = signal.SIGKILL) -> Iterator[None]:
    """While it runs."""
    try:
        service.start()
        yield
    finally:
        service.kill(stop_by)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL that runs, gone without a trace afterwards; skips the test where it is not installed."""
    needs("psycopg", "postgres")
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:  # pytest's own folders are closed to other users
        made = Postgres(Path(folder))
        with running(made, signal.SIGQUIT):
            yield made


def needs(module: str, extra: str) -> None:
    """Skip the test where a package is not installed."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed (pip install -e '.[{extra}]')")
