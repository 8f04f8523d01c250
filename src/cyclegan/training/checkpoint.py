"""The training state on disk: one safetensors file, written whole or not at all, checked when read, never unpickled."""

import hashlib
import json
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save, save_file
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.training.parallel import Group
from cyclegan.training.selection import Selection
from cyclegan.training.state import TrainState

FORMAT = 4
KEPT = 2  # newest checkpoints
LARGEST_SHARE = 0.01  # of the time, that writing checkpoints may take


class DamagedError(Exception):
    """A state file that is not what was written; the text says in a few words why."""


class Saver:
    """Writes checkpoints of a training into its folder, every so many seconds, while training goes on.

    One that cannot be written (a full disk, say) is a warning: the one before it stays, and training goes on. Where
    writing is slow it is done less often, so that it takes no more than a hundredth of the time.

    Attributes:
        saved_step: the step of the newest checkpoint that was written or restored.
    """

    def __init__(self, folder: Path, every_seconds: float, saved_step: int = 0) -> None:
        self.folder = folder
        self.every_seconds = every_seconds
        self.saved_step = saved_step
        self.began = time.monotonic()
        self.took = 0.0  # seconds
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self.writing: Future[None] | None = None

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until the last one is written."""
        self.thread.shutdown()

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self.began >= max(self.every_seconds, self.took / LARGEST_SHARE)

    def save(self, state: TrainState) -> None:
        """Begin to write the state as it is now, as soon as the one before is written.

        Raises:
            UserError: weights that are not finite.
        """
        self.wait()
        self.began = time.monotonic()
        self.writing = self.thread.submit(self._write, Snapshot.of(state))

    def wait(self) -> None:
        """Until the last one is written, or cannot be."""
        if self.writing is not None:
            self.writing.result()

    def _write(self, snapshot: "Snapshot") -> None:
        try:
            write_checkpoint(snapshot, self.folder)
            self.saved_step = snapshot.step
        except OSError as error:
            print(
                f"warning: the checkpoint of step {snapshot.step} cannot be written to {self.folder}: "
                f"{error.strerror or error}; that of step {self.saved_step} stays, and training goes on",
                flush=True,
            )
        self.took = time.monotonic() - self.began


@dataclass(frozen=True)
class Snapshot:
    """A state at one instant, on the host: training may go on while it is written."""

    step: int
    about: dict[str, Any]
    tensors: dict[str, Tensor]

    @staticmethod
    def of(state: TrainState) -> "Snapshot":
        """A copy of the state.

        Raises:
            UserError: weights that are not finite.
        """
        for name, network in state.networks.items():
            if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
                raise UserError(
                    f"{name} has weights that are not finite after step {state.step}; training stopped, and the last "
                    f"checkpoint is from before. Lower optimizer.lr, or set train.precision to float32, in params.yaml "
                    f"and run `dvc repro` again"
                )
        about = {
            "training_id": state.training_id,
            "computed_by": state.computed_by,
            "continued": state.continued,
            "origins": state.origins,
            "selection": state.selection.about(),
        }
        return Snapshot(state.step, deepcopy(about), on_host(state))


def save_checkpoint(state: TrainState, folder: Path) -> Path:
    """Write a checkpoint now; raises as `write_checkpoint` and `Snapshot.of`."""
    return write_checkpoint(Snapshot.of(state), folder)


def write_checkpoint(snapshot: Snapshot, folder: Path) -> Path:
    """Write a checkpoint into `folder`, whole or not at all, and remove all but it and the one before.

    The bytes are on the disk before the name is: a crash at any instant leaves the earlier checkpoints untouched.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{snapshot.step:09d}.safetensors"
    temporary = folder / "writing.tmp"
    for stray in set(folder.iterdir()) - set(checkpoints(folder)):  # safetensors has a temporary file of its own
        stray.unlink()
    try:
        _write(snapshot.tensors, temporary, {"step": snapshot.step, **snapshot.about})
        _sync(temporary)
        temporary.replace(target)
        _sync(folder)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    later = [path for path in checkpoints(folder) if path > target]  # damaged: they were passed over
    for old in [*later, *checkpoints(folder)[len(later) + KEPT :]]:
        old.unlink()
    return target


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, newest first."""
    return sorted(folder.glob("step-*.safetensors"), reverse=True)


def restore_checkpoint(state: TrainState, folder: Path) -> Path | None:
    """Load the newest good checkpoint of `folder` into `state`, in place; returns it, or None where there is none.

    A damaged file is passed over, and said so, in favour of the one before it.
    """
    for path in checkpoints(folder):
        try:
            about, tensors = read_state(path)
        except DamagedError as error:
            print(f"warning: the checkpoint {path} is damaged ({error}); it is passed over", flush=True)
            continue
        load_tensors(state, tensors)
        state.step, state.training_id = about["step"], about["training_id"]
        state.computed_by, state.continued = about["computed_by"], about["continued"]
        state.origins = about["origins"]
        state.selection = Selection.restored(about["selection"], tensors)
        return path
    return None


def write_state(state: TrainState, path: Path, about: dict[str, Any]) -> None:
    """Write every tensor of the state, and `about` beside step and selection; the bytes depend on these alone.

    Raises:
        OSError: it cannot be written.
    """
    _write(on_host(state), path, {"step": state.step, "selection": state.selection.about(), **about})


def on_host(state: TrainState) -> dict[str, Tensor]:
    """A copy of every tensor of the state by name, in the host's memory."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in state_tensors(state).items()}


def _write(tensors: dict[str, Tensor], path: Path, about: dict[str, Any]) -> None:
    about = {"format": FORMAT, **about}
    header = json.dumps(about | {"sha256": _digest(about, tensors)})
    try:
        save_file(tensors, path, metadata={"cyclegan": header})  # one entry: the order of several changes
    except SafetensorError as error:
        raise OSError(None, str(error)) from None


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `write_state` wrote: about (format and step among it), and the tensors.

    Raises:
        DamagedError: the file cannot be read, is of another format, or is not what was written.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about: dict[str, Any] = json.loads(file.metadata()["cyclegan"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        expected = about.pop("sha256")
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DamagedError(f"it cannot be read: {error}") from None
    if about.get("format") != FORMAT:
        raise DamagedError(f"it has format {about.get('format')}, not {FORMAT}")
    if _digest(about, tensors) != expected:
        raise DamagedError("its contents do not have the digest they were written with")
    return about, tensors


def _digest(about: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        content: npt.NDArray[np.uint8] = tensor.reshape(-1).view(torch.uint8).numpy()
        digest.update(content.data)
    return digest.hexdigest()


def share_state(state: TrainState, group: Group) -> None:
    """Give every process the state of the first one, in place: the only one that needs to read a checkpoint."""
    if group.size == 1:
        return
    here = {"step": state.step, "computed_by": state.computed_by, "stopped": state.selection.stopped}
    about = json.loads(group.share(json.dumps(here).encode()))
    tensors = group.share(save(on_host(state)) if group.first else b"")
    if not group.first:
        load_tensors(state, load(tensors))
        state.step, state.computed_by, state.selection.stopped = about["step"], about["computed_by"], about["stopped"]


def _networks(state: TrainState) -> dict[str, nn.Module]:
    return dict(state.networks.items()) | {f"average/{name}": network for name, network in state.average.items()}


def state_tensors(state: TrainState) -> dict[str, Tensor]:
    """Every tensor of the state by name."""
    tensors = {
        f"{name}/{key}": tensor
        for name, network in _networks(state).items()
        for key, tensor in network.state_dict().items()
    }
    for name, optimizer in vars(state.optimizers).items():
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{name}/{index}/{key}": tensor for key, tensor in moments.items()}
    for name, pool in vars(state.pools).items():
        tensors |= {f"pool/{name}/{key}": tensor for key, tensor in pool.tensors().items()}
    tensors["validation"] = torch.tensor(state.validation, dtype=torch.float64).reshape(-1, 2)
    return tensors | state.selection.tensors() | state.history.tensors()


def load_tensors(state: TrainState, loaded: dict[str, Tensor]) -> None:
    """The opposite of `state_tensors`, in place, but for the selection's, which need their record."""

    def below(prefix: str) -> dict[str, Tensor]:
        return {key.removeprefix(prefix): tensor for key, tensor in loaded.items() if key.startswith(prefix)}

    for name, network in _networks(state).items():
        network.load_state_dict(below(f"{name}/"))
    for name, optimizer in vars(state.optimizers).items():
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for key, tensor in below(f"optimizer/{name}/").items():
            index, _, moment = key.partition("/")
            parameter = parameters[int(index)]
            if tensor.shape == parameter.shape:  # a fused optimizer pairs the two by their place in memory
                tensor = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
            moments.setdefault(int(index), {})[moment] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    for name, pool in vars(state.pools).items():
        for key, tensor in pool.tensors().items():
            tensor.copy_(loaded[f"pool/{name}/{key}"])
    state.validation = [(cycle_A, cycle_B) for cycle_A, cycle_B in loaded["validation"].tolist()]
    state.history.restore(loaded)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
