"""The judge of validation: its scores are those of the pictures it is shown, and nothing else sways it."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from cyclegan.errors import UserError
from cyclegan.evaluation import catalogue, metrics, validation
from cyclegan.evaluation.validation import Judge
from cyclegan.levels import to_tensor

CPU = torch.device("cpu")
N = 11  # pictures: more than a batch of the judge's


def pictures(seed: int, count: int = N, channels: int = 3) -> Tensor:
    """On 8-bit levels, so that rounding changes nothing."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, (count, 24, 24, channels), dtype=torch.uint8, generator=generator)
    return to_tensor(levels)


def make(wanted: str, *, paired: bool = True, real_A: Tensor | None = None, real_B: Tensor | None = None) -> Judge:
    real_A, real_B = (pictures(0) if real_A is None else real_A), (pictures(1) if real_B is None else real_B)
    return Judge(wanted, real_A, real_B, "these", paired=paired, device=CPU)


class FewFeatures:
    """Stands in for Inception, which takes seconds: the mean of each channel and of each half."""

    def __init__(self, device: torch.device) -> None:
        self.calls = 0

    def features(self, pictures: Any, how: str) -> Tensor:
        self.calls += 1
        self.how = how
        levels = torch.cat(list(pictures))
        assert levels.dtype == torch.uint8
        halves = [part.float().mean(dim=(1, 2)) / 255 for part in (levels[:, :12], levels[:, 12:])]
        return torch.cat(halves, dim=1)


@pytest.fixture
def few_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "inception_2015", FewFeatures)


@pytest.mark.parametrize(
    ("wanted", "paired", "metric", "better"),
    [
        ("auto", True, "pair_l1", "lower"),
        ("auto", False, "kid_x1000_val", "lower"),
        ("kid_x1000", True, "kid_x1000_val", "lower"),
        ("fid_legacy", False, "fid_legacy_val", "lower"),
        ("fid_clean", False, "fid_clean_val", "lower"),
        ("pair_ssim", True, "pair_ssim", "higher"),
        ("pair_psnr", True, "pair_psnr", "higher"),
        ("cycle_l1", False, "cycle_l1", "lower"),
        ("cycle_psnr", False, "cycle_psnr", "higher"),
    ],
)
@pytest.mark.usefixtures("few_features")
def test_the_metric_and_its_sense_are_those_of_the_catalogue(wanted: str, paired: bool, metric: str, better: str) -> None:
    judge = make(wanted, paired=paired)
    assert (judge.metric, judge.better) == (metric, better)
    assert catalogue.metric(judge.metric).better == better
    assert judge.about == f"{metric} on these"
    assert judge.wants_cycle is wanted.startswith("cycle")


@pytest.mark.parametrize("measure", ["l1", "psnr", "ssim"])
def test_pairs_are_compared_with_the_counterpart_after_rounding(measure: str) -> None:
    judge, real_A, real_B = make(f"pair_{measure}"), pictures(0), pictures(1)
    each = {"A_to_B": real_B, "B_to_A": real_A}
    fake = (pictures(2) + 0.4 / 127.5).clamp(-1, 1)  # rounds to the pictures themselves
    for direction, truth in each.items():
        expected = getattr(metrics, measure)(pictures(2), truth)
        value, se = judge.score(direction, fake, None)
        assert value == pytest.approx(sum(expected) / N, rel=1e-6)
        assert se == pytest.approx(torch.tensor(expected).double().std().item() / N**0.5, rel=1e-5)
    assert judge.score("A_to_B", pictures(2), None) != judge.score("B_to_A", pictures(2), None)


def test_cycles_are_compared_with_the_input_unrounded() -> None:
    judge, cycle = make("cycle_l1", paired=False), pictures(0) + 0.01
    value, se = judge.score("A_to_B", pictures(5), cycle)
    assert value == pytest.approx(0.01, rel=1e-4)
    assert se is not None
    assert se < 1e-6
    assert judge.score("B_to_A", pictures(5), cycle)[0] == pytest.approx(metrics.l1(cycle, pictures(1))[0], rel=0.2)


@pytest.mark.usefixtures("few_features")
@pytest.mark.parametrize("wanted", ["kid_x1000", "fid_clean", "fid_legacy"])
def test_sets_are_compared_with_the_other_domains(wanted: str) -> None:
    judge = make(wanted, paired=False, real_B=pictures(1, 17) * 0.5)
    inception: Any = judge.network
    assert inception.how == ("legacy" if wanted == "fid_legacy" else "clean")
    assert inception.calls == 2  # the real ones, once
    (same, error), (other, _) = (judge.score("A_to_B", shown, None) for shown in (pictures(3) * 0.5, pictures(3) - 0.5))
    assert same is not None
    assert other is not None
    assert error is not None
    assert error > 0
    assert same < other
    assert judge.score("B_to_A", pictures(3) * 0.5, None)[0] != same
    assert inception.calls == 5


@pytest.mark.usefixtures("few_features")
@pytest.mark.parametrize("wanted", ["kid_x1000", "fid_legacy", "pair_l1", "cycle_ssim"])
def test_the_same_pictures_get_the_same_score_whatever_was_drawn_before(wanted: str) -> None:
    judge, shown = make(wanted), (pictures(4), pictures(5))
    torch.manual_seed(1)
    first, state = judge.score("A_to_B", *shown), torch.get_rng_state()
    torch.rand(5)
    judge.score("B_to_A", *shown)
    assert judge.score("A_to_B", *shown) == make(wanted).score("A_to_B", *shown) == first
    torch.manual_seed(1)
    judge.score("A_to_B", *shown)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.usefixtures("few_features")
@pytest.mark.parametrize("wanted", ["kid_x1000", "pair_l1", "pair_psnr", "cycle_l1"])
def test_what_is_not_finite_has_no_score(wanted: str) -> None:
    broken = pictures(4).clone()
    broken[3, 1, 5, 5] = math.nan
    assert make(wanted).score("A_to_B", broken, broken) == (None, None)
    if wanted == "pair_psnr":  # a perfect one has no finite score
        assert make(wanted).score("A_to_B", pictures(1), None) == (None, None)


@pytest.mark.usefixtures("few_features")
@pytest.mark.parametrize(
    ("wanted", "paired", "count", "said"),
    [
        ("pair_l1", False, N, r"train.validate_metric is pair_l1 in params.yaml, but .* no true pairs; set it to auto"),
        (
            "auto",
            False,
            1,
            r"train.validate_metric is auto .* kid_x1000 needs 2 validation pictures .* but one has 1; raise",
        ),
        ("fid_legacy", True, 1, r"fid_legacy needs 2 validation pictures of each domain"),
    ],
)
def test_what_cannot_be_judged_is_refused(wanted: str, paired: bool, count: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make(wanted, paired=paired, real_B=pictures(1, count))


def test_real_features_are_rounded_the_same_the_first_time_and_later() -> None:
    """A resumed training begins with a network that has run nothing yet, an undisturbed one does not."""
    shown = pictures(6, 3)
    judge = make("kid_x1000", real_A=pictures(0, 3), real_B=pictures(1, 3))
    warm = [judge.score("A_to_B", shown, None) for _ in range(4)]
    assert len(set(warm)) == 1
    assert make("kid_x1000", real_A=pictures(0, 3), real_B=pictures(1, 3)).score("A_to_B", shown, None) == warm[0]
