"""A reproduction in the user's store of runs: one run, which no training's evaluation is added to."""

import platform
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cyclegan import tracking
from cyclegan.history.agreement import Verdict
from cyclegan.history.commits import SHORT
from cyclegan.history.runs import COMMIT, REPRODUCES
from cyclegan.tracking.store import NOTE_TAG


@dataclass(frozen=True)
class Record:
    """What is logged of a reproduction.

    Attributes:
        key: the train key that the commit recorded; "" where it recorded none.
        text: the verdict with all that differs.
        software: packages that were not as locked.
    """

    commit: str
    key: str
    verdict: Verdict
    text: str
    seconds: float
    software: list[str]


def log_reproduction(store: tracking.Store, record: Record) -> str:
    """Log it as one finished run; returns a line that says so, or why it could not be done."""
    verdict = record.verdict
    tags = {
        REPRODUCES: record.key or "none",
        "verdict": verdict.word,
        COMMIT: record.commit,
        "python": platform.python_version(),
        NOTE_TAG: record.text[: tracking.TAG_LENGTH],
    }
    metrics = {
        "outs": verdict.outs,
        "outs_as_recorded": verdict.outs - len(verdict.other_outs),
        "values": verdict.values,
        "values_as_recorded": verdict.values - len(verdict.other_values),
        "packages_not_as_locked": len(record.software),
        "seconds": record.seconds,
    }
    try:
        with tracking.reachable(store):
            client, experiment = tracking.open_store(store)
            began = int(1000 * (time.time() - record.seconds))
            name = f"reproduces {record.commit[:SHORT]}: {verdict.word}"
            run_id: str = client.create_run(experiment, began, tags, name).info.run_id
            for metric, value in metrics.items():
                client.log_metric(run_id, metric, float(value))
            client.log_text(run_id, record.text + "\n", "verdict.txt")
            client.set_terminated(run_id, "FINISHED")
    except tracking.AwayError as error:
        return f"warning: not logged: {error}"
    return f"logged as the run {run_id}"


def plant_run(database: Path, run_id: str, tags: Mapping[str, str]) -> None:
    """Make a run of that id, with these tags, in a store that is thrown away: MLflow gives ids only by itself."""
    store = tracking.Store(f"sqlite:///{database}", "planted", str(database.parent / "planted"), f"{database}.lock")
    client, experiment = tracking.open_store(store)
    made: str = client.create_run(experiment, tags=dict(tags)).info.run_id  # its name is a tag
    with sqlite3.connect(database) as connection:  # SQLite holds no foreign keys unless it is asked to
        for table in ("runs", "tags"):
            connection.execute(f"update {table} set run_uuid = ? where run_uuid = ?", (run_id, made))  # noqa: S608
    connection.close()
