"""A step run eagerly, ahead of the host, or captured and replayed is the same step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_checkpoint import assert_equal
from test_step import InDouble
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cyclegan.config import Config
from cyclegan.data.batches import Resident, ResidentSet
from cyclegan.models.networks import Networks
from cyclegan.training import program as programs
from cyclegan.training.execution import Execution
from cyclegan.training.program import WARM_UP_STEPS, Program, Replay
from cyclegan.training.state import TrainState

CPU = torch.device("cpu")
STEPS = 9
WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal", "aten::is_nonzero"}
CASES: dict[str, dict[str, Any]] = {
    "as published": {},
    "gradient penalty": {"loss.gan_mode": "wgangp"},
    "batch norm": {"model.norm": "batch"},
    "no average": {"train.ema_decay": 0.0},
    "in parts": {"train.batch_size": 4, "train.accumulate": 2},
    "activations computed twice": {"train.checkpoint_activations": True},
    "bf16": {"train.precision": "bf16"},
}


class Recording(TorchDispatchMode):
    """Takes note of every operation on tensors, below autograd, as the capture of a CUDA graph does."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func._schema.name not in WAITS, f"{func} waits for the device"
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result


class Graph:
    """A CUDA graph on the CPU: the operations of a capture, again, on the same tensors and with the same numbers.

    Here a capture runs what it captures, so that the replay that follows it has nothing to do.
    """

    def __init__(self) -> None:
        self.recording = Recording()
        self.fresh = True
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        if self.fresh:
            self.fresh = False
            return
        with torch.no_grad():
            for func, args, kwargs, result in self.recording.operations:
                again = func(*args, **kwargs)
                for there, now in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if isinstance(there, Tensor) and there.data_ptr() != now.data_ptr():
                        there.copy_(now)


@contextmanager
def capture(graph: Graph, capture_error_mode: str) -> Iterator[None]:
    assert capture_error_mode == "thread_local"
    with graph.recording:
        yield


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """CUDA graphs on the CPU, in the order in which they are made."""
    made: list[Graph] = []

    def make() -> Graph:
        made.append(Graph())
        return made[-1]

    monkeypatch.setattr(programs.torch.cuda, "CUDAGraph", make)
    monkeypatch.setattr(programs.torch.cuda, "graph", capture)
    monkeypatch.setattr(Replay, "_beside", lambda self: self.function(*self.inputs))
    return made


def with_rates_in_tensors(state: TrainState) -> TrainState:
    """As the optimizers of a GPU have them."""
    for optimizer in vars(state.optimizers).values():
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"])
    return state


def resident(data: Any) -> Resident:
    sets = (ResidentSet.of(pictures, CPU) for pictures in (data.loader.train_A, data.loader.train_B))
    return Resident(*sets, data.loader.crop_size)


def run(program: Program, steps: int = STEPS) -> list[list[float]]:
    """The terms of some steps, at changing rates that float32, as a GPU has them, holds exactly."""
    with program:
        return [program.step(2.0 ** -(11 + number % 3)).tolist() for number in range(steps)]


@pytest.mark.parametrize("name", CASES)
def test_replayed_steps_are_those_that_run_one_by_one(
    graphs: list[Graph],
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
    name: str,
) -> None:
    config = make_config(**{"train.pool_size": 3, **CASES[name]})
    data = make_data(config)
    plain, replayed = make_state(config), with_rates_in_tensors(make_state(config))
    precision = config.train.precision
    terms = run(Program(plain, data.plan, data.loader, config, precision, Execution()))
    execution = Execution(resident=True, replayed=True)
    again = run(Program(replayed, data.plan, resident(data), config, precision, execution))
    assert [graph.replays for graph in graphs] == [STEPS - WARM_UP_STEPS]
    assert again == terms
    for network, average in plain.average.items():
        for one, other in zip(average.parameters(), replayed.average[network].parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)  # moved by three operations instead of one
    for (_, one), (_, other) in zip(plain.networks.items(), replayed.networks.items(), strict=True):
        for key, tensor in one.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[key]), key
    assert torch.equal(plain.pools.A.slots, replayed.pools.A.slots)


def test_a_replayed_streamed_step_takes_its_pixels_from_the_host(
    graphs: list[Graph],
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
) -> None:
    config = make_config(**{"train.ema_decay": 0.0})
    data = make_data(config)
    plain, replayed = make_state(config), with_rates_in_tensors(make_state(config))
    terms = run(Program(plain, data.plan, data.loader, config, "float32", Execution()))
    again = run(Program(replayed, data.plan, data.loader, config, "float32", Execution(replayed=True)))
    assert len(graphs) == 1
    assert again == terms


def test_inputs_are_gathered_one_step_ahead_and_anew_where_the_step_is_another(
    make_config: Callable[..., Config], make_data: Callable[..., Any], make_state: Callable[[Config], TrainState]
) -> None:
    config = make_config()
    data = make_data(config)
    asked: list[int] = []

    def decisions(step: int) -> Any:
        asked.append(step)
        return data.plan.decisions(step)

    state = make_state(config)
    with Program(state, SimpleNamespace(decisions=decisions), data.loader, config, "float32", Execution()) as program:
        program.thread = programs.ThreadPoolExecutor(1)  # as on a GPU
        ahead = []
        for number in (0, 1, 2, 7):
            rows, *pixels = program._inputs(number)
            ahead.append((rows[:18], pixels))
    assert asked[:5] == [0, 1, 2, 3, 7]
    for (rows, pixels), number in zip(ahead, (0, 1, 2, 7), strict=True):
        assert torch.equal(rows, programs.pack(data.plan.decisions(number)))
        for one, other in zip(pixels, data.loader.fetch(data.plan.decisions(number)), strict=True):
            assert torch.equal(one, other)


def test_a_compiled_training_has_the_weights_of_the_networks_it_compiles(
    monkeypatch: pytest.MonkeyPatch,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
) -> None:
    """Traced as for a compiler, but run by PyTorch itself: none is needed on this machine."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: real(network, dynamic=dynamic, backend="aot_eager"))
    config = make_config()
    data = make_data(config)
    plain, compiled = make_state(config), make_state(config)
    for state in (plain, compiled):
        state.networks = Networks(**{name: InDouble(network) for name, network in state.networks.items()})
        state.average = {}
    terms = run(Program(plain, data.plan, data.loader, config, "float32", Execution()), 3)
    again = run(Program(compiled, data.plan, data.loader, config, "float32", Execution(compiled=True)), 3)
    torch.testing.assert_close(torch.tensor(again), torch.tensor(terms), rtol=1e-6, atol=1e-7)
    for (name, one), (_, other) in zip(plain.networks.items(), compiled.networks.items(), strict=True):
        for key, tensor in one.state_dict().items():
            torch.testing.assert_close(other.state_dict()[key], tensor, rtol=1e-4, atol=1e-6, msg=f"{name}.{key}")


def test_a_program_gives_the_same_bytes_twice(
    make_config: Callable[..., Config], make_data: Callable[..., Any], make_state: Callable[[Config], TrainState]
) -> None:
    config = make_config()
    data = make_data(config)
    states = [make_state(config), make_state(config)]
    first, second = (run(Program(state, data.plan, data.loader, config, "float32", Execution())) for state in states)
    assert first == second
    assert_equal(*states)
