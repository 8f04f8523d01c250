"""The arithmetic of each score, with its error."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from cyclegan import randomness

RANGE = 2.0  # pictures span [-1, 1]
NORMAL = 1.959964  # standard errors on either side of a normal distribution's middle 95 %
COARSE = 32  # px, the side at which outputs are compared with one another
ROWS = 1024  # of a kernel matrix at a time
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601


@dataclass(frozen=True)
class Estimate:
    """A score of finitely many pictures: NaN where something is undefined, infinite where the score is.

    Attributes:
        value: the score.
        se: its standard error: how far it would vary with other pictures of the same kind.
        low, high: the interval of 95 %.
    """

    value: float
    se: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @staticmethod
    def normal(value: float, variance: float) -> "Estimate":
        """With the interval that a normal distribution would have."""
        se = math.sqrt(variance)
        return Estimate(value, se, value - NORMAL * se, value + NORMAL * se)


def fid(real: Tensor, fake: Tensor) -> Estimate:
    """Frechet Inception Distance (Heusel et al. 2017) of features [N, D] and [M, D]; covariances divide by N - 1.

    |mu_1 - mu_2|^2 + Tr S_1 + Tr S_2 - 2 Tr (S_1 S_2)^(1/2), where the last trace is taken from the features themselves:
    with S = X^T X it is the sum of the singular values of X_1 X_2^T. That is exact where covariances are singular (fewer
    pictures than features); the eigenvalues of S_1 S_2, which torchmetrics uses, take many seconds there.

    The error is the infinitesimal jackknife's (Efron 1982): the spread of each picture's influence, which the singular
    vectors give. It says how the score varies with the pictures, not that with few pictures FID is biased upwards: compare
    it only between sets of equal sizes.
    """
    first, second = (features.double() for features in (real, fake))
    shift = first.mean(0) - second.mean(0)
    x_1, x_2 = ((features - features.mean(0)) / max(len(features) - 1, 1) ** 0.5 for features in (first, second))
    q_1, r_1 = _factors(x_1)
    q_2, r_2 = _factors(x_2)
    u, singular, v = torch.linalg.svd(r_1 @ r_2.T, full_matrices=False)
    overlap = singular.sum()
    value = shift.square().sum() + x_1.square().sum() + x_2.square().sum() - 2 * overlap
    variance = 0.0
    for x, vectors, sign in ((x_1, _product(q_1, u), 1.0), (x_2, _product(q_2, v.T), -1.0)):
        n = len(x)
        squares, shared = x.square().sum(1), vectors.square() @ singular
        influence = 2 * sign * (x @ shift) * (n - 1) ** 0.5 + n * (squares - shared) - squares.sum() + overlap
        variance += float(influence.square().sum()) / n**2
    return Estimate.normal(float(value), variance)


def _factors(x: Tensor) -> tuple[Tensor | None, Tensor]:
    """Q and R of x [N, D] = Q R where there are more pictures than features, to work with the smaller R; else x itself."""
    if x.shape[0] <= x.shape[1]:
        return None, x
    q, r = torch.linalg.qr(x)
    return q, r


def _product(q: Tensor | None, vectors: Tensor) -> Tensor:
    return vectors if q is None else q @ vectors


def kid_x1000(real: Tensor, fake: Tensor) -> Estimate:
    """Kernel Inception Distance (Binkowski et al. 2018) x 1000: unbiased MMD^2 with the kernel (x.y / D + 1)^3.

    Of all pictures at once: one subset, the whole sets. Their random subsets, of which others take the mean, have the same
    expectation and add noise. The error is the jackknife's that leaves out one picture at a time, of either set.

    Args:
        real, fake: features [N, D] and [M, D].

    Returns:
        NaN where a set has fewer than two pictures: the unbiased estimate needs two; no error with fewer than three.
    """
    n, m = len(real), len(fake)
    if min(n, m) < 2:
        return Estimate(math.nan)
    x, y = real.double(), fake.double()
    within_x, within_y, across_x, across_y = _sums(x, x), _sums(y, y), _sums(x, y), _sums(y, x)
    within_x, within_y = within_x - _kernel(x, x, diagonal=True), within_y - _kernel(y, y, diagonal=True)
    of_x, of_y = within_x.sum() / (n * (n - 1)), within_y.sum() / (m * (m - 1))
    across = across_x.sum()
    value = of_x + of_y - 2 * across / (n * m)
    if min(n, m) < 3:
        return Estimate(1000 * float(value))
    variance = 0.0
    for own, crossing, size, others in ((within_x, across_x, n, m), (within_y, across_y, m, n)):
        inside = (own.sum() - 2 * own) / ((size - 1) * (size - 2))  # without each picture; the other set's own stays
        without = inside - 2 * (across - crossing) / ((size - 1) * others)
        variance += (size - 1) / size * float((without - without.mean()).square().sum())
    return Estimate.normal(1000 * float(value), 1e6 * variance)


def _kernel(x: Tensor, y: Tensor, *, diagonal: bool = False) -> Tensor:
    products = (x * y).sum(1) if diagonal else x @ y.T
    return (products / x.shape[1] + 1) ** 3


def _sums(x: Tensor, y: Tensor) -> Tensor:
    """Each x's sum of kernels with all of y, [N]."""
    return torch.cat([_kernel(rows, y).sum(1) for rows in torch.split(x, ROWS)])


def mean(values: list[float], samples: int, seed: int) -> Estimate:
    """The mean over pictures; its error and interval by the bootstrap (Efron 1979), percentiles of `samples` resamplings.

    Neither depends on the order of the pictures, but for the resamplings' own noise. Infinite values, as the PSNR of
    equal pictures is, make it infinite.
    """
    value = math.fsum(values) / len(values)
    if not math.isfinite(value) or len(values) < 2:
        return Estimate(value)
    numbers = torch.tensor(sorted(values), dtype=torch.float64)
    drawn = randomness.generator(seed, "bootstrap").integers(len(values), size=(samples, len(values)))
    means = numbers[torch.from_numpy(drawn)].mean(1)
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Estimate(value, float(means.std()), low, high)


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


def structure(output: Tensor, source: Tensor) -> list[float]:
    """How far each output has its edges where its input has them, in [-1, 1]: 1 in the very same places, 0 unrelated.

    Pearson's correlation, over pixels, of edge strength: the magnitude of Sobel's gradient of the luminance, averaged over
    3 x 3 px. It neither sees colours nor whether an edge goes from dark to light or back; 0 where either picture is flat.

    Args:
        output, source: float32 [N, C, H, W] in [-1, 1] of equal H and W; C may differ.
    """
    one, two = (_edges(luminance(pictures)).flatten(1) for pictures in (output, source))
    one, two = (edges - edges.mean(1, keepdim=True) for edges in (one, two))
    scale = (one.square().sum(1) * two.square().sum(1)).sqrt()
    values: list[float] = torch.where(scale > 1e-9, (one * two).sum(1) / scale.clamp(min=1e-9), 0.0).tolist()
    return values


def luminance(pictures: Tensor) -> Tensor:
    """Brightness [N, 1, H, W] of grey or coloured pictures [N, C, H, W]."""
    if pictures.shape[1] == 1:
        return pictures
    return (pictures * torch.tensor(LUMINANCE).reshape(3, 1, 1)).sum(1, keepdim=True)


def _edges(grey: Tensor) -> Tensor:
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    kernels = torch.stack([across, across.T])[:, None]
    gradient = functional.conv2d(functional.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels)
    return functional.avg_pool2d(gradient.norm(dim=1, keepdim=True), 3, stride=1)


def copying(output: Tensor, source: Tensor) -> list[float]:
    """Mean absolute difference of each output from its input, of their luminances where channels differ: 0 is a copy."""
    same = output.shape[1] == source.shape[1]
    return l1(output, source) if same else l1(luminance(output), luminance(source))


def diversity(outputs: Tensor) -> Estimate:
    """Mean absolute difference between two pictures [N, C, H, W] in [-1, 1], averaged down to at most 32 x 32 px.

    0 where all are the same, as after a collapse; NaN for a single picture. The error is that of a mean over all pairs
    (Hoeffding 1948): twice the error of the mean of each picture's distance from the others.
    """
    n = len(outputs)
    if n < 2:
        return Estimate(math.nan)
    height, width = outputs.shape[2:]
    coarse = functional.adaptive_avg_pool2d(outputs, (min(height, COARSE), min(width, COARSE))).flatten(1).double()
    distances = torch.cdist(coarse, coarse, p=1).sum(1) / (coarse.shape[1] * (n - 1))
    return Estimate.normal(float(distances.mean()), 4 * float(distances.var()) / n)


def rounded(value: float) -> float | None:
    """To six significant digits; None where it is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
