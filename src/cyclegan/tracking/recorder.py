"""What stages log: recorded at once in an outbox, and sent from there."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from PIL import Image

from cyclegan.errors import UserError
from cyclegan.tracking.outbox import FOLDER, BusyError, Outbox
from cyclegan.tracking.sender import Sender
from cyclegan.tracking.store import Store
from cyclegan.tracking.system import SystemMonitor

if TYPE_CHECKING:
    from cyclegan import images  # for a name of a type: who only reads runs need not wait for torch

WAIT_SECONDS = 60.0  # for another process that sends what an interrupted training left


class Recorder:
    """Takes what is to be logged; nothing it does can fail a stage."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log numbers under their names."""
        self.outbox.add("metrics", values=dict(values), step=step)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self.outbox.add("tags", values=dict(values))

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file to the run's artifacts."""
        self.outbox.attach("artifact", {path.name: path.read_bytes()}, folder=folder)

    def text(self, text: str, name: str, folder: str | None = None) -> None:
        """Write a text file among the run's artifacts; what was no UTF-8 is so again (errors "surrogateescape")."""
        self.outbox.attach("artifact", {name: text.encode(errors="surrogateescape")}, folder=folder)

    def describe(self, text: str) -> None:
        """Say in the run's description, above what people wrote there, what it comes to; replaces what was said before.

        Args:
            text: Markdown, in which `artifact:PATH` is the address of one of the run's artifacts: as a picture of the file
                itself, as a link of the page that shows it.
        """
        self.outbox.add("description", text=text)

    def generator(self, folder: Path, example_side: int) -> None:
        """Log the generator of a folder as an MLflow model.

        Args:
            folder: a generator's folder, as `models.weights` writes it.
            example_side: side in px of the pictures that serve as its input example.
        """
        files = {file.name: file.read_bytes() for file in (folder / "generator.json", folder / "generator.safetensors")}
        self.outbox.attach("generator", files, example_side=example_side)


class TrainingRecorder(Recorder):
    """The log of a training while it trains."""

    def __init__(self, outbox: Outbox, sender: Sender, *, system_metrics: bool) -> None:
        super().__init__(outbox)
        self.sender = sender
        self.outbox.add("begin")
        self.system = SystemMonitor(outbox) if system_metrics else None

    def curve(self, values: Mapping[str, float], step: int) -> None:
        """Add a point to curves that go together, the first of them one of `sender.CURVES`; a repeated step counts once."""
        self.outbox.add("curve", values=dict(values), step=step)

    def samples(self, step: int, grids: Mapping[str, "images.Pixels"]) -> None:
        """Log grids by name, uint8 [H, W, 3], so that the UI steps through them."""
        self.outbox.attach("samples", {f"{name}.png": _png(grid) for name, grid in grids.items()}, step=step)

    def finish(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED, and send what waits.

        Raises:
            UserError: it is FINISHED, and its log could neither be sent nor written to the disk.
        """
        if self.system is not None:
            self.system.stop()
        self.outbox.add("end", status=status)
        kept = self.sender.finish()
        if status == "FINISHED" and not kept:
            raise _lost(self.outbox)


def start_training(
    store: Store,
    root: Path,
    training_id: str,
    train_key: str,
    name: str,
    params: Mapping[str, object],
    tags: Mapping[str, str],
    data: Mapping[str, str],
    *,
    system_metrics: bool,
    former_names: Sequence[str] = (),
) -> TrainingRecorder:
    """Open the log of a training, or open it again after an interruption.

    Args:
        root: the project's folder, where what cannot be sent waits.
        training_id: the run is found again by it.
        name: the run's name.
        params: what to log once as parameters.
        tags: those with an empty value are taken away, where an earlier start had given them.
        data: the data's source and digest, and the commit whose code prepared it.
        former_names: names that earlier starts gave the run; another one, which a user gave it, stays.

    Raises:
        UserError: another process holds this training's outbox, or it cannot be written.
    """
    about = {
        "training_id": training_id,
        "train_key": train_key,
        "name": name,
        "former_names": list(former_names),
        "root": str(root),
        "store": asdict(store),
        "params": {key: str(value) for key, value in params.items()},
        "tags": dict(tags),
        "data": dict(data),
    }
    outbox = _outbox(root / FOLDER / training_id, about)
    return TrainingRecorder(outbox, Sender(outbox, store, root), system_metrics=system_metrics)


@contextmanager
def add_to(store: Store, root: Path, train_key: str, name: str) -> Iterator[Recorder]:
    """Add to the run of a training that is over; sent at the end of the context.

    Where no run of that training is found, as in a clone that pulled the weights, one is made under `name` that says so.

    Raises:
        UserError: what is added could neither be sent nor written to the disk.
    """
    about = {
        "training_id": None,
        "train_key": train_key,
        "name": name,
        "root": str(root),
        "store": asdict(store),
    }
    outbox = _outbox(root / FOLDER / uuid4().hex, about)
    try:
        yield Recorder(outbox)
        if not Sender(outbox, store, root).finish():
            raise _lost(outbox)
    finally:
        outbox.close()


def _outbox(folder: Path, about: Mapping[str, object]) -> Outbox:
    try:
        return Outbox(folder, about, WAIT_SECONDS)
    except BusyError:
        raise UserError(f"another process is sending what waits in {folder}; run again in a moment") from None
    except OSError as error:
        raise UserError(
            f"cannot write {folder}, where the log waits for MLflow: {error.strerror}; make room there"
        ) from None


def _lost(outbox: Outbox) -> UserError:
    return UserError(
        f"the log for MLflow can neither be sent nor written to {outbox.folder}; make room there and run `dvc repro` "
        f"again, which logs it anew (a training that is over is not repeated)"
    )


def _png(grid: "images.Pixels") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grid).save(buffer, "PNG")
    return buffer.getvalue()
