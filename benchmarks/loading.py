"""What a step's pictures cost: drawing what it uses, and gathering, cropping and flipping them."""

from collections.abc import Callable
from functools import partial

from common import Options, Row, alternate, run, spread
from subject import Ours, cases


def measure(options: Options) -> list[Row]:
    """A row for drawing and one for loading, for each case; `images_per_second` counts both domains."""
    rows: list[Row] = []
    for name, config in cases(options).items():
        ours = Ours(config, options.device)
        decisions = ours.plan.decisions(0)
        work: dict[str, Callable[[], object]] = {
            "decisions": partial(ours.plan.decisions, 0),
            "pictures": partial(ours.bring, decisions),
        }
        times = alternate(work, options.device, options.rounds, block_seconds=0.01 if options.tiny else 0.5)
        pictures = 2 * config.train.batch_size
        for part, seconds in times.items():
            timing = spread(seconds)
            rows.append({"case": name, "part": part, **timing, "images_per_second": pictures / timing["seconds"]})
    return rows


if __name__ == "__main__":
    run(measure)
