"""The arithmetic of each score."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cyclegan.evaluation.estimate import ABSENT, Estimate

RANGE = 2.0  # pictures span [-1, 1]
COARSE = 32  # px, the side at which outputs are compared with one another
ROWS = 1024  # of a kernel matrix at a time
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601


def fid(real: Tensor, fake: Tensor, *, pairs: bool = False) -> Estimate:
    """Frechet Inception Distance (Heusel et al. 2017) of features [N, D] and [M, D]; covariances divide by N - 1.

    |mu_1 - mu_2|^2 + Tr S_1 + Tr S_2 - 2 Tr (S_1 S_2)^(1/2), where the last trace is taken from the features themselves:
    with S = X^T X it is the sum of the singular values of X_1 X_2^T. That is exact where covariances are singular (fewer
    pictures than features); the eigenvalues of S_1 S_2, which torchmetrics uses, take many seconds there.

    The error is the infinitesimal jackknife's (Efron 1982): the spread of each picture's influence, which the singular
    vectors give. It says how the score varies with the pictures, not that with few pictures FID is biased upwards: compare
    it only between sets of equal sizes. With `pairs`, where the i-th of both show the same, the score is the same, and its
    error is that of pairs: what a picture and its counterpart add to it is added up first.
    """
    first, second = (features.double() for features in (real, fake))
    shift = first.mean(0) - second.mean(0)
    x_1, x_2 = ((features - features.mean(0)) / max(len(features) - 1, 1) ** 0.5 for features in (first, second))
    q_1, r_1 = _factors(x_1)
    q_2, r_2 = _factors(x_2)
    u, singular, v = torch.linalg.svd(r_1 @ r_2.T, full_matrices=False)
    overlap = singular.sum()
    value = shift.square().sum() + x_1.square().sum() + x_2.square().sum() - 2 * overlap
    influence = {}
    for name, x, vectors, sign in (("real", x_1, _product(q_1, u), 1.0), ("fake", x_2, _product(q_2, v.T), -1.0)):
        n = len(x)
        squares, shared = x.square().sum(1), vectors.square() @ singular
        influence[name] = 2 * sign * (x @ shift) * (n - 1) ** 0.5 + n * (squares - shared) - squares.sum() + overlap
        influence[name] /= n
    estimate = Estimate.normal(float(value), influence)
    return estimate.of_pairs() if pairs else estimate


def _factors(x: Tensor) -> tuple[Tensor | None, Tensor]:
    """Q and R of x [N, D] = Q R where there are more pictures than features, to work with the smaller R; else x itself."""
    if x.shape[0] <= x.shape[1]:
        return None, x
    q, r = torch.linalg.qr(x)
    return q, r


def _product(q: Tensor | None, vectors: Tensor) -> Tensor:
    return vectors if q is None else q @ vectors


def kid_x1000(real: Tensor, fake: Tensor, *, pairs: bool = False) -> Estimate:
    """Kernel Inception Distance (Binkowski et al. 2018) x 1000: unbiased MMD^2 with the kernel (x.y / D + 1)^3.

    Of all pictures at once: one subset, the whole sets. Their random subsets, of which others take the mean, have the same
    expectation and add noise. The error is the jackknife's that leaves out one picture at a time, of either set.

    Args:
        real, fake: features [N, D] and [M, D].
        pairs: whether the i-th of both show the same, N >= M. A picture and its own counterpart are no independent draws,
            and their kernel, larger than others, would make the distance too small, below 0 for a perfect translator. It is
            left out then (Gretton et al. 2012, "A Kernel Two-Sample Test", equation 4), and the jackknife leaves out pairs.

    Returns:
        NaN where a set has fewer than two pictures: the unbiased estimate needs two; no error with fewer than three.
    """
    n, m = len(real), len(fake)
    if min(n, m) < 2:
        return Estimate(math.nan)
    x, y = real.double(), fake.double()
    within_x, within_y = (_sums(z, z) - _kernel(z, z, diagonal=True) for z in (x, y))
    across_x, across_y = _sums(x, y), _sums(y, x)
    if pairs:
        own = _kernel(x[:m], y, diagonal=True)
        across_x[:m] -= own
        across_y -= own
    sums = _Sums(within_x.sum(), within_y.sum(), across_x.sum(), n, m, m if pairs else 0)
    value = float(sums.mmd())
    if min(n, m) < 3:
        return Estimate(1000 * value)
    if pairs:
        without = {
            "pair": sums.without(within_x[:m], within_y, across_x[:m] + across_y, 1, 1),
            "real": sums.without(within_x[m:], ABSENT, across_x[m:], 1, 0),
        }
    else:
        without = {
            "real": sums.without(within_x, ABSENT, across_x, 1, 0),
            "fake": sums.without(ABSENT, within_y, across_y, 0, 1),
        }
    return Estimate.normal(1000 * value, {name: 1000 * _jackknifed(values) for name, values in without.items()})


@dataclass(frozen=True)
class _Sums:
    """Sums of kernels over ordered pairs of different pictures: within either set and across, and of how many pictures.

    `across` leaves out `own` kernels: those of pictures with their own counterparts.
    """

    within_x: Tensor
    within_y: Tensor
    across: Tensor
    n: int
    m: int
    own: int

    def mmd(self) -> Tensor:
        n, m = self.n, self.m
        return self.within_x / (n * (n - 1)) + self.within_y / (m * (m - 1)) - 2 * self.across / (n * m - self.own)

    def without(self, of_x: Tensor, of_y: Tensor, across: Tensor, from_x: int, from_y: int) -> Tensor:
        """The distances without one picture of the first set, of the second, or without a pair, by their own sums."""
        rest = _Sums(
            self.within_x - 2 * of_x,
            self.within_y - 2 * of_y,
            self.across - across,
            self.n - from_x,
            self.m - from_y,
            self.own - 1 if from_x and from_y else self.own,
        )
        return rest.mmd()


def _jackknifed(without: Tensor) -> Tensor:
    """Influences whose squares sum up to the jackknife's variance."""
    n = max(len(without), 1)
    return ((n - 1) / n) ** 0.5 * (without.mean() - without) if len(without) else without


def _kernel(x: Tensor, y: Tensor, *, diagonal: bool = False) -> Tensor:
    products = (x * y).sum(1) if diagonal else x @ y.T
    return (products / x.shape[1] + 1) ** 3


def _sums(x: Tensor, y: Tensor) -> Tensor:
    """Each x's sum of kernels with all of y, [N]."""
    return torch.cat([_kernel(rows, y).sum(1) for rows in torch.split(x, ROWS)])


def l1(output: Tensor, target: Tensor) -> list[float]:
    """Mean absolute difference of each picture, [N, C, H, W] in [-1, 1]: 0 is equal, 2 is black for white."""
    values: list[float] = (output - target).abs().mean(dim=(1, 2, 3)).tolist()
    return values


def psnr(output: Tensor, target: Tensor) -> list[float]:
    """Peak signal-to-noise ratio of each picture in dB, over a range of 2; infinite where they are equal."""
    from torchmetrics.functional.image import peak_signal_noise_ratio  # takes seconds, and few trainings need it

    values: list[float] = peak_signal_noise_ratio(
        output, target, data_range=RANGE, reduction="none", dim=(1, 2, 3)
    ).tolist()
    return values


def ssim(output: Tensor, target: Tensor) -> list[float]:
    """Structural similarity of each picture (Wang et al. 2004, Gaussian window of 11 px and sigma 1.5), at most 1.

    It is computed on intensities in [0, 1], because its luminance term counts from black.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure  # the same

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
    influence = 2 * (distances - distances.mean()) / (n * (n - 1)) ** 0.5
    return Estimate.normal(float(distances.mean()), {"fake": influence})
