"""Outboxes are emptied into MLflow: in the background while a stage works, at its end, and by `cyclegan sync`."""

import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from PIL import Image

from cyclegan.tracking.generators import log_generator
from cyclegan.tracking.outbox import BusyError, Outbox, Record, left_behind, say
from cyclegan.tracking.remedies import with_remedy
from cyclegan.tracking.store import NOTE_TAG, Connection, Store, WaitsError, connect
from cyclegan.tracking.values import TAG_LENGTH, shorten, with_description, without_password

SEND_SECONDS = 5.0  # between two deliveries
MOST_SECONDS = 60.0  # between two attempts while the store is away
PATIENCE_SECONDS = 10.0  # how long a stage waits at its end for a store that is away
STUCK_SECONDS = 90.0  # how long it waits for one that neither takes anything nor says that it is away
RECORDS = 50  # sent at once, if not more than ...
METRICS = 900  # ... so many metrics; MLflow takes 1000
CURVES = ("epoch", "val/cycle_A", "health/failing")  # the first of those that go together: training, validation, health
SYSTEM = "system/cpu_utilization_percentage"
# How MLflow's log_image names a picture of a step, and a small copy of it; the UI reads these names.
PICTURE = re.compile(r"images/((.+)\+step\+(\d+)\+.+)\.png")
SAMPLES = "samples"  # the section of charts in which the UI shows grids; log_image writes ~ for the / after it
PICTURES_TAG = "mlflow.loggedImages"
OF_ARTIFACT = re.compile(r"(!?)\[([^]]*)\]\(artifact:([^)]+)\)")  # a picture, or a link


class Delivery:
    """Sends records to a run. What the run has already is not sent again, whoever sent it."""

    def __init__(self, connection: Connection, outbox: Outbox) -> None:
        self.to, self.outbox = connection, outbox
        client, run_id = connection.client, connection.run_id
        histories = {curve: client.get_metric_history(run_id, curve) for curve in (*CURVES, SYSTEM)}
        # A resumed training repeats the steps after its last checkpoint, with the same values.
        self.last_step = {curve: max((point.step for point in points), default=-1) for curve, points in histories.items()}
        self.measured = {point.timestamp for point in histories[SYSTEM]}
        entries = client.list_artifacts(run_id, "images")
        self.sizes = {Path(entry.path).name: entry.file_size for entry in entries}  # in bytes
        found = [match for entry in entries if (match := PICTURE.fullmatch(entry.path))]
        self.pictures = {(match[2], int(match[3])): match[1] for match in found}

    def send(self) -> None:
        """Send all that waits, in order.

        Raises:
            MlflowException, OSError: the store cannot be reached or used; what is not sent keeps waiting.
        """
        while records := self.outbox.first(RECORDS):
            numbers = [record for record in records if record["kind"] in ("curve", "system", "metrics")]
            if records[0] in numbers:
                records = records[: next((i for i, record in enumerate(records) if record not in numbers), len(records))]
                self._numbers(records)
            else:
                records = records[:1]
                getattr(self, f"_{records[0]['kind']}")(records[0])
            self.outbox.sent(records)

    def _numbers(self, records: list[Record]) -> None:
        from mlflow.entities import Metric

        metrics: list[Metric] = []
        for record in records:
            step = record.get("step", 0)
            if record["kind"] == "curve":
                curve = next(iter(record["values"]))
                if step <= self.last_step[curve]:
                    continue
                self.last_step[curve] = step
            elif record["kind"] == "system":  # numbered here: only the run knows how many there are
                if record["time"] in self.measured:
                    continue
                self.measured.add(record["time"])
                self.last_step[SYSTEM] += 1
                step = self.last_step[SYSTEM]
            if len(metrics) + len(record["values"]) > METRICS:  # a record goes whole: its first curve stands for the others
                self.to.client.log_batch(self.to.run_id, metrics=metrics)
                metrics = []
            metrics += [Metric(name, value, record["time"], step) for name, value in record["values"].items()]
        if metrics:
            self.to.client.log_batch(self.to.run_id, metrics=metrics)

    @contextmanager
    def _files(self, record: Record) -> Iterator[list[Path]]:
        """The files of a record in a folder of their own: where they wait, there may be no room for them."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self.outbox.attached(record).items():
                (Path(folder) / name).write_bytes(content)
            yield sorted(Path(folder).iterdir())

    def _begin(self, _record: Record) -> None:
        self.to.client.update_run(self.to.run_id, "RUNNING")

    def _end(self, record: Record) -> None:
        if record.get("unless_ended") and self.to.client.get_run(self.to.run_id).info.status != "RUNNING":
            return
        self.to.client.set_terminated(self.to.run_id, record["status"], record["time"])

    def _tags(self, record: Record) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(name, shorten(text, TAG_LENGTH)) for name, text in record["values"].items()]
        self.to.client.log_batch(self.to.run_id, tags=tags)

    def _description(self, record: Record) -> None:
        def address(match: re.Match[str]) -> str:  # relative to the UI's own, which may lie behind a prefix
            path = quote(match[3], safe="" if match[1] else "/")
            page = f"#/experiments/{self.to.experiment_id}/runs/{self.to.run_id}/artifacts/{path}"
            file = f"get-artifact?path={path}&run_uuid={self.to.run_id}"
            return f"{match[1]}[{match[2]}]({file if match[1] else page})"

        before = self.to.client.get_run(self.to.run_id).data.tags.get(NOTE_TAG, "")
        ours = OF_ARTIFACT.sub(address, record["text"])
        self.to.client.set_tag(self.to.run_id, NOTE_TAG, with_description(before, ours))

    def _artifact(self, record: Record) -> None:
        with self._files(record) as files:
            for file in files:
                self.to.client.log_artifact(self.to.run_id, str(file), record["folder"])

    def _samples(self, record: Record) -> None:
        """Do what MLflow's `log_image` does; that cannot go on where an earlier attempt was cut."""
        from mlflow.tracking.multimedia import compress_image_size

        with self._files(record) as files:
            for file in files:
                key = f"{SAMPLES}~{file.stem}", record["step"]
                name = self.pictures.setdefault(key, f"{key[0]}+step+{key[1]}+timestamp+{record['time']}+{uuid4()}")
                whole, small = file.rename(file.with_name(f"{name}.png")), file.with_name(f"{name}+compressed.webp")
                with Image.open(whole) as picture:
                    compress_image_size(picture).save(small)
                for path in (whole, small):
                    if self.sizes.get(path.name) != path.stat().st_size:
                        self.to.client.log_artifact(self.to.run_id, str(path), "images")
        self.to.client.set_tag(self.to.run_id, PICTURES_TAG, "True")

    def _generator(self, record: Record) -> None:
        with self._files(record) as files:
            if files:
                log_generator(self.to, files[0].parent, record["attached"], record["example_side"])


class Sender:
    """A thread that empties an outbox every few seconds, and before it what earlier processes left behind."""

    def __init__(self, outbox: Outbox, store: Store, root: Path) -> None:
        self.outbox, self.store, self.root = outbox, store, root
        self.trouble: str | None = None
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True, name="MLflow")
        self.thread.start()

    def finish(self) -> bool:
        """Wait until all is sent, or for a while where the store is away; then say what waits, and close the outbox.

        Returns whether all is sent, or waits on the disk.
        """
        self.closing.set()
        waited, left = 0.0, len(self.outbox)
        while self.thread.is_alive() and waited < (PATIENCE_SECONDS if self.trouble else STUCK_SECONDS):
            self.thread.join(0.1)
            waited, left = (waited + 0.1 if len(self.outbox) == left else 0.0), len(self.outbox)
        kept = self.outbox.close()
        if len(self.outbox) > 0 and kept:
            say(
                f"{len(self.outbox)} records for MLflow at {self.store} wait in {self.outbox.folder}: `cyclegan sync` "
                f"sends them, as does the next stage that runs"
            )
        return kept

    def _run(self) -> None:
        delivery: Delivery | None = None
        pause = 0.0
        while not self.outbox.closed:
            self.closing.wait(pause)
            closing = self.closing.is_set()
            try:
                if delivery is None:
                    away = _send_left_behind(self.root, self.store)[1]  # first: evaluation adds to a training there
                    if away:
                        raise away[self.store]
                    delivery = Delivery(_connect(self.outbox), self.outbox)
                delivery.send()
                if self.trouble and not self.outbox.closed:
                    say(f"MLflow at {self.store} is back; what waited is sent")
                self.trouble, pause = None, SEND_SECONDS
                if closing:
                    return
            except Exception as error:  # no trouble with a log is worth a training
                delivery = None
                if not self.trouble:
                    say(f"warning: MLflow at {self.store}: {explain(error)}; the log waits in {self.outbox.folder}")
                self.trouble = explain(error)
                pause = 1.0 if closing else min(MOST_SECONDS, max(1.0, 2 * pause))
                if closing:
                    time.sleep(pause)


def sync(root: Path) -> list[str]:
    """Send what processes that are no more left in a project's outboxes; returns what went wrong.

    A training that ended without a word was killed, and its run says so then.
    """
    return _send_left_behind(root)[0]


def _send_left_behind(root: Path, store: Store | None = None) -> tuple[list[str], dict[Store, Exception]]:
    """What went wrong, and why stores cannot be used: each is waited for once. Of all stores, or of one."""
    problems: list[str] = []
    away: dict[Store, Exception] = {}
    for folder, about in left_behind(root):
        try:
            to = Store(**about["store"])
            if store in (None, to):
                with Outbox(folder) as outbox:
                    _send(outbox, to, away)
        except BusyError:  # its process lives, or has just closed it
            continue
        except Exception as error:  # one store's trouble is not the next one's
            problems.append(f"{folder.relative_to(root)}: {explain(error)}")
    return problems, away


def _send(outbox: Outbox, store: Store, away: dict[Store, Exception]) -> None:
    if store in away:
        raise away[store]
    try:
        connection = _connect(outbox)
    except WaitsError:
        raise
    except Exception as error:
        away[store] = error
        raise
    records = outbox.first(len(outbox))
    if outbox.about["training_id"] is not None and (not records or records[-1]["kind"] != "end"):
        outbox.add("end", status="KILLED", unless_ended=True, time=outbox.last_written)
    Delivery(connection, outbox).send()


def _connect(outbox: Outbox) -> Connection:
    return _connect_as(outbox.about, outbox.folder.parents[1])


def _connect_as(about: Record, root: Path) -> Connection:
    waiting = [other for _, other in left_behind(root) if other["training_id"] is not None]
    waits = any(other["train_key"] == about["train_key"] and other["store"] == about["store"] for other in waiting)
    return connect(Store(**about["store"]), about, training_waits=waits)


def connect_to_finished(store: Store, root: Path, train_key: str, name: str) -> Connection:
    """The run of a training that is over, once all that waits for the store is sent; made under `name` where none is.

    Raises:
        MlflowException, OSError: the store cannot be reached or used.
        WaitsError: another process still sends the training's own log.
    """
    away = _send_left_behind(root, store)[1]
    if away:
        raise away[store]
    return _connect_as(
        {
            "training_id": None,
            "train_key": train_key,
            "name": name,
            "store": asdict(store),
            "time": int(1000 * time.time()),
        },
        root,
    )


def explain(error: BaseException) -> str:
    """The first line of what an error comes down to, without passwords, and what helps."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return with_remedy(without_password(next(iter(str(error).splitlines()), "")) or type(error).__name__)
