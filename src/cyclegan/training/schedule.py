"""Learning rate as a function of the epoch, and under the plateau policy of the validation losses before it."""

import math
from collections.abc import Sequence

from cyclegan.config import ScheduleConfig

STEP_FACTOR = 0.1  # of the policy step
PLATEAU_FACTOR, PLATEAU_THRESHOLD, PLATEAU_PATIENCE = 0.2, 0.01, 5  # the reference implementation's


def total_epochs(schedule: ScheduleConfig) -> int:
    """Epochs that a training has."""
    return schedule.n_epochs + schedule.n_epochs_decay


def factor(epoch: int, schedule: ScheduleConfig, watched: Sequence[float] = ()) -> float:
    """The share of the base rate in `epoch` (from 0). None of the policies ever reaches 0.

    The rules are those of the reference implementation (`get_scheduler`), but that cosine falls over all epochs instead of
    n_epochs, after which it would climb again, and that plateau watches a quantity that changes.

    linear: 1 for n_epochs, then 1 - (k + 1) / (n_epochs_decay + 1) in the k-th epoch after them.
    step: 0.1 ** (epochs passed / lr_decay_epochs, rounded down).
    cosine: (1 + cos(pi x epochs passed / all epochs)) / 2.
    plateau: a fifth each time that more than 5 epochs in a row were not 1 % below the best.
    constant: 1.

    Args:
        epoch: the epoch that is about to begin.
        schedule: the policy.
        watched: for plateau, the validation loss after each epoch before this one.
    """
    match schedule.lr_policy:
        case "linear":
            decayed = max(0, epoch + 1 - schedule.n_epochs)
            return 1.0 - decayed / (schedule.n_epochs_decay + 1)
        case "step":
            return STEP_FACTOR ** (epoch // schedule.lr_decay_epochs)
        case "cosine":
            return (1 + math.cos(math.pi * epoch / total_epochs(schedule))) / 2
        case "plateau":
            return _plateau(watched)
        case "constant":
            return 1.0


def _plateau(watched: Sequence[float]) -> float:
    """PyTorch's ReduceLROnPlateau, told again all that it was told."""
    share, best, bad_epochs = 1.0, math.inf, 0
    for value in watched:
        if value < best * (1 - PLATEAU_THRESHOLD):
            best, bad_epochs = value, 0
        else:
            bad_epochs += 1
        if bad_epochs > PLATEAU_PATIENCE:
            share, bad_epochs = share * PLATEAU_FACTOR, 0
    return share
