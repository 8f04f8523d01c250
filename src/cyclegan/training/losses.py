"""The loss terms of CycleGAN (Zhu et al. 2017), unweighted, and the one sum that weighs them."""

import torch
from torch import Tensor
from torch.nn import functional

from cyclegan.config import LossConfig

Terms = dict[str, Tensor]  # name -> float32 scalar, unweighted


def adversarial(scores: Tensor, *, real: bool) -> Tensor:
    """Least squares (Mao et al. 2017; equation 1 of the paper in its section 4 form): mean of (score - target)^2.

    Args:
        scores: a discriminator's map [N, 1, h, w].
        real: whether the target is 1 (real) or 0.
    """
    return functional.mse_loss(scores, torch.full_like(scores, float(real)))


def distance(output: Tensor, target: Tensor) -> Tensor:
    """L1 between pictures in [-1, 1]: the cycle loss (equation 2) and the identity loss (section 5.2)."""
    return functional.l1_loss(output, target)


def uses_identity(loss: LossConfig) -> bool:
    """Whether any identity term has a weight."""
    return loss.lambda_identity > 0 and (loss.lambda_A > 0 or loss.lambda_B > 0)


def generator_loss(terms: Terms, loss: LossConfig) -> Tensor:
    """Equation 3, with the identity terms of section 5.2: what both generators minimise together.

    `idt_B` = |G_AB(real_B) - real_B| is weighed by lambda_B and `idt_A` by lambda_A, each times lambda_identity.
    """
    total = terms["G_AB"] + terms["G_BA"] + loss.lambda_A * terms["cycle_A"] + loss.lambda_B * terms["cycle_B"]
    if uses_identity(loss):
        identity = loss.lambda_A * terms["idt_A"] + loss.lambda_B * terms["idt_B"]
        total = total + loss.lambda_identity * identity
    return total


def term_names(loss: LossConfig) -> list[str]:
    """The terms that a step returns, in order."""
    identity = ["idt_A", "idt_B"] if uses_identity(loss) else []
    return ["G_AB", "G_BA", "cycle_A", "cycle_B", *identity, "D_A", "D_B"]
