"""The arithmetic of each score; torchmetrics' but for FID."""

import math
import warnings

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.image.kid import KernelInceptionDistance

RANGE = 2.0  # pictures span [-1, 1]


class _AlreadyFeatures(nn.Module):
    """Stands where torchmetrics expects a feature network: it is given features."""

    def forward(self, features: Tensor) -> Tensor:
        return features


def fid(real: Tensor, fake: Tensor) -> float:
    """Frechet Inception Distance (Heusel et al. 2017) of features [N, D] and [M, D]; covariances divide by N - 1.

    |mu_1 - mu_2|^2 + Tr S_1 + Tr S_2 - 2 Tr (S_1 S_2)^(1/2), where the last trace is taken from the features themselves:
    with S = X^T X it is the sum of the singular values of X_1 X_2^T. That is exact where covariances are singular (fewer
    pictures than features); the eigenvalues of S_1 S_2, which torchmetrics uses, take many seconds there.

    With few pictures FID is biased upwards: compare it only between sets of equal sizes.
    """
    first, second = (features.double() for features in (real, fake))
    means = [features.mean(0) for features in (first, second)]
    x_1, x_2 = (
        _triangular((features - mean) / max(len(features) - 1, 1) ** 0.5)
        for features, mean in zip((first, second), means, strict=True)
    )
    overlap = torch.linalg.matrix_norm(x_1 @ x_2.T, ord="nuc")
    return float((means[0] - means[1]).square().sum() + x_1.square().sum() + x_2.square().sum() - 2 * overlap)


def _triangular(x: Tensor) -> Tensor:
    """A matrix of at most D rows with the same X^T X as x [N, D]."""
    return torch.linalg.qr(x, mode="r").R if x.shape[0] > x.shape[1] else x


def kid_x1000(real: Tensor, fake: Tensor, subsets: int, subset_size: int, seed: int) -> float | None:
    """Kernel Inception Distance (Binkowski et al. 2018) x 1000: unbiased MMD^2, kernel (x.y / 2048 + 1)^3.

    Args:
        real, fake: features [N, 2048] and [M, 2048].
        subsets: how many random subsets.
        subset_size: pictures in each; at most min(N, M) are taken.
        seed: of the drawing of the subsets.

    Returns:
        None where a set has fewer than two pictures: the unbiased estimate needs two.
    """
    size = min(subset_size, len(real), len(fake))
    if size < 2:
        return None
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torchmetrics warns that it keeps all features
        torch.manual_seed(seed)
        metric = KernelInceptionDistance(feature=_AlreadyFeatures(), subsets=subsets, subset_size=size)
        metric.update(real, real=True)
        metric.update(fake, real=False)
        return float(metric.compute()[0]) * 1000


def l1(output: Tensor, target: Tensor) -> list[float]:
    """Mean absolute difference of each picture, [N, C, H, W] in [-1, 1]: 0 is equal, 2 is black for white."""
    values: list[float] = (output - target).abs().mean(dim=(1, 2, 3)).tolist()
    return values


def psnr(output: Tensor, target: Tensor) -> list[float]:
    """Peak signal-to-noise ratio of each picture in dB, over a range of 2; infinite where they are equal."""
    values: list[float] = peak_signal_noise_ratio(
        output, target, data_range=RANGE, reduction="none", dim=(1, 2, 3)
    ).tolist()
    return values


def ssim(output: Tensor, target: Tensor) -> list[float]:
    """Structural similarity of each picture (Wang et al. 2004, Gaussian window of 11 px and sigma 1.5), at most 1.

    It is computed on intensities in [0, 1], because its luminance term counts from black.
    """
    one, two = (output + 1) / 2, (target + 1) / 2
    values = structural_similarity_index_measure(one, two, data_range=1.0, reduction="none")
    assert isinstance(values, Tensor)
    result: list[float] = values.reshape(-1).tolist()
    return result


def mean(values: list[float]) -> float | None:
    """The mean to six significant digits; None where it is infinite, as the PSNR of equal pictures is."""
    value = math.fsum(values) / len(values)
    return float(f"{value:.6g}") if math.isfinite(value) else None
