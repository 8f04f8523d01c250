"""One training step: tensor arithmetic only. No randomness, no host synchronisation, no logging."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cyclegan.config import LossConfig
from cyclegan.data.batches import Batch
from cyclegan.data.plan import Decisions
from cyclegan.models.networks import Networks
from cyclegan.training.losses import (
    Terms,
    deceiving,
    discerning,
    discriminator_loss,
    distance,
    generator_loss,
    gradient_penalty,
    uses_identity,
    uses_penalty,
)
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
    *,
    apart: bool,
) -> Terms:
    """Update the four networks once, in the paper's order; returns every unweighted loss term, detached.

    Pictures are float32 [N, C, H, W] in [-1, 1]. The networks run under `precision` (autocast or nothing); losses are
    float32. Where pictures do not influence one another, several passes of one network are made one; `apart` keeps
    them apart and in the reference implementation's order, on which BatchNorm's running statistics depend.
    """
    G_AB, G_BA, D_A, D_B = networks.G_AB, networks.G_BA, networks.D_A, networks.D_B
    real_A, real_B = batch.real_A, batch.real_B
    identity = uses_identity(loss)
    with precision:
        if identity and not apart:
            fake_B, idt_B = _two(G_AB, real_A, real_B, apart=apart)
            fake_A, idt_A = _two(G_BA, real_B, real_A, apart=apart)
            rec_A, rec_B = G_BA(fake_B).float(), G_AB(fake_A).float()
        else:
            fake_B = G_AB(real_A).float()
            rec_A = G_BA(fake_B).float()
            fake_A = G_BA(real_B).float()
            rec_B = G_AB(fake_A).float()
            if identity:
                idt_B, idt_A = G_AB(real_B).float(), G_BA(real_A).float()
        score_A, score_B = D_A(fake_A).float(), D_B(fake_B).float()
    terms = {
        "G_AB": deceiving(score_B, loss),  # equation 1: G_AB makes D_B take fake_B for real
        "G_BA": deceiving(score_A, loss),
        "cycle_A": distance(rec_A, real_A),  # equation 2: G_BA(G_AB(a)) = a
        "cycle_B": distance(rec_B, real_B),  #             G_AB(G_BA(b)) = b
    }
    if identity:
        terms["idt_A"] = distance(idt_A, real_A)  # section 5.2: G_BA(a) = a
        terms["idt_B"] = distance(idt_B, real_B)  #              G_AB(b) = b
    _descend(optimizers.G, generator_loss(terms, loss), networks.generator_parameters())

    shown_A = pools.A.query(fake_A.detach(), decisions.pool_A)  # section 4: past fakes against oscillation
    shown_B = pools.B.query(fake_B.detach(), decisions.pool_B)
    with precision:
        scores_A = _two(D_A, real_A, shown_A, apart=apart)
        scores_B = _two(D_B, real_B, shown_B, apart=apart)
    terms["D_A"], terms["D_B"] = discerning(*scores_A, loss), discerning(*scores_B, loss)
    if uses_penalty(loss):  # in float32: bf16 is too coarse for a gradient's gradient
        share_A, share_B = (torch.from_numpy(share).to(real_A.device) for share in (decisions.share_A, decisions.share_B))
        terms["gp_A"] = gradient_penalty(D_A, real_A, shown_A, share_A, loss)
        terms["gp_B"] = gradient_penalty(D_B, real_B, shown_B, share_B, loss)
    _descend(optimizers.D, discriminator_loss(terms, loss), networks.discriminator_parameters())
    return {name: term.detach() for name, term in terms.items()}


def _two(network: nn.Module, first: Tensor, second: Tensor, *, apart: bool) -> tuple[Tensor, Tensor]:
    """What the network makes of two batches: in one pass where that is exact, which is where the norm is per picture."""
    if apart or first.shape != second.shape:
        return network(first).float(), network(second).float()
    one, two = network(torch.cat([first, second])).float().chunk(2)
    return one, two


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor, parameters: list[nn.Parameter]) -> None:
    """One optimizer step; the backward pass reaches `parameters` only, so the other networks stay as they are."""
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss, inputs=[parameter for parameter in parameters if parameter.requires_grad])
    optimizer.step()
