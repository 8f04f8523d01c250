"""How generators are scored on the test split, and what trivial answers and real pictures score there.

Scores of sets (`fid_*`, `kid_*`): all translated test pictures, rounded to 8 bits, against real pictures of the domain
asked for: those of its test set (`_test`), or of all its sets (`_all`).
`cycle_*`: G_back(G(x)) against x. `structure`, `copy_l1`: G(x) against x. `diversity`: the outputs among one another.
`pair_*`: G(x), rounded to 8 bits, against its true counterpart, where pairs exist.
Where they do, `kid_*` leaves out the kernel of a translation with its own counterpart, which would make it too small.
L1 is on [-1, 1], PSNR over its range of 2, SSIM on [0, 1]; each is the mean over pictures.

Trivial answers: `copy_input` gives the input back unchanged (only between domains of equal channels), `mean_colour` gives
the mean colour of the domain asked for, whatever the input. The floor, `real_train`: real training pictures of the domain
asked for, as many as are translated, because scores of sets depend on the number.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd
import torch
from torch import Tensor, nn

from cyclegan.evaluation import metrics
from cyclegan.evaluation.estimate import Estimate, mean
from cyclegan.evaluation.sets import Features, SetScorer
from cyclegan.levels import to_tensor, to_uint8

Table = dict[str, dict[str, Estimate]]  # scores by their names, by subject
Measure = Callable[[Tensor, Tensor], list[float]]


@dataclass
class Domain:
    """One domain as evaluation sees it.

    Attributes:
        files: names of the test pictures.
        real: the test pictures, float32 [N, C, H, W] in [-1, 1].
        features: theirs.
        mean_colour: of the training pictures, float32 [1, C, 1, 1] in [-1, 1].
        floor: as many training pictures as are translated to this domain, as `real`; None where there are none like those.
        floor_features: theirs.
        all_features: of all pictures, if scores against them are asked for.
    """

    files: list[str]
    real: Tensor
    features: Features
    mean_colour: Tensor
    floor: Tensor | None = None
    floor_features: Features = field(default_factory=dict)
    all_features: Features = field(default_factory=dict)


@dataclass(frozen=True)
class Translated:
    """What a pair of generators makes of one domain's test pictures, float32 in [-1, 1]; `fake` is rounded to 8 bits."""

    fake: Tensor
    reconstructed: Tensor


@dataclass(frozen=True)
class Settings:
    """How scores are made.

    Attributes:
        sets: makes the scores of sets.
        batch_size: pictures at a time.
        bootstrap_samples, seed: of the intervals of means over pictures.
        paired: whether test picture i of one domain and of the other are a true pair.
    """

    sets: SetScorer
    batch_size: int
    bootstrap_samples: int
    seed: int
    paired: bool


@torch.no_grad()
def translate(forth: nn.Module, back: nn.Module, real: Tensor, device: torch.device, batch_size: int) -> Translated:
    """Translate and reconstruct, a batch at a time; the generators lie on `device`, the pictures on the CPU."""
    fakes, reconstructions = [], []
    for batch in torch.split(real, batch_size):
        fake = forth(batch.to(device))
        fakes.append(_rounded(fake).cpu())
        reconstructions.append(back(fake).cpu())
    return Translated(torch.cat(fakes), torch.cat(reconstructions))


def score(
    source: Domain, target: Domain, results: Mapping[str, Translated], settings: Settings
) -> tuple[Table, pd.DataFrame]:
    """Score one direction.

    Args:
        source, target: the domain translated from, and the one asked for.
        results: what generators make of `source`, by subject, `model` first; what is the same object is scored once.
        settings: how.

    Returns:
        the scores of these subjects and of the trivial answers; and of the subject `model`, a row a test picture.
    """
    table: Table = {}
    rows = pd.DataFrame()
    for subject, result in results.items():
        same = next((table[other] for other in table if results[other] is result), None)
        if same is not None:
            table[subject] = same
            continue
        scores = _picture_scores(source, target, result.fake, result.reconstructed, settings)
        if subject == "model":
            rows = pd.DataFrame({"file": source.files, **scores})
        features = settings.sets.features(_batches(result.fake, settings.batch_size))
        table[subject] = _of_sets(target, features, result.fake, settings) | _means(scores, settings)

    if source.real.shape[1] == target.real.shape[1]:
        copied = _picture_scores(source, target, source.real, source.real, settings)
        table["copy_input"] = _of_sets(target, source.features, source.real, settings) | _means(copied, settings)

    count = len(source.real)
    flat_target, flat_source = (
        _rounded(domain.mean_colour).expand(count, *domain.real.shape[1:]) for domain in (target, source)
    )
    one = settings.sets.features(_batches(flat_target[:1], 1))
    constant = {how: features.expand(count, -1) for how, features in one.items()}
    flat = _picture_scores(source, target, flat_target, flat_source, settings)
    table["mean_colour"] = _of_sets(target, constant, flat_target, settings) | _means(flat, settings)
    if target.floor is not None:
        floor = settings.sets.scores(target.features, target.floor_features, "test")
        floor["diversity"] = metrics.diversity(target.floor)
        others = {"fake": "train", "real": "pair"} if settings.paired else {"fake": "train"}
        table["real_train"] = {name: found.renamed(others) for name, found in floor.items()}
    return table, rows


def _of_sets(target: Domain, features: Features, pictures: Tensor, settings: Settings) -> dict[str, Estimate]:
    scores = settings.sets.scores(target.features, features, "test", pairs=settings.paired)
    if target.all_features:  # the test pictures come first there
        scores |= settings.sets.scores(target.all_features, features, "all", pairs=settings.paired)
    return scores | {"diversity": metrics.diversity(pictures)}


def _picture_scores(
    source: Domain, target: Domain, fake: Tensor, reconstructed: Tensor, settings: Settings
) -> dict[str, list[float]]:
    """Each picture's scores, a batch at a time: SSIM holds many copies of what it is given."""
    alike: dict[str, Measure] = {"l1": metrics.l1, "psnr": metrics.psnr, "ssim": metrics.ssim}
    asked: list[tuple[str, Measure, Tensor, Tensor]] = [
        *((f"cycle_{name}", measure, reconstructed, source.real) for name, measure in alike.items()),
        ("structure", metrics.structure, fake, source.real),
        ("copy_l1", metrics.copying, fake, source.real),
    ]
    if settings.paired:
        asked += [(f"pair_{name}", measure, fake, target.real) for name, measure in alike.items()]
    return {
        name: [
            value
            for parts in zip(torch.split(output, settings.batch_size), torch.split(other, settings.batch_size), strict=True)
            for value in measure(*parts)
        ]
        for name, measure, output, other in asked
    }


def _means(scores: dict[str, list[float]], settings: Settings) -> dict[str, Estimate]:
    return {name: mean(values, settings.bootstrap_samples, settings.seed) for name, values in scores.items()}


def _batches(pictures: Tensor, batch_size: int) -> Callable[[], list[Tensor]]:
    """The pictures as 8 bits [n, H, W, C], for features."""
    return lambda: [to_uint8(batch) for batch in torch.split(pictures, batch_size)]


def _rounded(pictures: Tensor) -> Tensor:
    """As an 8-bit file would hold them."""
    return to_tensor(to_uint8(pictures))
