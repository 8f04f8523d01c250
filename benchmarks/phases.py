"""Where a step's time goes: loading, forward, backward and optimizer of generators and discriminators, averages."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any
from unittest import mock

import torch
from common import Options, Row, run, synchronize
from subject import Ours, cases

PHASES = (  # in their order within a step
    "decisions",
    "loading",
    "generators forward",
    "generators backward",
    "generators' optimizer",
    "pools and discriminators forward",
    "discriminators backward",
    "discriminators' optimizer",
    "averages",
    "losses to the host",
)


class Stopwatch:
    """Seconds between one mark and the next, by the mark's name; the device has finished at each."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.last = 0.0

    def start(self) -> None:
        synchronize(self.device)
        self.last = time.perf_counter()

    def mark(self, phase: str) -> None:
        """What was done since the last mark was `phase`."""
        synchronize(self.device)
        now = time.perf_counter()
        self.seconds[phase].append(now - self.last)
        self.last = now


def measure(options: Options) -> list[Row]:
    """A row a phase for each case: medians over steps, made eagerly, with a wait for the device at each boundary."""
    steps = 3 if options.tiny else 3 * options.rounds
    rows: list[Row] = []
    for name, config in cases(options).items():
        ours = Ours(config, options.device)
        ours.iterate()  # warms up
        medians = _medians(ours, steps)
        whole = sum(medians.values())
        rows += [{"case": name, "phase": key, "seconds": value, "share": value / whole} for key, value in medians.items()]
    return rows


def _medians(ours: Ours, steps: int) -> dict[str, float]:
    """Marked from outside: at both calls of autograd, and when an optimizer is done."""
    watch = Stopwatch(ours.device)
    kinds: Iterator[str] = iter(())
    backward = torch.autograd.backward

    def marked_backward(*arguments: Any, **named: Any) -> None:
        nonlocal kinds
        kind = next(kinds)
        watch.mark("generators forward" if kind == "generators" else "pools and discriminators forward")
        backward(*arguments, **named)
        watch.mark(f"{kind} backward")

    def optimized(kind: str) -> Callable[..., None]:
        return lambda *_: watch.mark(f"{kind}' optimizer")

    optimizers = ours.state.optimizers
    hooks = [
        optimizers.G.register_step_post_hook(optimized("generators")),
        optimizers.D.register_step_post_hook(optimized("discriminators")),
    ]
    with mock.patch.object(torch.autograd, "backward", marked_backward):
        for _ in range(steps):
            kinds = iter(("generators", "discriminators"))
            watch.start()
            plan = ours.plan.decisions(ours.state.step)
            watch.mark("decisions")
            batch, decisions = ours.bring(plan)
            watch.mark("loading")
            terms = ours.step(batch, decisions)
            watch.last = time.perf_counter()
            ours.average()
            watch.mark("averages")
            torch.stack(list(terms.values())).tolist()
            watch.mark("losses to the host")
    for hook in hooks:
        hook.remove()
    return {phase: median(watch.seconds[phase]) for phase in PHASES}


if __name__ == "__main__":
    run(measure)
