"""CycleGAN as a textbook would write it, from Zhu et al. 2017: the oracle of the fast step.

One picture at a time through a list for the history, one pass a batch, float32, and `requires_grad` switched on and off.
The adversarial losses and the gradient penalty are written from the formulas of their papers. It shares no code with the
product but the networks that it is given.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy


class ImagePool:
    """The history of Shrivastava et al. 2017 as the reference implementation keeps it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pictures: list[Tensor] = []

    def query(self, fresh: Tensor, swaps: list[bool], slots: list[int]) -> Tensor:
        """Store and show until full; then show a random old picture half the time and keep the fresh one instead."""
        if self.size == 0:
            return fresh
        shown = []
        for picture, swap, slot in zip(fresh, swaps, slots, strict=True):
            if len(self.pictures) < self.size:
                self.pictures.append(picture.clone())
                shown.append(picture)
            elif swap:
                shown.append(self.pictures[slot])
                self.pictures[slot] = picture.clone()
            else:
                shown.append(picture)
        return torch.stack(shown)


@dataclass
class Draws:
    """What chance decides in one step, for the pool of fake_A and for that of fake_B, and for the penalties of both."""

    swaps_A: list[bool]
    slots_A: list[int]
    swaps_B: list[bool]
    slots_B: list[int]
    epsilons_A: list[float]
    epsilons_B: list[float]


@dataclass
class Objective:
    """What is minimised: the kind of adversarial loss, of each score or of a picture's mean score, and the weights."""

    gan_mode: str
    of_mean_score: bool
    lambda_A: float
    lambda_B: float
    lambda_identity: float
    lambda_gp: float


class TextbookCycleGAN:
    """Trains the four networks that it is given; `D_A` judges domain A."""

    def __init__(
        self,
        G_AB: nn.Module,
        G_BA: nn.Module,
        D_A: nn.Module,
        D_B: nn.Module,
        objective: Objective,
        lr: float,
        beta1: float,
        pool_size: int,
    ) -> None:
        self.G_AB, self.G_BA, self.D_A, self.D_B = G_AB, G_BA, D_A, D_B
        self.objective = objective
        generators = [*G_AB.parameters(), *G_BA.parameters()]
        discriminators = [*D_A.parameters(), *D_B.parameters()]
        self.optimizer_G = torch.optim.Adam(generators, lr=lr, betas=(beta1, 0.999), foreach=False, fused=False)
        self.optimizer_D = torch.optim.Adam(discriminators, lr=lr, betas=(beta1, 0.999), foreach=False, fused=False)
        self.pool_A, self.pool_B = ImagePool(pool_size), ImagePool(pool_size)

    def step(self, real_A: Tensor, real_B: Tensor, draws: Draws) -> dict[str, float]:
        """One update of all four; returns every unweighted loss."""
        lambda_A, lambda_B = self.objective.lambda_A, self.objective.lambda_B
        lambda_identity = self.objective.lambda_identity
        losses: dict[str, Tensor] = {}

        # Both generators, against discriminators that stand still.
        for parameter in self._discriminator_parameters():
            parameter.requires_grad = False
        fake_B = self.G_AB(real_A)
        rec_A = self.G_BA(fake_B)
        fake_A = self.G_BA(real_B)
        rec_B = self.G_AB(fake_A)
        losses["cycle_A"] = (rec_A - real_A).abs().mean()
        losses["cycle_B"] = (rec_B - real_B).abs().mean()
        total = lambda_A * losses["cycle_A"] + lambda_B * losses["cycle_B"]
        if lambda_identity > 0:
            losses["idt_B"] = (self.G_AB(real_B) - real_B).abs().mean()
            losses["idt_A"] = (self.G_BA(real_A) - real_A).abs().mean()
            total = total + lambda_A * lambda_identity * losses["idt_A"] + lambda_B * lambda_identity * losses["idt_B"]
        losses["G_AB"] = self._generator_loss(self.D_B(fake_B))
        losses["G_BA"] = self._generator_loss(self.D_A(fake_A))
        total = total + losses["G_AB"] + losses["G_BA"]
        self.optimizer_G.zero_grad()
        total.backward()
        self.optimizer_G.step()

        # Each discriminator by itself: half of its loss on real pictures and on translations, old ones among them.
        for parameter in self._discriminator_parameters():
            parameter.requires_grad = True
        self.optimizer_D.zero_grad()
        shown_A = self.pool_A.query(fake_A.detach(), draws.swaps_A, draws.slots_A)
        losses |= self._discriminator_backward("A", self.D_A, real_A, shown_A, draws.epsilons_A)
        shown_B = self.pool_B.query(fake_B.detach(), draws.swaps_B, draws.slots_B)
        losses |= self._discriminator_backward("B", self.D_B, real_B, shown_B, draws.epsilons_B)
        self.optimizer_D.step()
        return {name: loss.item() for name, loss in losses.items()}

    def _generator_loss(self, fake: Tensor) -> Tensor:
        if self.objective.of_mean_score:
            fake = fake.mean(dim=(1, 2, 3))
        match self.objective.gan_mode:
            case "lsgan":  # Mao et al. 2017, equation 9
                return ((fake - 1) ** 2).mean()
            case "vanilla":  # Goodfellow et al. 2014, section 3: rather than minimising log(1 - D(G(z)))
                return cross_entropy(fake, torch.ones_like(fake))
            case "hinge" | "wgangp":  # Lim and Ye 2017; Gulrajani et al. 2017, algorithm 1
                return -fake.mean()
        raise AssertionError

    def _discriminator_backward(
        self, domain: str, D: nn.Module, real: Tensor, shown: Tensor, epsilons: list[float]
    ) -> dict[str, Tensor]:
        on_real, on_fake = D(real), D(shown)
        if self.objective.of_mean_score:
            on_real, on_fake = on_real.mean(dim=(1, 2, 3)), on_fake.mean(dim=(1, 2, 3))
        match self.objective.gan_mode:
            case "lsgan":
                loss = 0.5 * (((on_real - 1) ** 2).mean() + (on_fake**2).mean())
            case "vanilla":
                labels = torch.ones_like(on_real), torch.zeros_like(on_fake)
                loss = 0.5 * (cross_entropy(on_real, labels[0]) + cross_entropy(on_fake, labels[1]))
            case "hinge":
                loss = 0.5 * (torch.clamp(1 - on_real, min=0).mean() + torch.clamp(1 + on_fake, min=0).mean())
            case "wgangp":
                loss = 0.5 * (on_fake.mean() - on_real.mean())
                penalty = self._penalty(D, real, shown, epsilons)
                (loss + self.objective.lambda_gp * penalty).backward()
                return {f"D_{domain}": loss, f"gp_{domain}": penalty}
        loss.backward()
        return {f"D_{domain}": loss}

    def _penalty(self, D: nn.Module, real: Tensor, fake: Tensor, epsilons: list[float]) -> Tensor:
        """Gulrajani et al. 2017, algorithm 1, lines 4 to 7: x^ = epsilon x + (1 - epsilon) x~."""
        x = torch.stack([epsilon * r + (1 - epsilon) * f for epsilon, r, f in zip(epsilons, real, fake, strict=True)])
        x.requires_grad_(True)
        scores = D(x)
        if self.objective.of_mean_score:
            scores = scores.mean(dim=(1, 2, 3))
        (gradients,) = torch.autograd.grad(scores, x, grad_outputs=torch.ones_like(scores), create_graph=True)
        return ((gradients.flatten(1).norm(2, dim=1) - 1) ** 2).mean()

    def _discriminator_parameters(self) -> Iterator[nn.Parameter]:
        yield from self.D_A.parameters()
        yield from self.D_B.parameters()
