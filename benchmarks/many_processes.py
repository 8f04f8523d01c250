"""What docs/scaling.md quotes: sizes of all messages, and what a step and its all-reduce take on this machine.

    python benchmarks/many_processes.py
    torchrun --standalone --nproc-per-node 2 benchmarks/many_processes.py

Each process takes an equal part of a batch of `train.batch_size`, on random pictures. Times are medians, in ms.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from cyclegan import config as configuration
from cyclegan.data.batches import Batch
from cyclegan.data.plan import Plan, pack, unpack
from cyclegan.device import choose_precision
from cyclegan.training.parallel import check_divisible, joined
from cyclegan.training.program import step_mode
from cyclegan.training.state import Canvas, initial
from cyclegan.training.step import step

REPEATS = 7  # after one that warms up


def median_ms(work: Callable[[], object], device: torch.device) -> float:
    """The median time of some calls, all of whose work is done."""
    times = []
    for _ in range(1 + REPEATS):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[1:])


def main() -> None:
    config = configuration.load(Path("params.yaml"))
    side, n = config.preprocess.crop_size, config.train.batch_size
    with joined() as group:
        check_divisible(config, group.size)
        device = group.device(config.runtime.device)
        state = initial(config, Canvas(side, side), Canvas(side, side), device)
        plan = Plan(0, 100, 100, n, config.train.pool_size, flip=True)
        channels = config.model.input_nc, config.model.output_nc
        batch = Batch(*(torch.rand(n // group.size, number, side, side, device=device) * 2 - 1 for number in channels))
        mode = step_mode(config, choose_precision(config.train.precision, device), device, group)

        def one_step() -> None:
            decisions = group.share_of(unpack(pack(plan.decisions(0)).to(device)))
            step(state.networks, state.optimizers, state.pools, batch, decisions, config.loss, mode)

        parameters = {
            "generators": state.networks.generator_parameters(),
            "discriminators": state.networks.discriminator_parameters(),
        }
        lines = [f"{group.size} processes, {device.type}, {config.model.netG}, {side} px, batch {n}"]
        for name, own in parameters.items():
            gradients = [torch.zeros_like(parameter) for parameter in own]
            took = median_ms(partial(group.average, gradients), device)
            numbers = sum(gradient.numel() for gradient in gradients)
            lines.append(f"{name}: {numbers:,} numbers, {4e-6 * numbers:.1f} MB a step; averaged in {took:.1f} ms")
        fakes = 4e-6 * side * side * n * sum(channels)
        lines.append(
            f"translations for the history: {fakes:.2f} MB a step; whole step: {median_ms(one_step, device):.0f} ms"
        )
        if group.first:
            print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
