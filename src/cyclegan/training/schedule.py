"""Learning rate as a function of the epoch."""

from cyclegan.config import ScheduleConfig


def total_epochs(schedule: ScheduleConfig) -> int:
    """Epochs that a training has."""
    return schedule.n_epochs + schedule.n_epochs_decay


def factor(epoch: int, schedule: ScheduleConfig) -> float:
    """The share of the base rate in `epoch` (from 0): 1 for n_epochs, then linearly towards 0, which it never reaches.

    The rule of the reference implementation (`lr_policy linear`): epoch n_epochs + k trains at
    1 - (k + 1) / (n_epochs_decay + 1).
    """
    decayed = max(0, epoch + 1 - schedule.n_epochs)
    return 1.0 - decayed / (schedule.n_epochs_decay + 1)
