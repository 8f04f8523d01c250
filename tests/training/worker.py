"""What torchrun runs for test_parallel.py, on every process: worker.py FOLDER, whose jobs.json holds trainings by name.

The first process writes how each training ended; every one writes what it was told by the others.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from test_step import InDouble
from torch import Tensor

from cyclegan import images
from cyclegan.config import Config
from cyclegan.data.batches import Streaming
from cyclegan.data.plan import Plan
from cyclegan.errors import Abandoned, UserError
from cyclegan.models.networks import Networks
from cyclegan.training.checkpoint import share_state, state_tensors
from cyclegan.training.execution import Execution
from cyclegan.training.parallel import Group, joined
from cyclegan.training.program import Program
from cyclegan.training.state import Canvas, TrainState, initial
from cyclegan.training.step import Optimizers

CPU = torch.device("cpu")
STEPS = 10
PICTURES = 8


class Noise:
    """Training pictures without even areas, whose rounding errors InstanceNorm would blow up to the size of a contrast."""

    def __init__(self, seed: int) -> None:
        self.pixels = np.random.default_rng(seed).integers(0, 256, (PICTURES, 24, 24, 3), dtype=np.uint8)

    def __getitem__(self, index: int) -> images.Pixels:
        return self.pixels[index]


def first_state(config: Config) -> TrainState:
    canvas = Canvas(config.preprocess.crop_size, config.preprocess.crop_size)
    return initial(config, canvas, canvas, CPU)


def train(config: Config, group: Group, *, double: bool) -> dict[str, Tensor]:
    """Weights, averages and pools after ten steps, and the loss terms of each, [steps, terms].

    Args:
        double: the networks compute in float64 behind a float32 face.
    """
    state = first_state(config)
    if double:
        state.networks = Networks(**{name: InDouble(network) for name, network in state.networks.items()})
        state.average = {name: InDouble(average) for name, average in state.average.items()}
        parameters = state.networks.generator_parameters(), state.networks.discriminator_parameters()
        state.optimizers = Optimizers(*(torch.optim.Adam(own, config.optimizer.lr, (0.5, 0.999)) for own in parameters))
    plan = Plan(config.seed, PICTURES, PICTURES, config.train.batch_size, config.train.pool_size, flip=True)
    loader = Streaming(Noise(0), Noise(1), config.preprocess.crop_size)
    with Program(state, plan, loader, config, "float32", Execution(), group) as program:
        losses = [program.step(config.optimizer.lr) for _ in range(STEPS)]
    tensors = {name: tensor.detach().contiguous() for name, tensor in state_tensors(state).items()}
    others = ("optimizer", "history", "validation")
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(others)} | {
        "losses": torch.stack(losses)
    }


def talk(group: Group, config: Config) -> dict[str, Any]:
    """What this process learns from the others by each method of its group."""
    me = float(group.rank)
    matrix = torch.tensor([[me, 10.0], [20.0, 30.0]]).reshape(1, 1, 2, 2).contiguous(memory_format=torch.channels_last)
    group.average([matrix, scalar := torch.tensor(me)])
    state = first_state(config.model_copy(update={"seed": group.rank}))
    state.step, state.computed_by, state.validation = 5 + group.rank, {"precision": f"of {group.rank}"}, [(me, me)]
    share_state(state, group)
    calls = iter(range(1, 100))
    stop = group.asking(lambda: 15 if next(calls) >= 2 and group.rank == group.size - 1 else None, every=3)
    told = {
        "mine": group.mine(torch.arange(2 * group.size)).tolist(),
        "gathered": group.gather(torch.tensor([[me], [me + 0.5]])).flatten().tolist(),
        "averaged": [matrix.flatten().tolist(), scalar.item()],
        "shared": group.share(f"from {group.rank}".encode(), source=1).decode(),
        "of first": group.of_first(lambda: [me + 0.1, -1e-300]),
        "state": [state.step, state.computed_by, state.validation, next(state.networks.D_B.parameters()).sum().item()],
        "stop": [stop() for _ in range(6)],
        "agreed": group.agreed(lambda: group.rank),
    }
    try:
        group.agreed(lambda: fail() if group.rank > 0 else None)
    except (UserError, Abandoned) as error:
        told["failed"] = [type(error).__name__, str(error)]
    return told


def fail() -> None:
    raise UserError("no picture here")


def main(folder: Path) -> None:
    jobs = json.loads((folder / "jobs.json").read_text())
    configs = {name: Config.model_validate_json(json.dumps(job["config"])) for name, job in jobs.items()}
    with joined() as group:
        for name, config in configs.items():
            if config.train.batch_size % group.size == 0:
                result = train(config, group, double=jobs[name]["double"])
                if group.first:
                    save_file(result, folder / f"{name}.{group.size}.safetensors")
        if group.size > 1:
            told = talk(group, next(iter(configs.values())))
            (folder / f"told.{group.rank}.of.{group.size}.json").write_text(json.dumps(told))
            raise SystemExit  # without a farewell, for which others wait after what failed


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
