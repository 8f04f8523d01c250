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
from cyclegan.training.parallel import ALONE, Group
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


@dataclass(frozen=True)
class Fakes:
    """Translations into A and into B, or older ones that stand for them: float32 [N, C, H, W]."""

    A: Tensor
    B: Tensor

    def split(self, parts: int) -> list["Fakes"]:
        """Equal parts of them, in order."""
        return [Fakes(*pair) for pair in zip(self.A.chunk(parts), self.B.chunk(parts), strict=True)]


@dataclass(frozen=True)
class Mode:
    """How the networks are run, which changes no meaning.

    Attributes:
        precision: the context they run under: autocast, or nothing. Losses are float32.
        apart: where pictures do not influence one another, several passes of one network are made one; this keeps them
            apart and in the reference implementation's order, on which BatchNorm's running statistics depend.
        parts: so many equal parts of a batch go through one after another, and their gradients are added up.
        group: the processes that share the batch.
    """

    precision: AbstractContextManager[None]
    apart: bool
    parts: int = 1
    group: Group = ALONE


def step(
    networks: Networks,
    optimizers: Optimizers,
    pools: Pools,
    batch: Batch,
    decisions: Decisions,
    loss: LossConfig,
    mode: Mode,
) -> Terms:
    """Update the four networks once, in the paper's order; returns every unweighted loss term, detached.

    Pictures are float32 [N, C, H, W] in [-1, 1], and the decisions lie on their device. Of several processes, each is given
    its slice of the batch, and of what of `decisions` concerns it; what comes of it is the whole's.
    """
    parts, group = batch.split(mode.parts), mode.group
    optimizers.G.zero_grad(set_to_none=True)
    translated = [_translate(networks, part, loss, mode) for part in parts]
    _descend(optimizers.G, group)

    fakes = [fakes for _, fakes in translated]
    shown = Fakes(  # section 4: past fakes against oscillation; every process keeps those of all
        A=group.mine(pools.A.query(group.gather(torch.cat([part.A for part in fakes])), decisions.pool_A)),
        B=group.mine(pools.B.query(group.gather(torch.cat([part.B for part in fakes])), decisions.pool_B)),
    )
    shares = torch.stack([decisions.share_A, decisions.share_B]).chunk(mode.parts, dim=1)
    optimizers.D.zero_grad(set_to_none=True)
    judged = [_judge(networks, *part, loss, mode) for part in zip(parts, shown.split(mode.parts), shares, strict=True)]
    _descend(optimizers.D, group)

    terms = [terms | more for (terms, _), more in zip(translated, judged, strict=True)]
    mean = {name: torch.stack([part[name] for part in terms]).mean(0) for name in terms[0]}
    group.average(list(mean.values()))
    return mean


def _translate(networks: Networks, batch: Batch, loss: LossConfig, mode: Mode) -> tuple[Terms, Fakes]:
    """The generators' gradients, added to those there are; returns terms and translations, detached."""
    G_AB, G_BA, D_A, D_B = networks.G_AB, networks.G_BA, networks.D_A, networks.D_B
    real_A, real_B = batch.real_A, batch.real_B
    identity = uses_identity(loss)
    with mode.precision:
        if identity and not mode.apart:
            fake_B, idt_B = _two(G_AB, real_A, real_B)
            fake_A, idt_A = _two(G_BA, real_B, real_A)
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
    _ascribe(generator_loss(terms, loss), networks.generator_parameters(), mode)
    return _detached(terms), Fakes(fake_A.detach(), fake_B.detach())


def _judge(networks: Networks, batch: Batch, shown: Fakes, shares: Tensor, loss: LossConfig, mode: Mode) -> Terms:
    """The discriminators' gradients, added to those there are; returns terms, detached."""
    D_A, D_B = networks.D_A, networks.D_B
    with mode.precision:
        scores_A = _two(D_A, batch.real_A, shown.A, apart=mode.apart)
        scores_B = _two(D_B, batch.real_B, shown.B, apart=mode.apart)
    terms = {"D_A": discerning(*scores_A, loss), "D_B": discerning(*scores_B, loss)}
    if uses_penalty(loss):  # in float32: bf16 is too coarse for a gradient's gradient
        terms["gp_A"] = gradient_penalty(D_A, batch.real_A, shown.A, shares[0], loss)
        terms["gp_B"] = gradient_penalty(D_B, batch.real_B, shown.B, shares[1], loss)
    _ascribe(discriminator_loss(terms, loss), networks.discriminator_parameters(), mode)
    return _detached(terms)


def _two(network: nn.Module, first: Tensor, second: Tensor, *, apart: bool = False) -> tuple[Tensor, Tensor]:
    """What the network makes of two batches: in one pass where that is exact, which is where the norm is per picture."""
    if apart or first.shape != second.shape:
        return network(first).float(), network(second).float()
    one, two = network(torch.cat([first, second])).float().chunk(2)
    return one, two


def _ascribe(loss: Tensor, parameters: list[nn.Parameter], mode: Mode) -> None:
    """Add the gradients of a part's share of the loss; the backward pass reaches `parameters` only."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    torch.autograd.backward(loss / mode.parts, inputs=trained)


def _descend(optimizer: torch.optim.Optimizer, group: Group) -> None:
    """Along the mean of all processes' gradients."""
    parameters = (parameter for part in optimizer.param_groups for parameter in part["params"])
    group.average([parameter.grad for parameter in parameters if parameter.grad is not None])
    optimizer.step()


def _detached(terms: Terms) -> Terms:
    return {name: term.detach() for name, term in terms.items()}
