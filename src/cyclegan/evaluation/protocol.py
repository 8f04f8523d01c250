"""How a generator is scored on the test split, and what the trivial answers score there.

`fid_legacy_test`, `kid_x1000_test`: features (pytorch-fid's resizing) of all translated test pictures against all real test
pictures of the target domain; pictures are rounded to 8 bits first.
`cycle_*`: G_back(G(x)) against x. `pair_*`: G(x), rounded to 8 bits, against its true counterpart, where pairs exist.
L1 is on [-1, 1], PSNR over its range of 2, SSIM on [0, 1]; each is the mean over pictures.

Trivial answers: `copy_input` gives the input back unchanged (only between domains of equal channels), `mean_colour` gives
the mean colour of the domain asked for, whatever the input.
"""

from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from cyclegan import images
from cyclegan.config import EvaluateConfig
from cyclegan.data.store import PixelSet
from cyclegan.evaluation import metrics
from cyclegan.evaluation.features import Inception

Scores = dict[str, float | None]  # None where a score is infinite


@dataclass(frozen=True)
class Domain:
    """One domain as evaluation sees it.

    Attributes:
        files: names of the test pictures.
        real: the test pictures, float32 [N, C, H, W] in [-1, 1].
        features: their Inception features [N, 2048].
        mean_colour: of the training pictures, float32 [1, C, 1, 1] in [-1, 1].
    """

    files: list[str]
    real: Tensor
    features: Tensor
    mean_colour: Tensor


@dataclass(frozen=True)
class Translated:
    """What a pair of generators makes of one domain's test pictures, float32 in [-1, 1]; `fake` is rounded to 8 bits."""

    fake: Tensor
    reconstructed: Tensor


def load_domain(test: PixelSet, mean_levels: list[float], inception: Inception, batch_size: int) -> Domain:
    """Read a domain's test pictures; `mean_levels` are the training set's channel means in 0..255."""
    real = test.tensor(0, len(test))
    mean_colour = torch.tensor(mean_levels).reshape(1, -1, 1, 1) / 127.5 - 1
    return Domain(test.files, real, inception.legacy(images.to_uint8(real), batch_size), mean_colour)


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
    source: Domain,
    target: Domain,
    result: Translated,
    inception: Inception,
    config: EvaluateConfig,
    seed: int,
    *,
    paired: bool,
) -> tuple[dict[str, Scores], pd.DataFrame]:
    """Score one direction.

    Returns:
        the scores of `model`, `copy_input` and `mean_colour`, each by the same names; and a row a test picture.
    """

    def set_scores(features: Tensor) -> Scores:
        fid = metrics.fid(target.features, features)
        kid = metrics.kid_x1000(target.features, features, config.kid_subsets, config.kid_subset_size, seed)
        return {"fid_legacy_test": metrics.mean([fid]), "kid_x1000_test": None if kid is None else metrics.mean([kid])}

    def picture_scores(fake: Tensor, reconstructed: Tensor) -> dict[str, list[float]]:
        scores = _compare("cycle", reconstructed, source.real, config.batch_size)
        return scores | (_compare("pair", fake, target.real, config.batch_size) if paired else {})

    model = picture_scores(result.fake, result.reconstructed)
    table = {"model": set_scores(inception.legacy(images.to_uint8(result.fake), config.batch_size)) | _means(model)}

    if source.real.shape[1] == target.real.shape[1]:
        copied = picture_scores(source.real, source.real)
        table["copy_input"] = set_scores(source.features) | _means(copied)

    fake = _rounded(target.mean_colour).expand_as(target.real[:1])
    constant = inception.legacy(images.to_uint8(fake), 1).expand(len(source.real), -1)
    flat_target, flat_source = (
        _rounded(domain.mean_colour).expand(len(source.real), *domain.real.shape[1:]) for domain in (target, source)
    )
    table["mean_colour"] = set_scores(constant) | _means(picture_scores(flat_target, flat_source))
    rows = pd.DataFrame({"file": source.files, **model})
    return table, rows


def _compare(prefix: str, output: Tensor, target: Tensor, batch_size: int) -> dict[str, list[float]]:
    """Each picture's scores, a batch at a time: SSIM holds many copies of what it is given."""
    pairs = list(zip(torch.split(output, batch_size), torch.split(target, batch_size), strict=True))
    return {
        f"{prefix}_{measure.__name__}": [value for one, two in pairs for value in measure(one, two)]
        for measure in (metrics.l1, metrics.psnr, metrics.ssim)
    }


def _means(scores: dict[str, list[float]]) -> Scores:
    return {name: metrics.mean(values) for name, values in scores.items()}


def _rounded(pictures: Tensor) -> Tensor:
    """As an 8-bit file would hold them."""
    return images.to_tensor(images.to_uint8(pictures))
