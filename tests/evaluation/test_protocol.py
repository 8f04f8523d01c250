"""The scoring of a direction: perfect answers score perfectly, trivial ones as they should, corrupted ones worse."""

import json
import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cyclegan.evaluation import catalogue, metrics
from cyclegan.evaluation.features import FeatureNetwork, Resizing, inception_2015
from cyclegan.evaluation.protocol import Domain, Settings, Table, Translated, score, translate
from cyclegan.evaluation.sets import Features, SetScorer
from cyclegan.levels import to_tensor, to_uint8
from cyclegan.pipeline import scores

CPU = torch.device("cpu")
N, SIDE = 5, 16


def cheap_network() -> FeatureNetwork:
    """Features that are a fixed projection of the pixels: different pictures have different ones."""

    def run(levels: Tensor, _: Resizing) -> Tensor:
        flat = levels.flatten(1) / 255
        rng = torch.Generator().manual_seed(0)
        return flat @ torch.randn(flat.shape[1], 64, generator=rng) / flat.shape[1] ** 0.5

    return FeatureNetwork("", "cheap", SIDE, CPU, run)


SETS = SetScorer(["fid_legacy", "fid_clean", "kid"], cheap_network())
OF_SETS = ["fid_legacy_test", "fid_clean_test", "kid_x1000_test"]


class Answer(nn.Module):
    """Gives these pictures in turn, whatever it is asked."""

    def __init__(self, pictures: Tensor) -> None:
        super().__init__()
        self.pictures, self.place = pictures, 0

    def forward(self, x: Tensor) -> Tensor:
        self.place += len(x)
        return self.pictures[self.place - len(x) : self.place]


class Shift(nn.Module):
    """Adds a constant."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        return x + self.by


def features_of(real: Tensor) -> Features:
    return SETS.features(lambda: [to_uint8(real)])


def domain(seed: int, channels: int = 3, n: int = N, floor: bool = True) -> Domain:
    levels = torch.randint(0, 256, (2 * n, SIDE, SIDE, channels), generator=torch.Generator().manual_seed(seed))
    real, train = to_tensor(levels.to(torch.uint8)).split(n)
    found = Domain([f"{i}.png" for i in range(n)], real, features_of(real), torch.full((1, channels, 1, 1), 0.25))
    if floor:
        found.floor, found.floor_features = train, features_of(train)
    return found


def settings(paired: bool = True, batch_size: int = 2) -> Settings:
    return Settings(SETS, batch_size, 100, 0, paired)


def judge(source: Domain, target: Domain, forth: Tensor, back: Tensor, paired: bool = True) -> tuple[Any, pd.DataFrame]:
    result = translate(Answer(forth), Answer(back), source.real, CPU, batch_size=2)
    table, rows = score(source, target, {"model": result}, settings(paired))
    return {subject: {name: found.value for name, found in own.items()} for subject, own in table.items()}, rows


def test_a_model_that_returns_the_truth_and_back_scores_perfectly() -> None:
    source, target = domain(0), domain(1)
    table, rows = judge(source, target, target.real, source.real)
    model = table["model"]
    assert model["pair_l1"] == model["cycle_l1"] == 0
    assert model["pair_psnr"] == math.inf
    assert model["pair_ssim"] == pytest.approx(1, abs=1e-5)
    assert all(model[name] < table["copy_input"][name] for name in OF_SETS)
    assert model["fid_legacy_test"] == pytest.approx(0, abs=1e-3)
    assert rows["file"].tolist() == source.files
    assert rows["pair_l1"].tolist() == [0] * N
    assert table["mean_colour"]["pair_l1"] > 0.3
    assert table["copy_input"]["pair_l1"] > 0.3
    assert table["copy_input"]["fid_legacy_test"] > 1


def test_truth_within_half_a_level_is_rounded_to_the_truth() -> None:
    source, target = domain(0), domain(1)
    off = (target.real + 0.4 / 127.5).clamp(-1, 1)
    table, _ = judge(source, target, off, source.real + 0.001)
    assert table["model"]["pair_l1"] == 0
    assert table["model"]["cycle_l1"] == pytest.approx(0.001, rel=1e-3)  # reconstructions are not rounded


def test_copying_scores_zero_where_both_domains_are_the_same() -> None:
    same = domain(0)
    copied = judge(same, same, same.real, same.real)[0]["copy_input"]
    assert copied["pair_l1"] == copied["cycle_l1"] == copied["copy_l1"] == 0
    assert copied["pair_ssim"] == copied["cycle_ssim"] == pytest.approx(1, abs=1e-5)
    assert copied["structure"] == pytest.approx(1, abs=1e-5)
    assert copied["pair_psnr"] == copied["cycle_psnr"] == math.inf
    assert copied["fid_legacy_test"] == pytest.approx(0, abs=1e-3)


def test_means_are_those_of_the_rows_and_trivial_scores_follow_their_formulas() -> None:
    source, target, other = (domain(seed) for seed in range(3))
    table, rows = judge(source, target, other.real, target.real)
    alike = ("l1", "psnr", "ssim")
    measures = [*(f"cycle_{how}" for how in alike), "structure", "copy_l1", *(f"pair_{how}" for how in alike)]
    assert list(rows.columns) == ["file", *measures]
    assert len(rows) == N
    for name in measures:
        assert table["model"][name] == pytest.approx(rows[name].mean(), rel=1e-5)
    assert rows["pair_l1"].tolist() == pytest.approx((other.real - target.real).abs().mean((1, 2, 3)).tolist())
    assert rows["cycle_l1"].tolist() == pytest.approx((target.real - source.real).abs().mean((1, 2, 3)).tolist())
    assert rows["copy_l1"].tolist() == pytest.approx((other.real - source.real).abs().mean((1, 2, 3)).tolist())
    assert table["copy_input"]["pair_l1"] == pytest.approx((source.real - target.real).abs().mean().item(), rel=1e-5)
    rounded = round((0.25 + 1) * 127.5) / 127.5 - 1
    flat = table["mean_colour"]
    assert flat["pair_l1"] == pytest.approx((rounded - target.real).abs().mean().item(), rel=1e-5)
    assert flat["cycle_l1"] == pytest.approx((rounded - source.real).abs().mean().item(), rel=1e-5)
    assert flat["diversity"] == flat["structure"] == 0
    constant = features_of(torch.full((1, 3, SIDE, SIDE), rounded))["legacy"]
    real = target.features["legacy"].double()
    expected = (real.mean(0) - constant).square().sum() + real.var(0).sum()
    assert flat["fid_legacy_test"] == pytest.approx(expected.item(), rel=1e-4)


def test_the_floor_is_what_real_training_pictures_score() -> None:
    source, target = domain(0), domain(1)
    floor = judge(source, target, source.real, source.real, paired=False)[0]["real_train"]
    assert list(floor) == [*OF_SETS, "diversity"]
    real, train = target.features["clean"], target.floor_features["clean"]
    assert floor["fid_clean_test"] == metrics.fid(real, train).value
    assert floor["kid_x1000_test"] == metrics.kid_x1000(real, train).value
    assert target.floor is not None
    assert floor["diversity"] == metrics.diversity(target.floor).value
    bare = domain(1, floor=False)
    assert "real_train" not in judge(source, bare, source.real, source.real, paired=False)[0]


def test_scores_against_all_pictures_stand_beside_those_against_the_test_set() -> None:
    source, target = domain(0), domain(1)
    target.all_features = {how: torch.cat([target.features[how], target.floor_features[how]]) for how in SETS.resizings}
    table, _ = judge(source, target, source.real, source.real, paired=False)
    for subject in ("model", "copy_input", "mean_colour"):
        of_sets = [name for name in table[subject] if name.startswith(("fid", "kid"))]
        assert of_sets == [*OF_SETS, *(name.replace("_test", "_all") for name in OF_SETS)]
    expected = metrics.fid(target.all_features["clean"], source.features["clean"]).value
    assert table["model"]["fid_clean_all"] == pytest.approx(expected, rel=1e-6)


def test_every_score_is_in_the_catalogue_and_has_an_interval() -> None:
    source, target = domain(0), domain(1)
    result = Translated(target.real.roll(1, 0) * 0.9, source.real.roll(1, 0) * 0.9)
    table, _ = score(source, target, {"model": result, "last": result}, settings())
    assert set(table) < set(catalogue.SUBJECTS)
    assert table["last"] == table["model"]
    for name, found in table["model"].items():
        assert catalogue.metric(name).title
        assert found.low < found.value < found.high, name
        assert found.se > 0


def test_what_is_the_same_is_scored_once() -> None:
    source, target = domain(0), domain(1)
    seen: list[int] = []

    def run(levels: Tensor, how: Resizing) -> Tensor:
        seen.append(len(levels))
        return cheap_network().run(levels, how)

    sets = SetScorer(["fid_clean"], FeatureNetwork("", "counted", SIDE, CPU, run))
    result = translate(Shift(0.1), Shift(-0.1), source.real, CPU, N)
    other = translate(Shift(0.2), Shift(-0.1), source.real, CPU, N)
    results = {"model": result, "last": result, "last_ema": other}
    table, _ = score(source, target, results, Settings(sets, N, 10, 0, paired=True))
    assert seen == [N, N, 1], "two of three, and one colour"
    assert table["last"] == table["model"] != table["last_ema"]


@pytest.mark.parametrize("paired", [True, False])
def test_what_is_undefined_is_empty_not_wrong(paired: bool) -> None:
    same = domain(0)
    black = torch.full_like(same.real, -1.0)
    for forth, back in ((same.real, same.real), (black, black)):
        result = translate(Answer(forth), Answer(back), same.real, CPU, 2)
        table, rows = score(same, same, {"model": result}, settings(paired))
        found = scores.table({"A_to_B": table}, {"A_to_B": N})
        json.dumps(scores.nested(found), allow_nan=False)
        assert list(table) == ["model", "copy_input", "mean_colour", "real_train"]
        assert any(name.startswith("pair") for name in table["model"]) is paired
        assert any(name.startswith("pair") for name in rows.columns) is paired


def test_a_single_test_picture_is_scored() -> None:
    """dataset.n_test may be 1, and a fraction held out of few pictures is one; KID has no value there."""
    source, target = domain(0, n=1), domain(1, n=1)
    table, _ = score(source, target, {"model": Translated(target.real, source.real)}, settings())
    found = scores.nested(scores.table({"A_to_B": table}, {"A_to_B": 1}))["A_to_B"]["model"]
    assert found["kid_x1000_test"] is found["diversity"] is None
    assert found["pair_l1"] == 0


def test_the_input_cannot_be_copied_into_a_domain_of_other_channels() -> None:
    grey, colour = domain(0, channels=1), domain(1)
    for source, target in ((grey, colour), (colour, grey)):
        table, _ = judge(source, target, target.real, source.real)
        assert list(table) == ["model", "mean_colour", "real_train"]
        assert table["model"]["pair_l1"] == 0


def test_sets_without_pairs_may_differ_in_size() -> None:
    source, target = domain(0, n=4), domain(1, n=7)
    table, rows = judge(source, target, source.real, source.real, paired=False)
    assert len(rows) == 4
    assert table["model"] == pytest.approx(table["copy_input"], rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 99])
def test_scores_do_not_depend_on_batches_or_on_the_order_of_pictures(batch_size: int) -> None:
    source, target = domain(0), domain(1)
    result = Translated(source.real.roll(1, 2), source.real * 0.9)
    whole, _ = score(source, target, {"model": result}, settings())
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    turned = [Domain(one.files, one.real[order], features_of(one.real[order]), one.mean_colour) for one in (source, target)]
    again = Translated(result.fake[order], result.reconstructed[order])
    parts, _ = score(turned[0], turned[1], {"model": again}, settings(batch_size=batch_size))
    for name, found in whole["model"].items():
        other = parts["model"][name]
        assert (found.value, found.se) == pytest.approx((other.value, other.se), rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 99])
def test_translation_is_rounded_to_levels_and_reconstruction_starts_from_the_unrounded(batch_size: int) -> None:
    real = torch.linspace(-0.9, 0.9, N * 12).reshape(N, 3, 2, 2)
    result: Translated = translate(Shift(0.05), Shift(-0.05), real, CPU, batch_size)
    levels = (result.fake + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    torch.testing.assert_close(result.fake, real + 0.05, atol=0.5001 / 127.5, rtol=0)
    torch.testing.assert_close(result.reconstructed, real, atol=1e-6, rtol=0)


def blurred(pictures: Tensor) -> Tensor:
    return functional.avg_pool2d(functional.pad(pictures, (2, 2, 2, 2), mode="replicate"), 5, stride=1)


def noisy(pictures: Tensor) -> Tensor:
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    return (pictures + 0.5 * noise).clamp(-1, 1)


CORRUPTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "blur": lambda truth, _: blurred(truth),
    "noise": lambda truth, _: noisy(truth),
    "colours exchanged": lambda truth, _: truth[:, [2, 0, 1]],
    "the input": lambda _, source: source,
    "another picture": lambda truth, _: truth.roll(1, 0),
    "one picture for all": lambda truth, _: truth[:1].expand_as(truth),
}
SEEN_BY_SETS = {"fid_clean_test", "kid_x1000_test"}
WORSE = {  # which scores must say so, of a perfect translator's outputs so corrupted
    "blur": {*SEEN_BY_SETS, "pair_l1", "pair_psnr", "pair_ssim", "structure"},
    "noise": {*SEEN_BY_SETS, "pair_l1", "pair_psnr", "pair_ssim", "structure"},
    "colours exchanged": {*SEEN_BY_SETS, "pair_l1", "pair_psnr"},
    "the input": {*SEEN_BY_SETS, "pair_l1", "pair_psnr", "copy_l1"},
    "another picture": {"pair_l1", "pair_psnr", "pair_ssim", "structure"},
    "one picture for all": {*SEEN_BY_SETS, "pair_l1", "structure", "diversity"},
}


@pytest.fixture(scope="module", params=["colours", "outlines"])
def judged(request: pytest.FixtureRequest) -> tuple[str, Table]:
    """A perfect translator of rectangles in either direction, and the same corrupted, by the published network."""
    forth, count = request.param == "colours", 8
    sets = SetScorer(["fid_legacy", "fid_clean", "kid"] if forth else ["fid_clean", "kid"], inception_2015(CPU))
    lines, filled = torch.ones(2, count, 3, 32, 32)
    for index in range(count):
        rng = torch.Generator().manual_seed(index)
        top, left, height, width = (int(torch.randint(4, 14, (), generator=rng)) for _ in range(4))
        colour = torch.tensor([0.9, *(torch.rand(2, generator=rng) * 1.2 - 1).tolist()]).reshape(3, 1, 1)
        for canvas, inside in ((lines[index], torch.ones(3, 1, 1)), (filled[index], colour)):
            canvas[:, top : top + height, left : left + width] = -1
            canvas[:, top + 1 : top + height - 1, left + 1 : left + width - 1] = inside
    source, target = (
        Domain([""] * count, to_tensor(levels), sets.features(lambda levels=levels: [levels]), torch.zeros(1, 3, 1, 1))
        for levels in (to_uint8(lines if forth else filled), to_uint8(filled if forth else lines))
    )
    results = {name: Translated(corrupt(target.real, source.real), source.real) for name, corrupt in CORRUPTIONS.items()}
    results["last"] = Translated(target.real, source.real)
    return request.param, score(source, target, results, Settings(sets, 12, 100, 0, paired=True))[0]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_score_moves_as_it_must_under_a_known_corruption(name: str, judged: tuple[str, Table]) -> None:
    target, table = judged
    worse = set()
    for metric in table["last"]:
        perfect, corrupted = (table[subject][metric].value for subject in ("last", name))
        rises = catalogue.metric(metric).better == "lower"
        if (corrupted > perfect + 1e-3) if rises else (corrupted < perfect - 1e-3):
            worse.add(metric)
    expected = set() if (target, name) == ("outlines", "colours exchanged") else WORSE[name]  # grey ones have none
    if target == "colours" and expected >= SEEN_BY_SETS:
        expected = expected | {"fid_legacy_test"}
    assert expected <= worse
    assert not {metric for metric in worse if metric.startswith("cycle")}, "a good cycle sees none of it"
    if name == "another picture":
        assert not {metric for metric in worse if metric.startswith(("fid", "kid"))}, "nor do sets see who is who"
