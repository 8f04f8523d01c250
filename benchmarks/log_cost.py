"""What telling MLflow costs: the training thread, which writes to the outbox, and the thread that delivers."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import Options, Row, run
from subject import cases

from cyclegan import randomness, tracking
from cyclegan.config import TrackingConfig
from cyclegan.images import CELL
from cyclegan.training.losses import term_names

COLUMNS = 4  # of a sample grid
GRAIN = 4  # px that are alike each way: noise would be the worst case of a PNG, and a flat picture the best


def measure(options: Options) -> list[Row]:
    """A row a kind of record, into a new database in a temporary folder: milliseconds a call, and until MLflow has it."""
    points, samples = (20, 2) if options.tiny else (2000, 50)
    config = next(iter(cases(options).values()))
    values = {"epoch": 1.0, "lr": 0.1} | {f"loss/{name}": 0.1 for name in term_names(config.loss)}
    cell = max(CELL, config.preprocess.crop_size)
    coarse = randomness.generator(0, "benchmark/grid").integers(
        0, 256, (config.train.n_samples * cell // GRAIN, COLUMNS * cell // GRAIN, 3), dtype=np.uint8
    )
    grid = coarse.repeat(GRAIN, axis=0).repeat(GRAIN, axis=1)
    grids = dict.fromkeys(("A_to_B", "B_to_A"), grid)
    return [
        {"record": f"a point of {len(values)} curves", **_measured(points, lambda log, step: log.curve(values, step))},
        {"record": "two sample grids", **_measured(samples, lambda log, step: log.samples(step, grids))},
    ]


def _measured(calls: int, record: Callable[[tracking.TrainingRecorder, int], None]) -> Row:
    with TemporaryDirectory() as folder:
        store = tracking.store_of(TrackingConfig(experiment="cost", uri=None, system_metrics=False), Path(folder))
        tracking.trouble(store)
        data = {"source": "none", "digest": "0", "commit": "none"}
        log = tracking.start_training(
            store, Path(folder), "id", "key", name="cost", params={}, tags={}, data=data, system_metrics=False
        )
        started = time.perf_counter()
        for step in range(calls):
            record(log, step + 1)
        recorded = time.perf_counter()
        log.finish("FINISHED")
        delivered = time.perf_counter()
        assert not log.outbox.folder.exists(), "MLflow did not take everything"
    return {
        "calls": calls,
        "ms_a_call": 1000 * (recorded - started) / calls,
        "ms_until_delivered": 1000 * (delivered - started) / calls,
    }


if __name__ == "__main__":
    run(measure)
