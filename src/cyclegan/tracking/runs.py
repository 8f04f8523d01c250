"""Runs as a store has them, for reading."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclegan.errors import UserError
from cyclegan.tracking.reach import trouble
from cyclegan.tracking.sender import explain
from cyclegan.tracking.store import Store, client_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

PAGE = 1000  # runs of one answer
RUN_ID = re.compile("[0-9a-f]{32}")
START_OF_ID = re.compile("[0-9a-f]{6,31}")


class AwayError(UserError):
    """The store cannot be reached or used now."""


@dataclass(frozen=True)
class Run:
    """A run: its id and name, parameters and tags as text, the last value of each metric, and files by their paths."""

    id: str
    name: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]
    files: dict[str, bytes]


@dataclass(frozen=True)
class Entry:
    """A run as a list of runs has it.

    Attributes:
        state: RUNNING, FINISHED, FAILED, KILLED or SCHEDULED.
        started, ended: in ms since 1970; `ended` is None while it runs.
        tags: as text.
        metrics: the last value of each.
    """

    id: str
    name: str
    state: str
    started: int
    ended: int | None
    tags: dict[str, str]
    metrics: dict[str, float]


@contextmanager
def reachable(store: Store) -> Iterator[None]:
    """Turn what goes wrong between here and the store into an `AwayError`; drivers of databases raise what they like."""
    problem = trouble(store) if store.uri.startswith("http") else None  # soon, where a client would wait for long
    if problem:
        raise AwayError(f"MLflow at {store} cannot be used: {problem}")
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise AwayError(f"MLflow at {store} cannot be used: {explain(error)}") from error


def find_run(store: Store, wanted: str, files: Iterable[str]) -> Run | None:
    """The run of an id, or of the beginning of one, with what it has of the named artifacts; None where there is none.

    Raises:
        AwayError: the store cannot be reached or used.
        UserError: several ids begin so.
    """
    if store.missing or not _may_be_id(wanted):
        return None
    with reachable(store):
        client = client_of(store)
        run = _run(client, _whole_id(client, store, wanted))
        return None if run is None else _read(client, run, files)


def list_runs(store: Store, tags: Mapping[str, str]) -> list[Entry]:
    """Every run of the experiment that has all of these tags, newest first; none where there is no database yet.

    Raises:
        AwayError: the store cannot be reached or used.
    """
    if store.missing:
        return []
    found: list[Entry] = []
    with reachable(store):
        client = client_of(store)
        experiment = client.get_experiment_by_name(store.experiment)
        condition = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        page: str | None = ""
        while experiment is not None and page is not None:
            runs = client.search_runs(
                [experiment.experiment_id],
                condition,
                max_results=PAGE,
                order_by=["attributes.start_time DESC"],
                page_token=page or None,
            )
            found += [_entry(run) for run in runs]
            page = runs.token or None
    return found


def read_entry(store: Store, wanted: str) -> Entry | None:
    """The run of an id, or of the beginning of one; None where there is none.

    Raises:
        AwayError: the store cannot be reached or used.
        UserError: several ids begin so.
    """
    if store.missing or not _may_be_id(wanted):
        return None
    with reachable(store):
        client = client_of(store)
        run = _run(client, _whole_id(client, store, wanted))
        return None if run is None else _entry(run)


def list_files(store: Store, run_id: str, folder: str | None = None) -> set[str]:
    """The paths of a run's artifacts, of its first level or of one of its folders.

    Raises:
        AwayError: the store cannot be reached or used.
    """
    with reachable(store):
        return {entry.path for entry in client_of(store).list_artifacts(run_id, folder)}


def _entry(run: "MlflowRun") -> Entry:
    info, data = run.info, run.data
    name, state = info.run_name or info.run_id, info.status
    return Entry(info.run_id, name, state, info.start_time, info.end_time, dict(data.tags), dict(data.metrics))


def _may_be_id(wanted: str) -> bool:
    return bool(RUN_ID.fullmatch(wanted) or START_OF_ID.fullmatch(wanted))


def _whole_id(client: "MlflowClient", store: Store, start: str) -> str | None:
    if RUN_ID.fullmatch(start):
        return start
    experiment = client.get_experiment_by_name(store.experiment)
    if experiment is None:
        return None
    found = client.search_runs([experiment.experiment_id], f"attributes.run_id LIKE '{start}%'", max_results=2)
    if len(found) > 1:
        raise UserError(f"several runs of the experiment {store.experiment} begin with {start}; give more of the id")
    return found[0].info.run_id if found else None


def _run(client: "MlflowClient", run_id: str | None) -> "MlflowRun | None":
    from mlflow.exceptions import MlflowException

    if run_id is None:
        return None
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _read(client: "MlflowClient", run: "MlflowRun", files: Iterable[str]) -> Run:
    run_id, wanted = run.info.run_id, list(files)
    folders = {Path(name).parent.as_posix() for name in wanted}
    there = {entry.path for folder in folders for entry in client.list_artifacts(run_id, folder)}
    content: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in sorted(there & set(wanted)):
            content[name] = Path(client.download_artifacts(run_id, name, temporary)).read_bytes()
    data = run.data
    return Run(run_id, run.info.run_name or run_id, dict(data.params), dict(data.tags), dict(data.metrics), content)
