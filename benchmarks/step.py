"""A training step beside the textbook's, in one run, and its share of the device's ceiling."""

import statistics
from collections.abc import Callable

import ceiling
from common import Options, Row, alternate, run, spread
from subject import Ours, Textbook, cases, modes, step_flops

from cyclegan.config import Config


def measure(options: Options) -> list[Row]:
    """A row a way of making the step, for each case.

    The textbook finds its batch on the device; ours draws, gathers and crops its pictures, and moves the averages, too.
    """
    best = ceiling.tflops(options)
    return [row for name, config in cases(options).items() for row in _case(name, config, best, options)]


def _case(name: str, config: Config, best_tflops: float, options: Options) -> list[Row]:
    wanted = modes(options) if options.complete or options.device.type == "cuda" else ("eager",)
    ours = {mode: Ours(config, options.device, mode) for mode in wanted}
    if ours["eager"].precision != "float32":
        ours["eager, float32"] = Ours(config, options.device, precision="float32")
    book = Textbook(ours["eager"])
    batch, _ = ours["eager"].load()
    work: dict[str, Callable[[], object]] = {"textbook": lambda: book.step(batch)}
    for mode, training in ours.items():
        work[f"ours, {mode}"] = training.iterate
    times = alternate(work, options.device, options.rounds)
    flops, textbook = step_flops(config), statistics.median(times["textbook"])
    return [
        {
            "case": name,
            "step": way,
            "precision": "float32" if way == "textbook" else ours[way.removeprefix("ours, ")].precision,
            **spread(seconds),
            "times_textbook": textbook / statistics.median(seconds),
            "images_per_second": 2 * config.train.batch_size / statistics.median(seconds),
            "tflop": flops / 1e12,
            "share_of_ceiling": flops / 1e12 / statistics.median(seconds) / best_tflops,
        }
        for way, seconds in times.items()
    ]


if __name__ == "__main__":
    run(measure)
