"""Which values of health are bad, what that means, and what helps; and when to say so."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from cyclegan.evaluation.health import Values  # which needs PyTorch

PATIENCE = 3  # measurements in a row in which a check fails before there is a warning
BEGINNING = 0.1  # of a training, in which there is none: its networks have learnt nothing yet


@dataclass(frozen=True)
class Check:
    """When a value is bad, and what to say then.

    Attributes:
        threshold: the last good value.
        bad: on which side of it values are bad.
        meaning: what a bad value says.
        remedy: what helps, by keys of params.yaml.
    """

    threshold: float
    bad: Literal["below", "above"]
    meaning: str
    remedy: str

    def fails(self, value: float) -> bool:
        """Whether a value is bad; one that is not a number is."""
        return not (value >= self.threshold if self.bad == "below" else value <= self.threshold)


CHECKS = {
    "colour_agreement": Check(
        -0.25,
        "below",
        "colours come out inverted or exchanged, which the cycle loss does not punish",
        "raise loss.lambda_identity, or train with another seed; where inverted is right, see runtime.ignored_checks",
    ),
    "copying": Check(
        0.05,
        "below",
        "the output is the input, all but unchanged: nothing is translated",
        "lower loss.lambda_identity, then loss.lambda_A and loss.lambda_B",
    ),
    "output_variance": Check(
        0.2,
        "below",
        "different inputs give nearly one and the same output: the generator has collapsed",
        "lower optimizer.lr, raise loss.lambda_A and loss.lambda_B, or raise train.pool_size",
    ),
    "hidden_information": Check(
        0.05,
        "above",
        "the way back reads what cannot be seen in the output, as 8 bits and mild noise destroy it: a good cycle loss says "
        "nothing about the translation then",
        "lower loss.lambda_A and loss.lambda_B, or give the domain with less detail more, and more varied, pictures",
    ),
    "judged_right": Check(
        0.998,
        "above",
        "the discriminator is never deceived: the generators learn little from it, and it may know its pictures by heart",
        "lower model.ndf, switch preprocess.flip on, use more pictures, or set loss.gan_mode to wgangp, which bears it",
    ),
}


class Watch:
    """Turns one measurement after another into lines for people: a warning once a fault lasts, and a word when it is over.

    It remembers nothing of a training that was interrupted: a fault that lasts is then told again.

    Args:
        ignored: names of checks that are not to warn.
    """

    def __init__(self, ignored: Collection[str] = ()) -> None:
        self.ignored = ignored
        self.failures: dict[str, int] = {}

    def failing(self, values: "Values") -> list[str]:
        """Which values are bad, by their whole names."""
        return [name for name, value in values.items() if _check(name) not in self.ignored and fails(name, value)]

    def lines(self, values: "Values", share: float) -> list[str]:
        """What to print of the values at a share in (0, 1] of the whole training."""
        if share < BEGINNING:
            return []
        said: list[str] = []
        failing, before = self.failing(values), self.failures
        self.failures = {name: before.get(name, 0) + 1 for name in failing}
        for name, value in values.items():
            if self.failures.get(name) == PATIENCE:
                said.append(f"warning: {explain(name, value)}")
            elif before.get(name, 0) >= PATIENCE and name not in failing:
                said.append(f"health/{name} is {value:.3g}: good again")
        return said


def is_wanted(check: str, gan_mode: object) -> bool:
    """Whether what a check finds is no fault: a critic (wgangp) is to be always right."""
    return check == "judged_right" and gan_mode == "wgangp"


def fails(name: str, value: float) -> bool:
    """Whether a value, by its whole name (A_to_B/copying), is bad."""
    return CHECKS[_check(name)].fails(value)


def explain(name: str, value: float) -> str:
    """A line on a bad value, by its whole name: what it is, what it means, and what helps."""
    if not math.isfinite(value):
        return f"health/{name} is {value}: networks fail. Lower optimizer.lr, or set train.precision to float32"
    check = CHECKS[_check(name)]
    remedy = check.remedy[0].upper() + check.remedy[1:]
    return f"health/{name} is {value:.3g}, {check.bad} {check.threshold:g}: {check.meaning}. {remedy}"


def parts(name: str) -> tuple[str, str]:
    """What was examined and by which check, from a value's whole name: A_to_B and copying."""
    subject, _, check = name.rpartition("/")
    return subject, check


def _check(name: str) -> str:
    return parts(name)[1]
