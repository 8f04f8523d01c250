"""The scoring of a direction: perfect answers score perfectly, trivial ones as they should, and all of it is JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cyclegan import images
from cyclegan.config import Config, EvaluateConfig
from cyclegan.data.store import Store
from cyclegan.evaluation.protocol import Domain, Translated, load_domain, score, translate

CPU = torch.device("cpu")
N, SIDE = 5, 16


class CheapInception:
    """Features that are a fixed projection of the pixels: different pictures have different ones."""

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []

    def legacy(self, pictures: Tensor, batch_size: int) -> Tensor:
        assert pictures.dtype == torch.uint8
        assert pictures.ndim == 4
        assert pictures.shape[3] in (1, 3)
        self.batch_sizes.append(batch_size)
        flat = pictures.expand(-1, -1, -1, 3).flatten(1).float() / 255
        rng = torch.Generator().manual_seed(0)
        return flat @ torch.randn(flat.shape[1], 2048, generator=rng) / flat.shape[1] ** 0.5


class Answer(nn.Module):
    """Gives these pictures in turn, whatever it is asked."""

    def __init__(self, pictures: Tensor) -> None:
        super().__init__()
        self.pictures, self.place = pictures, 0

    def forward(self, x: Tensor) -> Tensor:
        self.place += len(x)
        return self.pictures[self.place - len(x) : self.place]


@pytest.fixture
def inception() -> Any:
    return CheapInception()


@pytest.fixture(scope="module")
def config(make_config: Callable[..., Config]) -> EvaluateConfig:
    return make_config().evaluate


def domain(inception: Any, seed: int, channels: int = 3, n: int = N) -> Domain:
    levels = torch.randint(0, 256, (n, SIDE, SIDE, channels), generator=torch.Generator().manual_seed(seed))
    real = images.to_tensor(levels.to(torch.uint8))
    features = inception.legacy(images.to_uint8(real), 3)
    return Domain([f"{i}.png" for i in range(n)], real, features, torch.full((1, channels, 1, 1), 0.25))


def judge(source: Domain, target: Domain, forth: Tensor, back: Tensor, config: Any, inception: Any, paired: bool) -> Any:
    result = translate(Answer(forth), Answer(back), source.real, CPU, batch_size=2)
    return score(source, target, result, inception, config, 0, paired=paired)


def test_a_model_that_returns_the_truth_and_back_scores_perfectly(inception: Any, config: EvaluateConfig) -> None:
    source, target = domain(inception, 0), domain(inception, 1)
    table, rows = judge(source, target, target.real, source.real, config, inception, paired=True)
    model = table["model"]
    assert model["pair_l1"] == model["cycle_l1"] == 0
    assert model["pair_psnr"] is None  # infinite
    assert model["pair_ssim"] == pytest.approx(1, abs=1e-5)
    assert model["fid_legacy_test"] == pytest.approx(0, abs=1e-3)
    assert rows["file"].tolist() == source.files
    assert rows["pair_l1"].tolist() == [0] * N
    assert table["mean_colour"]["pair_l1"] > 0.3
    assert table["copy_input"]["pair_l1"] > 0.3
    assert table["copy_input"]["fid_legacy_test"] > 1


def test_truth_within_half_a_level_is_rounded_to_the_truth(inception: Any, config: EvaluateConfig) -> None:
    source, target = domain(inception, 0), domain(inception, 1)
    off = (target.real + 0.4 / 127.5).clamp(-1, 1)
    table, _ = judge(source, target, off, source.real + 0.001, config, inception, paired=True)
    assert table["model"]["pair_l1"] == 0
    assert table["model"]["cycle_l1"] == pytest.approx(0.001, rel=1e-3)  # reconstructions are not rounded


def test_copying_scores_zero_where_both_domains_are_the_same(inception: Any, config: EvaluateConfig) -> None:
    same = domain(inception, 0)
    copied = judge(same, same, same.real, same.real, config, inception, paired=True)[0]["copy_input"]
    assert copied["pair_l1"] == copied["cycle_l1"] == 0
    assert copied["pair_ssim"] == copied["cycle_ssim"] == pytest.approx(1, abs=1e-5)
    assert copied["pair_psnr"] is copied["cycle_psnr"] is None
    assert copied["fid_legacy_test"] == pytest.approx(0, abs=1e-3)


def test_means_are_those_of_the_rows_and_trivial_scores_follow_their_formulas(
    inception: Any, config: EvaluateConfig
) -> None:
    source, target, other = (domain(inception, seed) for seed in range(3))
    table, rows = judge(source, target, other.real, target.real, config, inception, paired=True)
    measures = [f"{what}_{how}" for what in ("cycle", "pair") for how in ("l1", "psnr", "ssim")]
    assert list(rows.columns) == ["file", *measures]
    assert len(rows) == N
    for name in measures:
        assert table["model"][name] == pytest.approx(rows[name].mean(), rel=1e-5)
    assert rows["pair_l1"].tolist() == pytest.approx((other.real - target.real).abs().mean((1, 2, 3)).tolist())
    assert rows["cycle_l1"].tolist() == pytest.approx((target.real - source.real).abs().mean((1, 2, 3)).tolist())
    assert table["copy_input"]["pair_l1"] == pytest.approx((source.real - target.real).abs().mean().item(), rel=1e-5)
    rounded = round((0.25 + 1) * 127.5) / 127.5 - 1
    assert table["mean_colour"]["pair_l1"] == pytest.approx((rounded - target.real).abs().mean().item(), rel=1e-5)
    assert table["mean_colour"]["cycle_l1"] == pytest.approx((rounded - source.real).abs().mean().item(), rel=1e-5)
    constant = inception.legacy(torch.full((1, SIDE, SIDE, 3), round(1.25 * 127.5), dtype=torch.uint8), 1)
    expected = (target.features.mean(0) - constant).double().square().sum() + target.features.double().var(0).sum()
    assert table["mean_colour"]["fid_legacy_test"] == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("paired", [True, False])
def test_everything_is_json_without_nan_or_infinity(inception: Any, config: EvaluateConfig, paired: bool) -> None:
    same = domain(inception, 0)
    black = torch.full_like(same.real, -1.0)
    for forth, back in ((same.real, same.real), (black, black)):
        table, rows = judge(same, same, forth, back, config, inception, paired=paired)
        json.dumps(table, allow_nan=False)
        assert list(table) == ["model", "copy_input", "mean_colour"]
        names = [tuple(scores) for scores in table.values()]
        assert len(set(names)) == 1
        assert any(name.startswith("pair") for name in names[0]) is paired
        assert any(name.startswith("pair") for name in rows.columns) is paired


def test_a_single_test_picture_is_scored_without_nan(inception: Any, config: EvaluateConfig) -> None:
    """dataset.n_test may be 1, and a fraction held out of few pictures is one; KID has no value there."""
    source, target = domain(inception, 0, n=1), domain(inception, 1, n=1)
    table, _ = judge(source, target, target.real, source.real, config, inception, paired=True)
    json.dumps(table, allow_nan=False)


def test_the_input_cannot_be_copied_into_a_domain_of_other_channels(inception: Any, config: EvaluateConfig) -> None:
    grey, colour = domain(inception, 0, channels=1), domain(inception, 1)
    for source, target in ((grey, colour), (colour, grey)):
        table, _ = judge(source, target, target.real, source.real, config, inception, paired=True)
        assert list(table) == ["model", "mean_colour"]
        assert table["model"]["pair_l1"] == 0


def test_sets_without_pairs_may_differ_in_size(inception: Any, config: EvaluateConfig) -> None:
    source, target = domain(inception, 0, n=4), domain(inception, 1, n=7)
    table, rows = judge(source, target, source.real, source.real, config, inception, paired=False)
    assert len(rows) == 4
    assert table["model"] == table["copy_input"]


class Shift(nn.Module):
    """Adds a constant."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        return x + self.by


@pytest.mark.parametrize("batch_size", [1, 2, 5, 99])
def test_translation_is_rounded_to_levels_and_reconstruction_starts_from_the_unrounded(batch_size: int) -> None:
    real = torch.linspace(-0.9, 0.9, N * 12).reshape(N, 3, 2, 2)
    result: Translated = translate(Shift(0.05), Shift(-0.05), real, CPU, batch_size)
    levels = (result.fake + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    torch.testing.assert_close(result.fake, real + 0.05, atol=0.5001 / 127.5, rtol=0)
    torch.testing.assert_close(result.reconstructed, real, atol=1e-6, rtol=0)


def test_a_domain_is_the_whole_test_set_with_the_training_sets_mean_colour(prepared: Path, inception: Any) -> None:
    store = Store(prepared)
    test = store.open("test", "B")
    loaded = load_domain(test, [0.0, 127.5, 255.0], inception, batch_size=3)
    assert loaded.files == test.files
    assert loaded.real.shape == (4, 3, 32, 32)
    assert loaded.features.shape == (4, 2048)
    assert loaded.mean_colour.flatten().tolist() == [-1, 0, 1]
    assert inception.batch_sizes == [3]
    torch.testing.assert_close(images.to_uint8(loaded.real)[2], torch.from_numpy(test[2].copy()))


def test_the_mean_colour_on_record_is_that_of_the_training_pictures(prepared: Path, inception: Any) -> None:
    store = Store(prepared)
    entry = store.summary["sets"]["trainB"]
    loaded = load_domain(store.open("test", "B"), entry["mean"], inception, 3)
    train = store.open("train", "B").tensor(0, 99)
    torch.testing.assert_close(loaded.mean_colour, train.mean((0, 2, 3), keepdim=True), atol=1e-5, rtol=1e-4)
