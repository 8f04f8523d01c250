"""The whole of a step, from the plan's decisions to the moving averages, run as its device runs it best."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from cyclegan.config import Config
from cyclegan.data.batches import Loader
from cyclegan.data.plan import Decisions, Plan, pack, unpack
from cyclegan.device import Precision, autocast
from cyclegan.models.layers import mixes_batch
from cyclegan.models.networks import Networks
from cyclegan.training import ema
from cyclegan.training.execution import Execution
from cyclegan.training.parallel import ALONE, Group
from cyclegan.training.pool import VariedPool
from cyclegan.training.state import TrainState
from cyclegan.training.step import Mode, step

WARM_UP_STEPS = 3  # run one by one before a capture: optimizers and kernels make what they keep in their first steps


class Program:
    """Runs step after step of a training, each with one copy of what it needs from the host to the device.

    It never waits for the device. Gathering the next step's inputs overlaps the present one.
    """

    def __init__(
        self,
        state: TrainState,
        plan: Plan,
        loader: Loader,
        config: Config,
        precision: Precision,
        execution: Execution,
        group: Group = ALONE,
    ) -> None:
        self.state, self.plan, self.loader, self.config = state, plan, loader, config
        self.device = next(state.networks.G_AB.parameters()).device
        self.mode = step_mode(config, precision, self.device, group)
        self.networks = _compiled(state.networks) if execution.compiled else state.networks
        self.run: Callable[..., Tensor] = Replay(self._whole, self.device) if execution.replayed else self._eagerly
        ahead = self.device.type == "cuda"
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="next-step") if ahead else None
        self.next: tuple[int, Future[tuple[Tensor, ...]]] | None = None

    def step(self, rate: float) -> Tensor:
        """Take the next step at a learning rate; returns the loss terms in `term_names`' order, float32 [T]."""
        rows, *fetched = self._inputs(self.state.step)
        rows[-2], rows[-1] = rate, ema.decay_at(self.state.step, self.config.train.ema_decay)
        terms = self.run(rows, *fetched)
        self.state.step += 1
        return terms

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread that gathers ahead."""
        if self.thread is not None:
            self.thread.shutdown(cancel_futures=True)

    def _inputs(self, number: int) -> tuple[Tensor, ...]:
        if self.thread is None:
            return self._gather(number)
        if self.next is None or self.next[0] != number:
            self.next = (number, self.thread.submit(self._gather, number))
        present = self.next[1]
        self.next = (number + 1, self.thread.submit(self._gather, number + 1))
        return present.result()

    def _gather(self, number: int) -> tuple[Tensor, ...]:
        """The decisions with room for the rate and the averages' decay, float64 [20, N], and what the loader fetches."""
        decisions = self.plan.decisions(number)
        rows = torch.nn.functional.pad(pack(decisions), (0, 0, 0, 2))
        inputs = (rows, *self.loader.fetch(self.mode.group.share_of(decisions)))
        return tuple(tensor.pin_memory() for tensor in inputs) if self.device.type == "cuda" else inputs

    def _eagerly(self, rows: Tensor, *fetched: Tensor) -> Tensor:
        rate, decay = rows[-2, 0].item(), rows[-1, 0].item()  # they lie on the host
        there = [tensor.to(self.device, non_blocking=True) for tensor in (rows, *fetched)]
        decisions, here = unpack(there[0]), unpack(rows)
        if isinstance(self.state.pools.A, VariedPool):
            decisions = replace(decisions, pool_A=here.pool_A)
        if isinstance(self.state.pools.B, VariedPool):
            decisions = replace(decisions, pool_B=here.pool_B)
        return self._update(decisions, tuple(there[1:]), rate, decay)

    def _whole(self, rows: Tensor, *fetched: Tensor) -> Tensor:
        """The step as a function of device tensors alone."""
        return self._update(unpack(rows), fetched, rows[-2, 0], rows[-1, 0])

    def _update(
        self, decisions: Decisions, fetched: tuple[Tensor, ...], rate: float | Tensor, decay: float | Tensor
    ) -> Tensor:
        state, config = self.state, self.config
        decisions = self.mode.group.share_of(decisions)
        for optimizer in (state.optimizers.G, state.optimizers.D):
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
        batch = self.loader.batch(decisions, fetched)
        terms = step(self.networks, state.optimizers, state.pools, batch, decisions, config.loss, self.mode)
        for name, average in state.average.items():
            ema.update(average, state.networks.generators()[name], decay)
        return torch.stack(list(terms.values()))


class Replay:
    """A function of device tensors, captured as a CUDA graph after some plain calls, and replayed from then on.

    https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs: kernels, shapes and places in memory are those of the
    capture; what changes from call to call is copied into the same input tensors.
    """

    def __init__(self, function: Callable[..., Tensor], device: torch.device) -> None:
        self.function, self.device = function, device
        self.calls = 0
        self.inputs: list[Tensor] = []
        self.graph: torch.cuda.CUDAGraph | None = None
        self.result: Tensor

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's result for host tensors (pinned ones are copied without waiting)."""
        if not self.inputs:
            self.inputs = [torch.empty_like(tensor, device=self.device) for tensor in inputs]
        for there, tensor in zip(self.inputs, inputs, strict=True):
            there.copy_(tensor, non_blocking=True)
        self.calls += 1
        if self.calls <= WARM_UP_STEPS:
            return self._beside()
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.result = self.function(*self.inputs)
        self.graph.replay()
        return self.result.clone()

    def _beside(self) -> Tensor:
        """A plain call, on a stream of its own as a capture needs it before."""
        here, side = torch.cuda.current_stream(self.device), torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        side.wait_stream(here)
        with torch.cuda.stream(side):
            result = self.function(*self.inputs)
        here.wait_stream(side)
        result.record_stream(here)
        return result


def step_mode(config: Config, precision: Precision, device: torch.device, group: Group = ALONE) -> Mode:
    """How a training of these parameters runs its networks."""
    apart = config.train.arithmetic == "textbook" or mixes_batch(config.model)
    return Mode(autocast(precision, device), apart, config.train.accumulate, group)


def _compiled(networks: Networks) -> Networks:
    compiled: dict[str, Any] = {name: torch.compile(network, dynamic=False) for name, network in networks.items()}
    return Networks(**compiled)
