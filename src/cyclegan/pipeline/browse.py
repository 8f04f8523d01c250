"""MLflow's own pages for the runs of this project, started quickly and ended without a trace."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import requests

from cyclegan import lineage, tracking
from cyclegan.config import TrackingConfig
from cyclegan.errors import UserError
from cyclegan.tracking import Store

HOST = "127.0.0.1"
COMMAND = [sys.executable, "-m", "mlflow", "ui", "--workers", "1", "--host", HOST, "--port"]
START_SECONDS = 180.0  # on a busy machine; 9 s on a quiet one
END_SECONDS = 10.0
LINES = 5  # of what MLflow says where it does not start
SETTINGS = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # without it: 9 s instead of 31 s, 0.5 GB instead of 1.4 GB
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONWARNINGS": "ignore",  # of libraries of MLflow's about one another
}


def browse(config: TrackingConfig, port: int) -> None:
    """Send what waits, then serve MLflow's pages until Ctrl-C; of runs that a server keeps, say its address.

    Raises:
        UserError: there are no runs yet, the store cannot be used, the port is taken, or MLflow does not start.
    """
    root = lineage.project_root()
    for problem in tracking.sync(root):
        print(f"warning: not sent yet: {problem}")
    store = tracking.store_of(config, root)
    if store.uri.startswith("http"):
        trouble = tracking.trouble(store)
        print(f"the runs are kept by the server {store}" + (f", but {trouble}" if trouble else ""))
        return
    if store.missing:
        raise UserError(f"there are no runs yet: {store} does not exist; `dvc repro` makes it")
    try:
        if tracking.at_home(store):
            print("this project was moved or copied: its runs' files are found here now")
    except sqlite3.Error as error:
        raise UserError(f"{store} cannot be used: {error}") from None
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends it as Ctrl-C does
    try:
        print("starting MLflow ...", flush=True)
        with served(store, port) as (address, server):
            print(f"{address}\nCtrl-C ends it", flush=True)
            server.wait()
            raise UserError(f"MLflow ended by itself, with status {server.returncode}; start it again")
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def served(store: Store, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve MLflow's pages for a database, to this machine alone, within the context.

    Returns the address of the experiment's runs, and the server's process.

    Raises:
        UserError: the port is taken, or MLflow does not start.
    """
    _check_free(port)
    settings = {**os.environ, **SETTINGS, "MLFLOW_BACKEND_STORE_URI": store.uri}  # a password is seen among arguments
    with tempfile.TemporaryFile() as said:
        # In a session of its own: Ctrl-C is for us, and all of its processes are ended by us.
        server = subprocess.Popen([*COMMAND, str(port)], env=settings, stdout=said, stderr=said, start_new_session=True)
        try:
            _wait_for(server, said, f"http://{HOST}:{port}")
            yield _address(f"http://{HOST}:{port}", store.experiment), server
        finally:
            _end(server, port)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"port {port} cannot be used: {error.strerror}; give another one with --port") from None


def _wait_for(server: subprocess.Popen[bytes], said: IO[bytes], address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if requests.get(f"{address}/health", timeout=1).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    said.seek(0)
    last = said.read().decode(errors="replace").strip().splitlines()[-LINES:]
    raise UserError("MLflow does not start; the last it says:\n" + "\n".join(f"  {line}" for line in last))


def _address(base: str, experiment: str) -> str:
    """Of the experiment's runs, among the pages for training; MLflow may open with those for language models."""
    found = requests.get(
        f"{base}/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": experiment}, timeout=60
    )
    if not found.ok:
        return base
    return f"{base}/#/experiments/{found.json()['experiment']['experiment_id']}/runs?workflowType=machine_learning"


def _end(server: subprocess.Popen[bytes], port: int) -> None:
    """All processes of the server, for it starts others: the port is free afterwards."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            if server.poll() is not None and _is_free(port):
                return
            time.sleep(0.05)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0
