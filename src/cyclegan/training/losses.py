"""The loss terms of CycleGAN (Zhu et al. 2017), unweighted, and the one sum that weighs them."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from cyclegan.config import LossConfig

Terms = dict[str, Tensor]  # name -> float32 scalar, unweighted


def judged(scores: Tensor, loss: LossConfig) -> Tensor:
    """What the adversarial loss sees of a map of scores [N, 1, h, w]: all of it, or each picture's mean [N, 1, 1, 1]."""
    return scores if loss.score_per == "patch" else scores.mean((1, 2, 3), keepdim=True)


def deceiving(fake: Tensor, loss: LossConfig) -> Tensor:
    """What a generator minimises, given the discriminator's scores [N, 1, h, w] of its translations."""
    scores = judged(fake, loss)
    match loss.gan_mode:
        case "hinge" | "wgangp":
            return -scores.mean()
        case _:
            return _distance_to_label(scores, 1.0, loss)


def discerning(real: Tensor, fake: Tensor, loss: LossConfig) -> Tensor:
    """What a discriminator minimises, given its scores [N, 1, h, w] of real pictures and of translations.

    Half the sum of a term for each, averaged over the scores:
    lsgan: square of the difference from 1 and from 0 (Mao et al. 2017; the paper's section 4).
    vanilla: cross-entropy of the scores as logits (Goodfellow et al. 2014).
    hinge: max(0, 1 - real) and max(0, 1 + fake) (Lim and Ye 2017).
    wgangp: -real and fake (Gulrajani et al. 2017); `gradient_penalty` is a term of its own.
    """
    real, fake = judged(real, loss), judged(fake, loss)
    match loss.gan_mode:
        case "hinge":
            total = functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
        case "wgangp":
            total = fake.mean() - real.mean()
        case _:
            total = _distance_to_label(real, 1.0, loss) + _distance_to_label(fake, 0.0, loss)
    return total / 2


def _distance_to_label(scores: Tensor, label: float, loss: LossConfig) -> Tensor:
    labels = torch.full_like(scores, label)
    if loss.gan_mode == "vanilla":
        return functional.binary_cross_entropy_with_logits(scores, labels)
    return functional.mse_loss(scores, labels)


def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor, share: Tensor, loss: LossConfig) -> Tensor:
    """Equation 3 of Gulrajani et al. 2017: mean of (|gradient of D at x| - 1)^2 with x between `real` and `fake`.

    The gradient is that of the sum of a picture's scores, as in the reference implementation's `cal_gradient_penalty`.

    Args:
        discriminator: maps [N, C, H, W] to scores [N, 1, h, w].
        real, fake: pictures [N, C, H, W] of one size.
        share: [N], the share of `real` in each x, in [0, 1).
    """
    share = share[:, None, None, None]
    between = (share * real + (1 - share) * fake).requires_grad_()
    scores = judged(discriminator(between), loss)
    (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    norms: Tensor = gradient.flatten(1).norm(dim=1)
    return functional.mse_loss(norms, torch.ones_like(norms))


def distance(output: Tensor, target: Tensor) -> Tensor:
    """L1 between pictures in [-1, 1]: the cycle loss (equation 2) and the identity loss (section 5.2)."""
    return functional.l1_loss(output, target)


def uses_identity(loss: LossConfig) -> bool:
    """Whether any identity term has a weight."""
    return loss.lambda_identity > 0 and (loss.lambda_A > 0 or loss.lambda_B > 0)


def uses_penalty(loss: LossConfig) -> bool:
    """Whether the discriminators' gradient is penalised."""
    return loss.gan_mode == "wgangp"


def generator_loss(terms: Terms, loss: LossConfig) -> Tensor:
    """Equation 3, with the identity terms of section 5.2: what both generators minimise together.

    `idt_B` = |G_AB(real_B) - real_B| is weighed by lambda_B and `idt_A` by lambda_A, each times lambda_identity.
    """
    total = terms["G_AB"] + terms["G_BA"] + loss.lambda_A * terms["cycle_A"] + loss.lambda_B * terms["cycle_B"]
    if uses_identity(loss):
        identity = loss.lambda_A * terms["idt_A"] + loss.lambda_B * terms["idt_B"]
        total = total + loss.lambda_identity * identity
    return total


def discriminator_loss(terms: Terms, loss: LossConfig) -> Tensor:
    """What both discriminators minimise together."""
    total = terms["D_A"] + terms["D_B"]
    if uses_penalty(loss):
        total = total + loss.lambda_gp * (terms["gp_A"] + terms["gp_B"])
    return total


def term_names(loss: LossConfig) -> list[str]:
    """The terms that a step returns, in order."""
    identity = ["idt_A", "idt_B"] if uses_identity(loss) else []
    penalty = ["gp_A", "gp_B"] if uses_penalty(loss) else []
    return ["G_AB", "G_BA", "cycle_A", "cycle_B", *identity, "D_A", "D_B", *penalty]
