"""The arithmetic of the scores against closed forms and direct formulas."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cyclegan.evaluation.metrics import fid, kid_x1000, l1, mean, psnr, ssim


def features(n: int, mu: list[float], covariance: list[list[float]], seed: int) -> Tensor:
    """n features whose mean and covariance (over n - 1) are exactly these."""
    x = torch.randn(n, len(mu), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x -= x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / (n - 1))).T
    return x @ torch.linalg.cholesky(torch.tensor(covariance, dtype=torch.float64)).T + torch.tensor(mu)


def test_fid_of_two_gaussians_in_one_dimension_is_the_squared_distance_of_means_and_deviations() -> None:
    real, fake = features(40, [1.0], [[4.0]], 0), features(30, [3.5], [[0.25]], 1)
    assert fid(real, fake) == pytest.approx(2.5**2 + (2 - 0.5) ** 2, rel=1e-9)


def test_fid_of_covariances_that_do_not_commute_has_its_closed_form_in_two_dimensions() -> None:
    one, two = [[2.0, 0.9], [0.9, 1.0]], [[1.0, -0.8], [-0.8, 3.0]]
    product = np.array(one) @ np.array(two)
    root_trace = math.sqrt(np.trace(product) + 2 * math.sqrt(np.linalg.det(product)))
    expected = 1.0 + 3.0 + 4.0 - 2 * root_trace
    assert fid(features(50, [0, 0], one, 0), features(20, [1, 0], two, 1)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(40, 30, 8), (5, 7, 64), (60, 5, 16), (120, 100, 2048)])
def test_fid_is_that_of_the_covariance_matrices(n: int, m: int, d: int) -> None:
    """With fewer pictures than features, too, where the covariances are singular; float32 in, as Inception gives it."""
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.rand(n, d, generator=rng), 1.3 * torch.rand(m, d, generator=rng) + 0.2
    x, y = real.double().numpy(), fake.double().numpy()
    xc, yc = x - x.mean(0), y - y.mean(0)
    # Tr sqrt(S1 S2): its nonzero eigenvalues are those of the small matrix (Yc Xc^T)(Xc Yc^T) / ((n - 1)(m - 1))
    eigenvalues = np.linalg.eigvalsh(yc @ xc.T @ xc @ yc.T / ((n - 1) * (m - 1)))
    trace = np.sqrt(eigenvalues.clip(0)).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + (xc**2).sum() / (n - 1) + (yc**2).sum() / (m - 1) - 2 * trace
    assert fid(real, fake) == pytest.approx(expected, rel=1e-5)
    if d <= 8:
        eigenvalues = np.linalg.eigvals(np.cov(x.T) @ np.cov(y.T))
        assert trace == pytest.approx(np.sqrt(eigenvalues.real).sum(), rel=1e-6)


def test_fid_is_zero_for_equal_sets_symmetric_and_blind_to_order() -> None:
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.rand(60, 2048, generator=rng), torch.rand(50, 2048, generator=rng) + 0.1
    assert fid(real, real.flip(0)) == pytest.approx(0, abs=1e-6)
    distance = fid(real, fake)
    assert distance > 1
    assert fid(fake, real) == pytest.approx(distance, rel=1e-9)
    assert fid(real.flip(0), fake[torch.randperm(50, generator=rng)]) == pytest.approx(distance, rel=1e-9)


def test_fid_against_a_constant_is_the_distance_of_means_and_the_spread() -> None:
    real = torch.rand(40, 2048, generator=torch.Generator().manual_seed(0))
    constant = torch.full((1, 2048), 0.3).expand(40, -1)
    expected = (real.double().mean(0) - 0.3).square().sum() + real.double().var(0).sum()
    assert fid(real, constant) == pytest.approx(expected.item(), rel=1e-6)


def mmd2(x: Tensor, y: Tensor) -> float:
    """Unbiased MMD^2 with the kernel of Binkowski et al. 2018, summed pair by pair."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a.double() @ b.double().T / a.shape[1] + 1) ** 3

    n, m = len(x), len(y)
    within = (kernel(x, x).sum() - kernel(x, x).trace()) / (n * (n - 1))
    within += (kernel(y, y).sum() - kernel(y, y).trace()) / (m * (m - 1))
    return float(within - 2 * kernel(x, y).mean())


def test_kid_is_the_unbiased_mmd_where_a_subset_is_the_whole_set() -> None:
    rng = torch.Generator().manual_seed(0)
    for shift in (0.0, 0.1, 0.5):
        real, fake = 2 * torch.rand(20, 2048, generator=rng), 2 * torch.rand(20, 2048, generator=rng) + shift
        assert kid_x1000(real, fake, subsets=3, subset_size=20, seed=0) == pytest.approx(1000 * mmd2(real, fake), abs=0.02)
        assert kid_x1000(real, fake, 3, 1000, seed=5) == pytest.approx(1000 * mmd2(real, fake), abs=0.02)


def test_kid_of_one_distribution_is_zero_on_average_and_smaller_sets_limit_the_subsets() -> None:
    rng = torch.Generator().manual_seed(0)
    values = [
        kid_x1000(torch.rand(30, 2048, generator=rng), torch.rand(25, 2048, generator=rng), 4, 50, seed)
        for seed in range(20)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / 20**0.5
    assert min(values) < 0 < max(values)  # unbiased, so that it falls on either side


def test_kid_depends_on_its_seed_alone_and_leaves_the_global_generator_as_it_was() -> None:
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.rand(30, 2048, generator=rng), torch.rand(30, 2048, generator=rng) + 0.1
    state = torch.get_rng_state()
    first = kid_x1000(real, fake, 2, 10, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert kid_x1000(real, fake, 2, 10, seed=1) == first
    assert kid_x1000(real, fake, 2, 10, seed=2) != first


def pictures(n: int = 3, side: int = 16) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_equal_pictures_have_no_distance_infinite_psnr_and_full_similarity() -> None:
    x = pictures()
    assert l1(x, x) == [0, 0, 0]
    assert psnr(x, x) == [math.inf] * 3
    assert ssim(x, x) == pytest.approx([1, 1, 1], abs=1e-6)


@given(st.floats(0.01, 2))
def test_a_constant_difference_has_its_l1_and_its_psnr_over_a_range_of_two(difference: float) -> None:
    black = torch.full((2, 3, 16, 16), -1.0)
    other = torch.stack([black[0] + difference, black[1] + difference / 2])
    assert l1(other, black) == pytest.approx([difference, difference / 2], rel=1e-4)
    expected = [20 * math.log10(2 / difference), 20 * math.log10(4 / difference)]
    assert psnr(other, black) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("dark", "light"), [(0.2, 0.6), (-0.8, -0.7), (-0.02, 0.02)])
def test_ssim_of_flat_pictures_is_its_luminance_term_counted_from_black(dark: float, light: float) -> None:
    """SSIM is defined on intensities >= 0: around a zero at mid-grey, one level's difference would look like a contrast."""
    one, other = (dark + 1) / 2, (light + 1) / 2
    c1 = 0.01**2  # and the contrast term is 1 but for rounding
    flat = [torch.full((1, 1, 16, 16), value) for value in (light, dark)]
    assert ssim(*flat) == pytest.approx([(2 * one * other + c1) / (one**2 + other**2 + c1)], abs=2e-3)


def test_ssim_of_a_negative_is_far_below_that_of_a_faint_change() -> None:
    x = pictures()
    negative, faint = ssim(-x, x), ssim(x * 0.98, x)
    assert max(negative) < -0.5
    assert min(faint) > 0.99


def test_scores_of_a_picture_do_not_depend_on_its_neighbours() -> None:
    x, y = pictures(4), pictures(4).flip(0)
    for measure in (l1, psnr, ssim):
        together = measure(x, y)
        apart = [measure(x[i : i + 1], y[i : i + 1])[0] for i in range(4)]
        assert together == pytest.approx(apart, rel=1e-5)
        assert len(together) == 4


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0], 1.5),
        ([1 / 3], 0.333333),
        ([123456789.0], 123457000.0),
        ([1.0, math.inf], None),
        ([math.nan], None),
        ([-math.inf], None),
    ],
)
def test_mean_has_six_digits_and_is_none_where_it_is_not_finite(values: list[float], expected: float | None) -> None:
    assert mean(values) == expected
