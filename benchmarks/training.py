"""Training end to end, as the stage train does it: images a second, and what logging, grids and checkpoints take."""

import contextlib
import io
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from common import Options, Row, alternate, run
from subject import Ours, cases
from workspace import workspace

import cyclegan.pipeline.train as stage
from cyclegan.config import Config
from cyclegan.pipeline.download import download
from cyclegan.pipeline.health import Examiner
from cyclegan.pipeline.preprocess import preprocess
from cyclegan.tracking import TrainingRecorder
from cyclegan.training.checkpoint import Saver
from cyclegan.training.history import History
from cyclegan.training.loop import Samples
from cyclegan.training.progress import ProgressPrinter

SECONDS = 60.0  # a training takes at least so long, by what a bare step takes
PICTURES = 64  # of each domain
WATCHED = {  # what training does besides steps
    "loss curves": (History, "add"),
    "lines on the screen": (ProgressPrinter, "show"),
    "curves to the log": (TrainingRecorder, "curve"),
    "drawing sample grids": (Samples, "draw"),
    "sample grids to the log": (TrainingRecorder, "samples"),
    "health of the networks": (Examiner, "examine"),
    "checkpoints": (Saver, "save"),
}


def measure(options: Options) -> list[Row]:
    """For each case: steps by themselves, timed before the training; each thing done besides; the whole.

    `share_in_the_long_run` leaves out what is done once, at the beginning and at the end of a training.
    """
    return [{"case": name, **row} for name, config in cases(options).items() for row in _case(config, options)]


def _case(config: Config, options: Options) -> Iterator[Row]:
    ours = Ours(config, options.device)
    bare = statistics.median(alternate({"step": ours.iterate}, options.device, options.rounds, 0.1)["step"])
    steps_per_epoch = -(-PICTURES // config.train.batch_size)
    epochs = 1 if options.tiny else max(2, round(SECONDS / bare / steps_per_epoch))
    steps, pictures = epochs * steps_per_epoch, 2 * config.train.batch_size
    with workspace(_settings(config, options, epochs)), contextlib.redirect_stdout(io.StringIO()), _watched() as watched:
        trained = _settings(config, options, epochs)
        download(trained, lambda: None)
        preprocess(trained, lambda: None)
        for entry in watched.values():
            entry.clear()
        with _busy(options.device) as busy:
            stage.train(trained, lambda: None)
    (whole,) = watched.pop("fit")
    besides = sum(sum(seconds) for seconds in watched.values())
    a_step = (whole - besides) / steps  # as it was in this training
    every = {  # steps between two calls
        "loss curves": 1,
        "lines on the screen": config.runtime.log_every_steps,
        "curves to the log": config.train.history_every_steps,
        "drawing sample grids": config.runtime.sample_every_steps,
        "sample grids to the log": config.runtime.sample_every_steps,
        "health of the networks": config.runtime.sample_every_steps,
        "checkpoints": config.runtime.checkpoint_every_seconds / a_step,
    }
    long_run = {what: statistics.mean(seconds) / every[what] / a_step for what, seconds in watched.items()}
    yield {"what": "steps by themselves", "calls": steps, "seconds": steps * bare, "share": steps * bare / whole}
    for what, seconds in watched.items():
        row = {"what": what, "calls": len(seconds), "seconds": sum(seconds), "share": sum(seconds) / whole}
        yield {**row, "share_in_the_long_run": long_run[what]}
    row = {"what": "all besides steps", "calls": None, "seconds": besides, "share": besides / whole}
    yield {**row, "share_in_the_long_run": sum(long_run.values())}
    rate: Row = {"images_per_second": steps * pictures / whole}
    if busy:
        rate["gpu_busy"] = statistics.mean(busy) / 100
    yield {"what": "whole training", "calls": steps, "seconds": whole, "share": 1.0, **rate}


def _settings(config: Config, options: Options, epochs: int) -> Config:
    """Drawn pictures, and as many epochs as take long enough; how often is told and saved stays as it is.

    None are held out for validation: with so few pictures an epoch it would take a share that it has in no real training.
    """
    size = config.preprocess.load_size
    changes: dict[str, dict[str, Any]] = {
        "dataset": {"name": "shapes", "image_size": size, "n_train": PICTURES, "n_test": 8, "n_val": 0},
        "schedule": {"lr_policy": "linear", "n_epochs": epochs, "n_epochs_decay": 0},
        "tracking": {"uri": None},
        "runtime": {"device": str(options.device)},
    }
    sections = {name: getattr(config, name).model_copy(update=values) for name, values in changes.items()}
    return config.model_copy(update=sections)


@contextmanager
def _watched() -> Iterator[dict[str, list[float]]]:
    """Seconds of each call of what is watched, and of `fit`, by name."""
    watched: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        for what, (owner, name) in [*WATCHED.items(), ("fit", (stage, "fit"))]:
            watched[what] = []
            stack.enter_context(mock.patch.object(owner, name, _timed(getattr(owner, name), watched[what])))
        yield watched


def _timed(function: Any, seconds: list[float]) -> Any:
    def timed(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds.append(time.perf_counter() - started)

    return timed


@contextmanager
def _busy(device: torch.device, interval: float = 0.2) -> Iterator[list[int]]:
    """Per cent of the time in which an NVIDIA GPU computed, sampled from its driver while something runs."""
    samples: list[int] = []
    if device.type != "cuda":
        yield samples
        return
    over = threading.Event()

    def sample() -> None:
        while not over.wait(interval):
            samples.append(torch.cuda.utilization(device))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    run(measure)
