"""One training step: tensor arithmetic only. No randomness, no host synchronisation, no logging."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cyclegan.config import LossConfig
from cyclegan.data.batches import Batch
from cyclegan.data.plan import Decisions
from cyclegan.models.networks import Networks
from cyclegan.training.losses import Terms, adversarial, distance, generator_loss, uses_identity
from cyclegan.training.pool import Pool


@dataclass(frozen=True)
class Optimizers:
    """One Adam for both generators, one for both discriminators."""

    G: torch.optim.Optimizer
    D: torch.optim.Optimizer


@dataclass(frozen=True)
class Pools:
    """Past fake_A and fake_B."""

    A: Pool
    B: Pool


def step(
    networks: Networks,
    optimizers: Optimizers,
    pools: Pools,
    batch: Batch,
    decisions: Decisions,
    loss: LossConfig,
    precision: AbstractContextManager[None],
) -> Terms:
    """Update the four networks once, in the paper's order; returns every unweighted loss term, detached.

    Pictures are float32 [N, C, H, W] in [-1, 1]. The networks run under `precision` (autocast or nothing); losses are
    float32. Under InstanceNorm pictures do not influence one another, so several passes of one network can be one.
    """
    real_A, real_B = batch.real_A, batch.real_B
    with precision:
        if uses_identity(loss):
            fake_B, idt_B = _together(networks.G_AB, real_A, real_B)
            fake_A, idt_A = _together(networks.G_BA, real_B, real_A)
        else:
            fake_B, fake_A = networks.G_AB(real_A).float(), networks.G_BA(real_B).float()
        rec_A = networks.G_BA(fake_B).float()
        rec_B = networks.G_AB(fake_A).float()
        score_A, score_B = networks.D_A(fake_A).float(), networks.D_B(fake_B).float()
    terms = {
        "G_AB": adversarial(score_B, real=True),  # equation 1: G_AB makes D_B take fake_B for real
        "G_BA": adversarial(score_A, real=True),
        "cycle_A": distance(rec_A, real_A),  # equation 2: G_BA(G_AB(a)) = a
        "cycle_B": distance(rec_B, real_B),  #             G_AB(G_BA(b)) = b
    }
    if uses_identity(loss):
        terms["idt_A"] = distance(idt_A, real_A)  # section 5.2: G_BA(a) = a
        terms["idt_B"] = distance(idt_B, real_B)  #              G_AB(b) = b
    _descend(optimizers.G, generator_loss(terms, loss), networks.generator_parameters())

    shown_A = pools.A.query(fake_A.detach(), decisions.pool_A)  # section 4: past fakes against oscillation
    shown_B = pools.B.query(fake_B.detach(), decisions.pool_B)
    with precision:
        real_score_A, fake_score_A = _together(networks.D_A, real_A, shown_A)
        real_score_B, fake_score_B = _together(networks.D_B, real_B, shown_B)
    terms["D_A"] = (adversarial(real_score_A, real=True) + adversarial(fake_score_A, real=False)) / 2
    terms["D_B"] = (adversarial(real_score_B, real=True) + adversarial(fake_score_B, real=False)) / 2
    _descend(optimizers.D, terms["D_A"] + terms["D_B"], networks.discriminator_parameters())
    return {name: term.detach() for name, term in terms.items()}


def _together(network: nn.Module, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """One pass over two batches of equal shape; exact because the norm is per picture."""
    one, two = network(torch.cat([first, second])).float().chunk(2)
    return one, two


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor, parameters: list[nn.Parameter]) -> None:
    """One optimizer step; the backward pass reaches `parameters` only, so the other networks stay as they are."""
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss, inputs=parameters)
    optimizer.step()
