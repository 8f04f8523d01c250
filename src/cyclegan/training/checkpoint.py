"""The training state on disk: one safetensors file, written whole or not at all, never unpickled."""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cyclegan.training.state import TrainState

FORMAT = 2
KEPT = 2  # newest checkpoints


def save_checkpoint(state: TrainState, folder: Path) -> Path:
    """Write a checkpoint into `folder`, whole or not at all, and remove all but the newest two.

    The bytes are on the disk before the name is: a crash at any instant leaves the earlier checkpoints untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{state.step:09d}.safetensors"
    temporary = folder / "writing.tmp"
    about = {"format": FORMAT, "step": state.step, "run_id": state.run_id}
    tensors = {name: tensor.contiguous() for name, tensor in _tensors(state).items()}
    save_file(tensors, temporary, metadata={"cyclegan": json.dumps(about)})
    _sync(temporary)
    temporary.replace(target)
    _sync(folder)
    for old in checkpoints(folder)[KEPT:]:
        old.unlink()
    return target


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, newest first."""
    return sorted(folder.glob("step-*.safetensors"), reverse=True)


def restore_checkpoint(state: TrainState, folder: Path) -> Path | None:
    """Load the newest readable checkpoint of `folder` into `state`, in place; returns it, or None where there is none.

    A damaged file is passed over in favour of the one before it.
    """
    for path in checkpoints(folder):
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads(file.metadata()["cyclegan"])
                loaded = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        except (SafetensorError, OSError, KeyError, ValueError, TypeError):
            continue
        if about["format"] == FORMAT:
            _load(state, loaded)
            state.step, state.run_id = about["step"], about["run_id"]
            return path
    return None


def _networks(state: TrainState) -> dict[str, nn.Module]:
    return dict(state.networks.items()) | {f"average/{name}": network for name, network in state.average.items()}


def _tensors(state: TrainState) -> dict[str, Tensor]:
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
    return tensors | state.history.tensors()


def _load(state: TrainState, loaded: dict[str, Tensor]) -> None:
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
