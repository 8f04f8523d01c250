"""The arithmetic of the scores against closed forms and direct formulas."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cyclegan.evaluation import metrics
from cyclegan.evaluation.estimate import Estimate, error_of_difference, mean, rounded
from cyclegan.evaluation.features import Resizing, inception_2015
from cyclegan.evaluation.metrics import copying, diversity, kid_x1000, l1, psnr, ssim, structure


def fid(real: Tensor, fake: Tensor) -> float:
    return metrics.fid(real, fake).value


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


@pytest.mark.parametrize(("n", "m"), [(20, 20), (30, 25), (7, 40)])
def test_kid_is_the_unbiased_mmd_of_all_pictures(n: int, m: int) -> None:
    rng = torch.Generator().manual_seed(0)
    for shift in (0.0, 0.1, 0.5):
        real, fake = 2 * torch.rand(n, 2048, generator=rng), 2 * torch.rand(m, 2048, generator=rng) + shift
        assert kid_x1000(real, fake).value == pytest.approx(1000 * mmd2(real, fake), rel=1e-6, abs=1e-6)


def test_kid_sums_kernels_in_parts_where_there_are_many_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.rand(25, 64, generator=rng), torch.rand(20, 64, generator=rng) + 0.1
    whole = kid_x1000(real, fake)
    monkeypatch.setattr(metrics, "ROWS", 7)
    assert kid_x1000(real, fake).value == pytest.approx(whole.value, rel=1e-9)
    assert kid_x1000(real, fake).se == pytest.approx(whole.se, rel=1e-9)


def test_kid_of_one_distribution_is_zero_on_average() -> None:
    rng = torch.Generator().manual_seed(0)
    values = [kid_x1000(torch.rand(30, 2048, generator=rng), torch.rand(25, 2048, generator=rng)).value for _ in range(20)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 20**0.5
    assert min(values) < 0 < max(values)  # unbiased, so that it falls on either side


def test_kid_and_its_error_are_undefined_where_there_are_too_few_pictures() -> None:
    x = torch.rand(5, 8)
    assert math.isnan(kid_x1000(x[:1], x).value)
    two = kid_x1000(x[:2], x)
    assert two.value == pytest.approx(1000 * mmd2(x[:2], x))
    assert math.isnan(two.se)


def test_the_jackknife_leaves_out_one_picture_at_a_time_of_either_set() -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = torch.rand(9, 16, generator=rng), torch.rand(6, 16, generator=rng) + 0.2
    variance = 0.0
    for without in (
        [mmd2(x[torch.arange(9) != i], y) for i in range(9)],
        [mmd2(x, y[torch.arange(6) != i]) for i in range(6)],
    ):
        variance += (len(without) - 1) / len(without) * ((np.array(without) - np.mean(without)) ** 2).sum()
    found = kid_x1000(x, y)
    assert found.se == pytest.approx(1000 * variance**0.5, rel=1e-6)
    assert (found.low, found.high) == pytest.approx(
        (found.value - 1.96 * found.se, found.value + 1.96 * found.se), rel=1e-3
    )


def mmd2_of_pairs(x: Tensor, y: Tensor) -> float:
    """Equation 4 of Gretton et al. 2012, pair by pair: h((x, y), (x', y')) over all pairs of different pairs."""

    def kernel(a: Tensor, b: Tensor) -> float:
        return float((a.double() @ b.double() / len(a) + 1) ** 3)

    n = len(x)
    different = [(i, j) for i in range(n) for j in range(n) if i != j]
    h = [kernel(x[i], x[j]) + kernel(y[i], y[j]) - kernel(x[i], y[j]) - kernel(x[j], y[i]) for i, j in different]
    return sum(h) / len(different)


def test_kid_of_true_pairs_leaves_out_each_pictures_own_counterpart() -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(9, 16, generator=rng)
    y = x + 0.2 * torch.rand(9, 16, generator=rng)
    found = kid_x1000(x, y, pairs=True)
    assert found.value == pytest.approx(1000 * mmd2_of_pairs(x, y), rel=1e-6)
    without = np.array([mmd2_of_pairs(x[torch.arange(9) != i], y[torch.arange(9) != i]) for i in range(9)])
    assert found.se == pytest.approx(1000 * (8 / 9 * ((without - without.mean()) ** 2).sum()) ** 0.5, rel=1e-6)
    order = torch.randperm(9, generator=rng)
    turned = kid_x1000(x[order], y[order], pairs=True)
    assert (turned.value, turned.se) == pytest.approx((found.value, found.se), rel=1e-8)


def test_kid_of_a_perfect_translator_is_zero_not_below() -> None:
    """Its outputs are the real pictures themselves: pairs as one distribution has them, which independent sets are not."""
    rng = torch.Generator().manual_seed(0)
    real = torch.rand(30, 64, generator=rng)
    assert kid_x1000(real, real, pairs=True).value == pytest.approx(0, abs=1e-9)
    assert kid_x1000(real, real).value < -1


def test_kid_of_pairs_among_more_real_pictures() -> None:
    """As against all pictures, those of the test set first: the others have no counterpart."""
    rng = torch.Generator().manual_seed(0)
    x, y = torch.rand(12, 16, generator=rng), torch.rand(7, 16, generator=rng) + 0.1

    def direct(x: Tensor, y: Tensor, own: int) -> float:
        k = [((a.double() @ b.double().T) / 16 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
        n, m = len(x), len(y)
        within = (k[0].sum() - k[0].trace()) / (n * (n - 1)) + (k[1].sum() - k[1].trace()) / (m * (m - 1))
        return float(1000 * (within - 2 * (k[2].sum() - k[2].diagonal()[:own].sum()) / (n * m - own)))

    found = kid_x1000(x, y, pairs=True)
    assert found.value == pytest.approx(direct(x, y, 7), rel=1e-6)
    here, there = torch.arange(12), torch.arange(7)
    pairs = np.array([direct(x[here != i], y[there != i], 6) for i in range(7)])
    alone = np.array([direct(x[here != i], y, 7) for i in range(7, 12)])
    variance = sum((len(v) - 1) / len(v) * ((v - v.mean()) ** 2).sum() for v in (pairs, alone))
    assert found.se == pytest.approx(variance**0.5, rel=1e-6)


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize(("measure", "d"), [(metrics.fid, 256), (metrics.fid, 24), (kid_x1000, 64)])
def test_differences_of_scores_of_the_same_pictures_have_their_own_error(
    measure: Callable[..., Estimate], d: int, pairs: bool
) -> None:
    """Two translators' outputs for the same inputs, against the same real pictures: what is common to both cancels."""
    rng, n = torch.Generator().manual_seed(0), 60
    scale = torch.linspace(0.1, 1, d)
    differences, errors, apart = [], [], []
    for _ in range(40):
        source = torch.randn(n, d, generator=rng)
        real = source if pairs else torch.randn(n, d, generator=rng)
        real = ((real + 0.3 * torch.randn(n, d, generator=rng)) * scale).relu()
        one, other = (
            measure(real, ((source + noise * torch.randn(n, d, generator=rng)) * scale + shift).relu(), pairs=pairs)
            for noise, shift in ((0.4, 0.1), (0.5, 0.2))
        )
        differences.append(one.value - other.value)
        errors.append(error_of_difference(one, other))
        apart.append(math.hypot(one.se, other.se))
    spread = np.std(differences, ddof=1)
    assert 0.8 < np.mean(errors) / spread < 1.4
    assert np.mean(apart) > np.mean(errors)


def test_the_error_of_a_difference_of_means_is_that_of_the_differences() -> None:
    rng = torch.Generator().manual_seed(0)
    hard = torch.rand(50, generator=rng)
    one, other = (hard + 0.1 * torch.rand(50, generator=rng), hard + 0.1 * torch.rand(50, generator=rng) + 0.2)
    found = error_of_difference(mean(one.tolist(), 100, 0), mean(other.tolist(), 100, 0))
    assert found == pytest.approx(float((one - other).double().std()) / 50**0.5, rel=1e-5)
    assert error_of_difference(mean(one.tolist(), 100, 0), mean(one.tolist(), 100, 0)) == 0
    assert math.isnan(error_of_difference(Estimate(1.0), mean(one.tolist(), 100, 0)))


def test_scores_of_different_pictures_have_independent_errors() -> None:
    rng = torch.Generator().manual_seed(0)
    one, other = diversity(torch.rand(20, 1, 8, 8, generator=rng)), diversity(torch.rand(30, 1, 8, 8, generator=rng))
    elsewhere = other.renamed({"fake": "train"})
    assert error_of_difference(one, elsewhere) == pytest.approx(math.hypot(one.se, other.se), rel=1e-9)


@pytest.mark.parametrize(("measure", "d"), [(metrics.fid, 2048), (metrics.fid, 48), (kid_x1000, 256)])
def test_errors_are_about_how_far_scores_vary_with_the_pictures(measure: Callable[..., Estimate], d: int) -> None:
    """With fewer pictures than features, and with more; never below, at most 40 % above."""
    rng = torch.Generator().manual_seed(0)

    def sample(n: int, scale: float, shift: float) -> Tensor:
        return (torch.randn(n, d, generator=rng) * torch.linspace(0.1, 1, d) * scale + shift).relu()

    found = [measure(sample(120, 1.0, 0.1), sample(100, 1.1, 0.2)) for _ in range(40)]
    spread = np.std([estimate.value for estimate in found], ddof=1)
    assert 0.8 < np.mean([estimate.se for estimate in found]) / spread < 1.4


def test_the_error_of_fid_is_the_same_whether_by_pictures_or_by_features(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.rand(60, 20, generator=rng), 1.2 * torch.rand(50, 20, generator=rng)
    by_features = metrics.fid(real, fake)
    monkeypatch.setattr(metrics, "_factors", lambda x: (None, x))
    by_pictures = metrics.fid(real, fake)
    assert (by_features.value, by_features.se) == pytest.approx((by_pictures.value, by_pictures.se), rel=1e-6)


def test_scores_of_sets_do_not_depend_on_the_order() -> None:
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.rand(40, 64, generator=rng), torch.rand(30, 64, generator=rng) + 0.1
    order = torch.randperm(30, generator=rng)
    for measure in (metrics.fid, kid_x1000):
        one, other = measure(real, fake), measure(real.flip(0), fake[order])
        assert (one.value, one.se) == pytest.approx((other.value, other.se), rel=1e-8)


def test_scores_of_sets_are_clean_fids() -> None:
    """Its arithmetic as published, on features of one distribution and of another."""
    from cleanfid.fid import kernel_distance

    rng = torch.Generator().manual_seed(0)
    real, fake = torch.rand(90, 32, generator=rng), torch.rand(90, 32, generator=rng) ** 1.3
    x, y = real.double().numpy(), fake.double().numpy()
    assert kid_x1000(real, fake).value == pytest.approx(1000 * kernel_distance(x, y, num_subsets=1), rel=1e-6)
    product = scipy.linalg.sqrtm(np.cov(x, rowvar=False) @ np.cov(y, rowvar=False)).real  # as both packages take it
    spread = np.trace(np.cov(x, rowvar=False)) + np.trace(np.cov(y, rowvar=False)) - 2 * np.trace(product)
    assert fid(real, fake) == pytest.approx(((x.mean(0) - y.mean(0)) ** 2).sum() + spread, rel=1e-6)


def test_scores_agree_with_published_code_from_the_pixels_on() -> None:
    """clean-fid's own resizing, picture by picture, the published network, and clean-fid's formulas.

    On every 16th of the 2048 features: the root of a matrix of all of them takes it minutes.
    """
    from cleanfid.fid import frechet_distance, kernel_distance
    from cleanfid.resize import build_resizer

    rng = torch.Generator().manual_seed(0)
    real = torch.randint(0, 256, (10, 40, 56, 3), generator=rng).to(torch.uint8)
    fake = (real.float() * 0.6 + 40).to(torch.uint8)
    network = inception_2015(torch.device("cpu"))
    resizings: tuple[tuple[Resizing, str], ...] = (("legacy", "legacy_pytorch"), ("clean", "clean"))
    for how, theirs in resizings:
        resizer = build_resizer(theirs)
        ours, published = [], []
        for pictures in (real, fake):
            ours.append(network.features(pictures.split(5), how)[:, ::16])
            resized = torch.from_numpy(np.stack([resizer(picture.numpy()) for picture in pictures]))
            published.append(network.run(resized.float().permute(0, 3, 1, 2), how)[:, ::16].detach().double().numpy())
        moments = [moment for x in published for moment in (x.mean(0), np.cov(x, rowvar=False))]
        assert fid(*ours) == pytest.approx(frechet_distance(*moments), rel=1e-3)
        assert kid_x1000(*ours).value == pytest.approx(1000 * kernel_distance(*published, num_subsets=1), rel=1e-3)


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


def drawing(side: int = 32) -> Tensor:
    """A white picture with a dark square and a dark bar."""
    x = torch.ones(1, 3, side, side)
    x[..., 6:16, 6:16] = -0.8
    x[..., 22:26, 4:28] = -0.5
    return x


def test_structure_follows_edges_not_colours() -> None:
    x = drawing()
    assert structure(x, x) == pytest.approx([1], abs=1e-5)
    assert structure(-x, x) == pytest.approx([1], abs=1e-5), "a negative has its edges in the same places"
    assert structure(0.3 * x, x) == pytest.approx([1], abs=1e-5), "so has a faint picture"
    assert structure(metrics.luminance(x), x) == pytest.approx([1], abs=1e-5), "and a grey one"
    shifted, turned = structure(x.roll(8, -1), x)[0], structure(x.flip(-2), x)[0]
    assert max(shifted, turned) < 0.5
    assert structure(torch.zeros_like(x), x) == structure(x, torch.zeros_like(x)) == [0]
    noise = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert abs(structure(noise, x)[0]) < 0.2


def test_copying_compares_brightness_where_channels_differ() -> None:
    x = pictures()
    assert copying(x, x) == [0] * 3
    assert copying(x + 0.1, x) == pytest.approx([0.1] * 3, rel=1e-4)
    grey = metrics.luminance(x)
    assert copying(grey, x) == pytest.approx([0] * 3, abs=1e-6)
    assert copying(x, grey + 0.2) == pytest.approx([0.2] * 3, rel=1e-4)


def test_diversity_is_the_mean_over_all_pairs_and_falls_with_a_collapse() -> None:
    x = pictures(5)
    pairs = [(x[i] - x[j]).abs().mean().item() for i in range(5) for j in range(5) if i != j]
    assert diversity(x).value == pytest.approx(np.mean(pairs), rel=1e-6)
    assert diversity(x.flip(0)).value == pytest.approx(diversity(x).value, rel=1e-9)
    assert diversity(x[:1].expand(5, -1, -1, -1)).value == 0
    assert math.isnan(diversity(x[:1]).value)
    large = torch.nn.functional.interpolate(x, size=(64, 128), mode="nearest")
    assert diversity(large).value == pytest.approx(diversity(x).value, rel=1e-5), "it does not grow with the pictures"


def test_the_error_of_diversity_is_that_of_all_pairs() -> None:
    rng = torch.Generator().manual_seed(0)
    found = [
        diversity(torch.randn(40, 1, 8, 8, generator=rng) * torch.rand(40, 1, 1, 1, generator=rng)) for _ in range(150)
    ]
    spread = np.std([estimate.value for estimate in found], ddof=1)
    assert np.mean([estimate.se for estimate in found]) == pytest.approx(spread, rel=0.2)


def test_the_interval_of_a_mean_is_about_that_of_a_normal_distribution() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)).tolist()
    found = mean(values, samples=4000, seed=0)
    assert found.value == pytest.approx(np.mean(values))
    se = np.std(values) / 20
    assert found.se == pytest.approx(se, rel=0.05)
    assert (found.low, found.high) == pytest.approx((found.value - 1.96 * se, found.value + 1.96 * se), abs=0.1 * se)
    assert mean(values[::-1], samples=4000, seed=0) == found, "the order of the pictures does not matter"
    assert mean(values, samples=4000, seed=1).low != found.low


@pytest.mark.parametrize("values", [[1.0, math.inf], [math.nan, 1.0], [-math.inf, 2.0]])
def test_a_mean_that_is_not_finite_has_no_error(values: list[float]) -> None:
    found = mean(values, samples=100, seed=0)
    assert rounded(found.value) is rounded(found.se) is rounded(found.low) is None


def test_numbers_have_six_digits() -> None:
    assert [rounded(value) for value in (1 / 3, 123456789.0, math.nan, math.inf)] == [0.333333, 123457000.0, None, None]
