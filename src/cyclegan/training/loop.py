"""The training loop, to be read top to bottom."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from cyclegan import images, randomness
from cyclegan.config import Config
from cyclegan.errors import Interrupted
from cyclegan.levels import to_pixels
from cyclegan.models.networks import Networks, evaluating
from cyclegan.training import schedule
from cyclegan.training.checkpoint import Saver
from cyclegan.training.history import Row
from cyclegan.training.program import Program
from cyclegan.training.selection import Scored
from cyclegan.training.state import TrainState
from cyclegan.training.validation import Validation

UNREAD_STEPS = 20  # so many at most may pass before a NaN is noticed
MOST_SAMPLES = 200  # grids of a training, however long: they are kept for ever


class Observer(Protocol):
    """Who is told how training goes; nothing it does can change the result."""

    def progress(self, step: int, epoch: int, terms: Row) -> None:
        """Losses of the latest step, every `runtime.log_every_steps` steps."""

    def window(self, row: Row) -> None:
        """A row of the history; after a resumption the earlier rows come again."""

    def validated(self, step: int, cycle_A: float, cycle_B: float, scores: Sequence[Scored]) -> None:
        """Cycle losses of the validation pictures after an epoch, and the scores where they were taken.

        After a resumption the earlier ones come again.
        """

    def samples(self, step: int, grids: dict[str, images.Pixels]) -> None:
        """Sample grids by direction, every `runtime.sample_every_steps` steps and at the end."""

    def examine(self, step: int, networks: Networks, precision: AbstractContextManager[None]) -> None:
        """Look at the networks, without changing them, whenever there are samples of a trained step."""


class Samples:
    """Fixed held-out pictures, real | translated | reconstructed | identity, a row a picture."""

    def __init__(self, real_A: Tensor, real_B: Tensor) -> None:
        self.real_A, self.real_B = real_A, real_B  # float32 [N, C, H, W] in [-1, 1]

    def draw(self, state: TrainState, precision: AbstractContextManager[None]) -> dict[str, images.Pixels]:
        """A grid a direction, uint8 [H, W, 3]."""
        G_AB, G_BA = state.generators().values()
        identity = self.real_A.shape[1] == self.real_B.shape[1]
        with evaluating(G_AB, G_BA), precision:
            return {
                "A_to_B": _grid(G_AB, G_BA, self.real_A, identity=identity),
                "B_to_A": _grid(G_BA, G_AB, self.real_B, identity=identity),
            }


def fit(
    state: TrainState,
    program: Program,
    samples: Samples,
    validation: Validation | None,
    config: Config,
    observer: Observer,
    checkpoints: Path,
    stop_signal: Callable[[], int | None],
) -> None:
    """Train `state`, with the program that takes its steps, from where it is to the end of its schedule, in place.

    Or until validation finds nothing better any more. Where several processes share the training, all of them do.

    Raises:
        Interrupted: `stop_signal` returned a signal's number; the checkpoint is written, if it can be.
        UserError: a loss or a weight is NaN or infinite.
    """
    plan, precision, group = program.plan, program.mode.precision, program.mode.group
    total = plan.steps_per_epoch * schedule.total_epochs(config.schedule)
    # On a GPU, reading a loss waits for the device: there it is done for some steps at once.
    read_every = 1 if program.device.type == "cpu" else min(config.runtime.log_every_steps, UNREAD_STEPS)
    sample_every = max(config.runtime.sample_every_steps, total // MOST_SAMPLES)
    unread: list[tuple[int, int, float, Tensor]] = []
    saver = Saver(checkpoints, config.runtime.checkpoint_every_seconds, state.step)
    finished = state.step == total or state.selection.stopped > 0

    def read_losses() -> None:
        values = torch.stack([terms for *_, terms in unread]).tolist() if unread else []
        for (number, epoch, rate, _), terms in zip(unread, values, strict=True):
            end = finished and number == state.step
            row = state.history.add(number, epoch, [*terms, rate], last=end)
            if row is not None:
                observer.window(row)
            if number % config.runtime.log_every_steps == 0 or end:
                observer.progress(number, epoch, dict(zip(state.history.names, [*terms, rate], strict=True)))
        unread.clear()

    for index in range(len(state.history.rows)):  # of a resumed training: the last ones may not have been delivered
        observer.window(state.history.row(index))
    epochs = state.step // plan.steps_per_epoch
    for epoch, losses in enumerate(state.validation, start=epochs - len(state.validation) + 1):
        observer.validated(epoch * plan.steps_per_epoch, *losses, state.selection.at(epoch * plan.steps_per_epoch))
    if state.step == 0 and group.first:
        observer.samples(0, samples.draw(state, precision))
    with saver:
        while not finished:
            epoch = state.step // plan.steps_per_epoch
            watched = [
                config.loss.lambda_A * cycle_A + config.loss.lambda_B * cycle_B for cycle_A, cycle_B in state.validation
            ]
            rate = config.optimizer.lr * schedule.factor(epoch, config.schedule, watched)
            if config.model.dropout:
                stream = "dropout" if group.first else f"dropout/{group.rank}"
                torch.manual_seed(randomness.torch_seed(config.seed, stream, state.step))
            terms = program.step(rate)
            if validation is not None and state.step % plan.steps_per_epoch == 0:
                look = partial(_validate, validation, state, epoch + 1, precision, last=state.step == total)
                cycle_A, cycle_B, stopped = group.of_first(look)
                state.validation.append((cycle_A, cycle_B))
                state.selection.stopped = int(stopped)
                observer.validated(state.step, cycle_A, cycle_B, state.selection.at(state.step))

            signal_number = stop_signal()
            finished = state.step == total or state.selection.stopped > 0
            if not group.first:  # the first process reads losses, shows samples and writes checkpoints for all
                if signal_number is not None and not finished:
                    raise Interrupted(signal_number, state.step, total, state.step)
                continue
            unread.append((state.step, epoch + 1, rate, terms))
            save_due = saver.due()
            if len(unread) >= read_every or finished or save_due or signal_number is not None:
                read_losses()
            if state.step % sample_every == 0 or finished:
                observer.samples(state.step, samples.draw(state, precision))
                observer.examine(state.step, state.networks, precision)
            if save_due or finished or signal_number is not None:
                saver.save(state)
            if signal_number is not None and not finished:
                saver.wait()
                raise Interrupted(signal_number, state.step, total, saver.saved_step)


def _validate(
    validation: Validation, state: TrainState, epoch: int, precision: AbstractContextManager[None], *, last: bool
) -> tuple[float, float, float]:
    """What the first process tells the others: both cycle losses, and the epoch after which to stop, or 0."""
    losses = validation.after_epoch(state, epoch, precision, last=last)
    return *losses, float(state.selection.stopped)


def _grid(forth: nn.Module, back: nn.Module, real: Tensor, *, identity: bool) -> images.Pixels:
    fake = forth(real)
    columns = {"real": real, "fake": fake, "reconstructed": back(fake)}
    if identity:
        columns["identity"] = back(real)
    return images.grid({name: to_pixels(pictures) for name, pictures in columns.items()})
