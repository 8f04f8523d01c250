"""Whether the health checks catch trained generators that exchange land and sea on `earth`, which the cycle loss does not.

Not part of `make bench`: python benchmarks/swap.py, some minutes on two cores. The exchange is planted, so that it is there
to be caught: two generators are taught from true pairs, in one case with land and sea exchanged in what they are to answer,
and then a CycleGAN without identity loss goes on from them, on unpaired pictures, with discriminators that know nothing
yet. Nothing in its cycle loss speaks against an exchange that can be undone.
"""

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Options, Row, run
from subject import TINY as TINY_NETWORKS
from subject import Ours, configured, packed
from torch import Tensor, nn

from cyclegan import images, randomness
from cyclegan.config import Config
from cyclegan.evaluation import health
from cyclegan.evaluation.checks import Watch
from cyclegan.levels import from_pixels, to_uint8
from cyclegan.sources import earth

TILE, SIDE = 96, 32  # px: tiles as they are cut, so large that coasts are frequent, and as they are used
TAUGHT = 120  # true pairs to be taught by
HELD_OUT = 40  # true pairs that nobody is taught by
TRAINED = None  # unpaired pictures a domain: all there are
LESSONS, STEPS = 600, 300  # steps from true pairs, and then of the CycleGAN
EXAMINED = 6  # training pictures a domain that health is measured on, as in a training
SETTINGS: dict[str, Any] = {
    "preprocess.load_size": SIDE,
    "preprocess.crop_size": SIDE,
    "model.ngf": 16,
    "model.ndf": 16,
    "train.batch_size": 4,
    "loss.lambda_identity": 0.0,
    "optimizer.lr": 0.0004,
}
RATE = 0.001  # Adam's, of the lessons
BLUER = 0.05  # a pixel of a photograph is sea where blue is brighter than red by so much, on [-1, 1]
PLANTED = ("honest", "exchanged")

Pair = tuple[Tensor, Tensor]  # pictures of A and of B, [N, 3, H, W] in [-1, 1]


def measure(options: Options) -> list[Row]:
    """A row a planting and a moment: as taught, and after the CycleGAN's steps.

    `cycle_l1`, `pair_l1` (against the truth) and `exchanged_l1` (against the truth with land and sea exchanged) are those
    of held-out pictures, the mean of both directions, on [-1, 1]; `agreement_*` are the values of `colour_agreement`.
    """
    with tempfile.TemporaryDirectory() as folder:
        sets = _pictures(Path(folder), options)
    config = configured(SETTINGS | (TINY_NETWORKS if options.tiny else {}))
    shown = [_copied(sets["test"], _exchanged(sets["test"]))]
    for planted in PLANTED:
        shown += _planted(planted, sets, config, options)
    return shown


def _pictures(folder: Path, options: Options) -> dict[str, Pair]:
    """Tiles by set: `val` and `test` are true pairs, of `train` the two domains show different places."""
    trained, held_out, taught = (4, 4, 4) if options.tiny else (TRAINED, HELD_OUT, TAUGHT)
    earth.make(folder / "raw", TILE, trained, held_out, 0, taught)
    return {name: (_read(folder / f"raw/{name}A"), _read(folder / f"raw/{name}B")) for name in ("train", "test", "val")}


def _read(folder: Path) -> Tensor:
    files = sorted(folder.iterdir())
    return from_pixels(np.stack([images.resize(images.read(file, 3), SIDE, SIDE) for file in files]))


def _exchanged(truth: Pair) -> Pair:
    """True pairs in which, in both domains, land has the mean colour of sea and sea that of land."""
    sea = truth[0][:, 2:] > truth[0][:, :1] + BLUER
    one, other = (_with_means_exchanged(pictures, sea.expand_as(pictures)) for pictures in truth)
    return one, other


def _with_means_exchanged(pictures: Tensor, where: Tensor) -> Tensor:
    inside, outside = (
        (pictures * mask).sum((0, 2, 3), keepdim=True) / mask.sum((0, 2, 3), keepdim=True).clamp(min=1)
        for mask in (where, ~where)
    )
    return torch.where(where, pictures - inside + outside, pictures - outside + inside).clamp(-1, 1)


def _planted(planted: str, sets: dict[str, Pair], config: Config, options: Options) -> list[Row]:
    as_taught = sets["val"] if planted == "honest" else _exchanged(sets["val"])
    unpaired = tuple(packed(to_uint8(pictures).numpy()) for pictures in sets["train"])
    ours = Ours(config, options.device, sets=(unpaired[0], unpaired[1]))
    networks = ours.state.networks
    lessons, steps = (2, 2) if options.tiny else (LESSONS, STEPS)
    _teach(networks.G_AB, sets["val"][0], as_taught[1], lessons, config)
    _teach(networks.G_BA, sets["val"][1], as_taught[0], lessons, config)
    rows = [_row(planted, 0, ours, sets)]
    for _ in range(steps):
        ours.iterate()
    return [*rows, _row(planted, steps, ours, sets)]


def _teach(generator: nn.Module, pictures: Tensor, answers: Tensor, lessons: int, config: Config) -> None:
    """Descend along the L1 distance from the answers."""
    size, device = 2 * config.train.batch_size, next(generator.parameters()).device
    optimizer = torch.optim.Adam(generator.parameters(), RATE, (config.optimizer.beta1, 0.999))
    for lesson in range(lessons):
        drawn = torch.from_numpy(randomness.generator(0, "benchmark/lesson", lesson).integers(len(pictures), size=size))
        optimizer.zero_grad()
        (generator(pictures[drawn].to(device)) - answers[drawn].to(device)).abs().mean().backward()
        optimizer.step()


@torch.no_grad()
def _row(planted: str, step: int, ours: Ours, sets: dict[str, Pair]) -> Row:
    networks, (real_A, real_B) = ours.state.networks, sets["test"]
    fake_B, fake_A = (_through(G, x, ours) for G, x in ((networks.G_AB, real_A), (networks.G_BA, real_B)))
    cycle = (_through(networks.G_BA, fake_B, ours), _through(networks.G_AB, fake_A, ours))
    few_A, few_B = (pictures[:: max(1, len(pictures) // EXAMINED)][:EXAMINED].to(ours.device) for pictures in sets["train"])
    probe = health.Probe.of(few_A, few_B, 0, ours.config.train.batch_size)
    values = health.measure(networks, probe, nullcontext())
    wrong_A, wrong_B = _exchanged(sets["test"])
    return {
        "generators": planted,
        "cyclegan_steps": step,
        "cycle_l1": _l1(cycle, (real_A, real_B)),
        "pair_l1": _l1((fake_A, fake_B), (real_A, real_B)),
        "exchanged_l1": _l1((fake_A, fake_B), (wrong_A, wrong_B)),
        "agreement_A_to_B": values.get("A_to_B/colour_agreement"),
        "agreement_B_to_A": values.get("B_to_A/colour_agreement"),
        "failing": ", ".join(Watch().failing(values)) or "none",
    }


def _copied(truth: Pair, wrong: Pair) -> Row:
    """What copied inputs score, to hold the others against."""
    copies = truth[::-1]
    return {
        "generators": "copied input",
        "cyclegan_steps": None,
        "cycle_l1": 0.0,
        "pair_l1": _l1(copies, truth),
        "exchanged_l1": _l1(copies, wrong),
        "agreement_A_to_B": None,
        "agreement_B_to_A": None,
        "failing": None,
    }


def _through(generator: nn.Module, pictures: Tensor, ours: Ours) -> Tensor:
    parts = torch.split(pictures, 2 * ours.config.train.batch_size)
    return torch.cat([generator(part.to(ours.device)).float().cpu() for part in parts])


def _l1(outputs: Pair, targets: Pair) -> float:
    """The mean over both directions."""
    return sum(float((output - target).abs().mean()) for output, target in zip(outputs, targets, strict=True)) / 2


if __name__ == "__main__":
    run(measure)
