"""Do the ways of making a step agree? Each other mode against the eager one, from the same weights on the same pictures."""

import torch
from common import Options, Row, run
from subject import TINY, TINY_BACKEND, Ours, configured, modes
from torch import Tensor

from cyclegan.device import Precision

PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")
STEPS = 8  # a captured step is replayed from the fourth on
SMALL = TINY | {"model.ngf": 16, "model.ndf": 16, "preprocess.load_size": 72, "preprocess.crop_size": 64}
# How far a mode may lie from eager float32: each loss relative to itself, all gradients relative to their length (rounding
# turns the signs at the kinks of ReLU and L1). In bf16, eager steps lie apart from it too: there it is so many times that.
LOSS, GRADIENT = 1e-4, 5e-3
TIMES_EAGER = 1.5
AGAIN = "eager, again"  # deterministic: the same bytes


def measure(options: Options) -> list[Row]:
    """A row a precision and mode: how far losses and gradients of the first step lie from eager ones in float32.

    Losses after some steps are shown and held to nothing: where a gradient is zero but for rounding, Adam makes a full step
    of its sign. Those of replayed steps are compared one by one with eager ones of the same precision.
    """
    config = configured(TINY if options.tiny else SMALL)
    backend = TINY_BACKEND if options.tiny else "inductor"
    reference = _train(Ours(config, options.device, "eager", "float32"))
    rows: list[Row] = []
    for precision in PRECISIONS:
        bounds, eager = (LOSS, GRADIENT), reference
        for mode in (*modes(options), AGAIN):
            found = _train(Ours(config, options.device, mode, precision, backend))
            loss, gradient = _distance(found[0][0], reference[0][0]), _relative(found[1], reference[1])
            if mode == "eager":
                eager = found
                if precision == "bf16":
                    bounds = (TIMES_EAGER * loss, TIMES_EAGER * gradient)
            if mode == AGAIN:
                loss, gradient = _distance(found[0][-1], eager[0][-1]), _relative(found[1], eager[1])
                bounds = (0.0, 0.0)
            if mode == "replayed":  # the same kernels: every step gives what it gives eagerly
                loss = max(_distance(one, other) for one, other in zip(found[0], eager[0], strict=True))
            row = {"precision": precision, "mode": mode, "loss": loss, "loss_bound": bounds[0], "gradient": gradient}
            row |= {"gradient_bound": bounds[1], f"loss_after_{STEPS}_steps": _distance(found[0][-1], reference[0][-1])}
            rows.append({**row, "agrees": loss <= bounds[0] and gradient <= bounds[1]})
    return rows


def _train(ours: Ours) -> tuple[list[Tensor], Tensor]:
    """The losses of each step, and the gradients of the first."""
    losses, gradients = [], torch.empty(0)
    for number in range(STEPS):
        losses.append(ours.iterate().cpu())
        if number == 0:
            gradients = ours.gradients().cpu()
    return losses, gradients


def _relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


def _distance(one: Tensor, other: Tensor) -> float:
    """The largest relative difference of a loss."""
    return float(((one - other).abs() / other.abs().clamp(min=1e-3)).max())


if __name__ == "__main__":
    run(measure)
