"""CycleGAN as a textbook would write it, from Zhu et al. 2017: the oracle of the fast step.

One picture at a time through a list for the history, one pass a batch, float32, and `requires_grad` switched on and off.
It shares no code with the product but the networks that it is given.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn


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
    """What chance decides in one step, for the pool of fake_A and for that of fake_B."""

    swaps_A: list[bool]
    slots_A: list[int]
    swaps_B: list[bool]
    slots_B: list[int]


class TextbookCycleGAN:
    """Trains the four networks that it is given; `D_A` judges domain A."""

    def __init__(
        self, G_AB: nn.Module, G_BA: nn.Module, D_A: nn.Module, D_B: nn.Module, lr: float, beta1: float, pool_size: int
    ) -> None:
        self.G_AB, self.G_BA, self.D_A, self.D_B = G_AB, G_BA, D_A, D_B
        generators = [*G_AB.parameters(), *G_BA.parameters()]
        discriminators = [*D_A.parameters(), *D_B.parameters()]
        self.optimizer_G = torch.optim.Adam(generators, lr=lr, betas=(beta1, 0.999), foreach=False, fused=False)
        self.optimizer_D = torch.optim.Adam(discriminators, lr=lr, betas=(beta1, 0.999), foreach=False, fused=False)
        self.pool_A, self.pool_B = ImagePool(pool_size), ImagePool(pool_size)

    def step(
        self, real_A: Tensor, real_B: Tensor, lambda_A: float, lambda_B: float, lambda_identity: float, draws: Draws
    ) -> dict[str, float]:
        """One update of all four; returns every unweighted loss."""
        losses: dict[str, Tensor] = {}

        # Both generators, against discriminators that stand still.
        for parameter in self._discriminator_parameters():
            parameter.requires_grad = False
        fake_B = self.G_AB(real_A)
        rec_A = self.G_BA(fake_B)
        fake_A = self.G_BA(real_B)
        rec_B = self.G_AB(fake_A)
        losses["G_AB"] = ((self.D_B(fake_B) - 1) ** 2).mean()
        losses["G_BA"] = ((self.D_A(fake_A) - 1) ** 2).mean()
        losses["cycle_A"] = (rec_A - real_A).abs().mean()
        losses["cycle_B"] = (rec_B - real_B).abs().mean()
        total = losses["G_AB"] + losses["G_BA"] + lambda_A * losses["cycle_A"] + lambda_B * losses["cycle_B"]
        if lambda_identity > 0:
            losses["idt_A"] = (self.G_BA(real_A) - real_A).abs().mean()
            losses["idt_B"] = (self.G_AB(real_B) - real_B).abs().mean()
            total = total + lambda_A * lambda_identity * losses["idt_A"] + lambda_B * lambda_identity * losses["idt_B"]
        self.optimizer_G.zero_grad()
        total.backward()
        self.optimizer_G.step()

        # Each discriminator by itself: half of its loss on real pictures and on translations, old ones among them.
        for parameter in self._discriminator_parameters():
            parameter.requires_grad = True
        self.optimizer_D.zero_grad()
        shown_A = self.pool_A.query(fake_A.detach(), draws.swaps_A, draws.slots_A)
        losses["D_A"] = 0.5 * (((self.D_A(real_A) - 1) ** 2).mean() + (self.D_A(shown_A) ** 2).mean())
        losses["D_A"].backward()
        shown_B = self.pool_B.query(fake_B.detach(), draws.swaps_B, draws.slots_B)
        losses["D_B"] = 0.5 * (((self.D_B(real_B) - 1) ** 2).mean() + (self.D_B(shown_B) ** 2).mean())
        losses["D_B"].backward()
        self.optimizer_D.step()
        return {name: loss.item() for name, loss in losses.items()}

    def _discriminator_parameters(self) -> Iterator[nn.Parameter]:
        yield from self.D_A.parameters()
        yield from self.D_B.parameters()
