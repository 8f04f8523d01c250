"""Health of a training, measured while it trains: into MLflow, and into its output as warnings."""

import traceback
from contextlib import AbstractContextManager

import numpy as np
import torch

from cyclegan import tracking
from cyclegan.config import Config
from cyclegan.data.batches import Streaming
from cyclegan.data.store import PixelSet
from cyclegan.evaluation.checks import CHECKS, Watch, is_wanted, parts
from cyclegan.evaluation.health import Probe, Values, measure
from cyclegan.levels import from_pixels
from cyclegan.models.networks import Networks

PICTURES = 6  # of each domain
FAILING = "health/failing"  # in MLflow: how many checks fail; also where there is nothing else to log


class Examiner:
    """Measures the health of a training's networks; nothing it does can change or stop the training.

    Args:
        probe: what to measure with.
        config: which checks are not to warn.
        total: steps of the whole training.
        log: takes the values.
    """

    def __init__(self, probe: Probe, config: Config, total: int, log: tracking.TrainingRecorder) -> None:
        wanted = {check for check in CHECKS if is_wanted(check, config.loss.gan_mode)}
        self.watch = Watch({*config.runtime.ignored_checks, *wanted})
        self.probe, self.total, self.log = probe, total, log
        self.latest: tuple[int, Values] | None = None

    def examine(self, step: int, networks: Networks, precision: AbstractContextManager[None]) -> Values:
        """Measure after a step, unless that is done; tell MLflow and print warnings. Empty where it went wrong."""
        if self.latest is None or self.latest[0] != step:
            self.latest = step, self._examine(step, networks, precision)
        return self.latest[1]

    def _examine(self, step: int, networks: Networks, precision: AbstractContextManager[None]) -> Values:
        try:
            values = measure(networks, self.probe, precision)
        except Exception as error:  # no measurement is worth a training, but a mistake of ours must be seen
            traceback.print_exc()
            print(f"warning: the health at step {step} could not be measured ({error}); training goes on", flush=True)
            return {}
        finite = {f"health/{name}": value for name, value in values.items() if np.isfinite(value)}
        self.log.curve({FAILING: float(len(self.watch.failing(values)))} | finite, step)
        for line in self.watch.lines(values, step / self.total):
            print(f"step {step}/{self.total}  {line}", flush=True)
        return values


def make_probe(loader: Streaming, config: Config, device: torch.device) -> Probe:
    """The middles of training pictures, evenly spread over each set: squares of crop_size, or of the smallest side of all.

    Every side suits the networks: crop_size does, and so do whole pictures where they are trained on.
    """
    train_A, train_B = loader.train_A, loader.train_B
    sides = (*train_A.heights, *train_A.widths, *train_B.heights, *train_B.widths)
    side = min(config.preprocess.crop_size, *sides)
    real_A, real_B = (_middles(pictures, side).to(device) for pictures in (train_A, train_B))
    return Probe.of(real_A, real_B, config.seed, config.train.batch_size, per_picture=config.loss.score_per == "picture")


def _middles(pictures: PixelSet, side: int) -> torch.Tensor:
    count = min(PICTURES, len(pictures))
    chosen = [pictures[index * len(pictures) // count] for index in range(count)]
    corners = [((picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2) for picture in chosen]
    squares = [picture[top : top + side, left : left + side] for picture, (top, left) in zip(chosen, corners, strict=True)]
    return from_pixels(np.stack(squares))


def summary(values: Values) -> dict[str, dict[str, float]]:
    """Finite values for a metrics file, to six digits: by direction or discriminator, then by check."""
    table: dict[str, dict[str, float]] = {}
    for name, value in values.items():
        subject, check = parts(name)
        if np.isfinite(value):
            table.setdefault(subject, {})[check] = float(f"{value:.6g}")
    return table
