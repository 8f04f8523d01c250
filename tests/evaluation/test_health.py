"""Health: each planted fault fails exactly its check, healthy networks fail none, and looking changes nothing."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from project import ROOT
from torch import Tensor, nn
from torch.nn import functional

from cyclegan import images, randomness
from cyclegan.config import Config
from cyclegan.device import autocast
from cyclegan.evaluation import checks, health
from cyclegan.evaluation.health import Probe, Values, measure
from cyclegan.levels import from_pixels, to_tensor, to_uint8
from cyclegan.models.networks import Networks
from cyclegan.sources import earth, openmoji, shapes
from cyclegan.training.state import TrainState

DOCS = (ROOT / "docs/health.md").read_text()
BLOCK = 8  # px
MIX = torch.tensor([[0.5, 0.1, 0.0], [0.0, 0.6, 0.1], [0.1, 0.0, 0.4]])  # what is red, green or blue stays so


def scenes(stream: str, detail: float, count: int = 8, side: int = 32) -> Tensor:
    """Coloured blocks, [count, 3, side, side], with details in each block whose mean is 0."""
    rng = randomness.generator(0, f"test/{stream}")
    blocks = torch.from_numpy(rng.uniform(-0.7, 0.7, (count, 3, side // BLOCK, side // BLOCK)).astype("float32"))
    fine = torch.from_numpy(rng.uniform(-detail, detail, (count, 3, side, side)).astype("float32"))
    return functional.interpolate(blocks, scale_factor=BLOCK) + fine - coarse(fine)


def coarse(pictures: Tensor) -> Tensor:
    return functional.interpolate(functional.avg_pool2d(pictures, BLOCK), scale_factor=BLOCK)


REAL_A = scenes("A", detail=0.2)
REAL_B = torch.einsum("dc,nchw->ndhw", MIX, scenes("B", detail=0.0)) + 0.3
PROBE = Probe.of(REAL_A, REAL_B, seed=0, batch_size=3)


class Function(nn.Module):
    """A network that is a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, pictures: Tensor) -> Tensor:
        return self.function(pictures)


def mixed(pictures: Tensor) -> Tensor:
    return torch.einsum("dc,nchw->ndhw", MIX, pictures) + 0.3


def unmixed(pictures: Tensor) -> Tensor:
    return torch.einsum("dc,nchw->ndhw", MIX.inverse(), pictures - 0.3)


def undecided(pictures: Tensor) -> Tensor:
    """Scores that depend on the picture but not on whether it is real: of the finest details, of which none are fake."""
    return (
        functional.avg_pool2d(pictures[:, :1] - coarse(pictures[:, :1]), BLOCK).sign() + pictures[:, :1, ::BLOCK, ::BLOCK]
    )


def saturated(real: Tensor, label: float, other: float) -> Callable[[Tensor], Tensor]:
    """A discriminator that knows its real pictures by heart."""

    def scores(pictures: Tensor) -> Tensor:
        known = torch.tensor([any(torch.equal(picture, one) for one in real) for picture in pictures])
        return torch.where(known, label, other)[:, None, None, None].expand(-1, 1, 2, 2)

    return scores


def hide(pictures: Tensor) -> Tensor:
    """Blocks in other colours, and all details of the picture at a hundredth of their strength."""
    return mixed(coarse(pictures)) + 0.01 * (pictures - coarse(pictures))


def find(pictures: Tensor) -> Tensor:
    return unmixed(coarse(pictures)) + 100 * (pictures - coarse(pictures))


def networks(
    forth: Callable[[Tensor], Tensor] = mixed,
    back: Callable[[Tensor], Tensor] = unmixed,
    D_A: Callable[[Tensor], Tensor] = undecided,
    D_B: Callable[[Tensor], Tensor] = undecided,
) -> Networks:
    return Networks(Function(forth), Function(back), Function(D_A), Function(D_B))


def failing(found: Networks, probe: Probe = PROBE) -> set[str]:
    return set(checks.Watch().failing(measure(found, probe, nullcontext())))


def cycle_l1(found: Networks) -> float:
    return float((found.G_BA(found.G_AB(REAL_A)) - REAL_A).abs().mean())


# --- planted faults ---------------------------------------------------------------------------------------------------


def test_healthy_networks_fail_no_check_and_have_every_value() -> None:
    values = measure(networks(), PROBE, nullcontext())
    of_each_way = ("colour_agreement", "copying", "output_variance", "hidden_information")
    directions = [f"{direction}/{name}" for direction in ("A_to_B", "B_to_A") for name in of_each_way]
    assert list(values) == [*directions, "D_A/judged_right", "D_B/judged_right"]
    assert failing(networks()) == set()
    assert values["A_to_B/colour_agreement"] > 0.9
    assert 0.5 < values["A_to_B/output_variance"] < 2
    assert abs(values["A_to_B/hidden_information"]) < 0.03
    assert 0.3 < values["D_B/judged_right"] < 0.7


def test_inverted_colours_are_caught_in_both_directions_though_the_cycle_is_perfect() -> None:
    inverted = networks(lambda x: mixed(-x), lambda y: -unmixed(y))
    assert cycle_l1(inverted) < 1e-5
    assert failing(inverted) == {"A_to_B/colour_agreement", "B_to_A/colour_agreement"}
    assert measure(inverted, PROBE, nullcontext())["A_to_B/colour_agreement"] < -0.9


def test_colours_exchanged_at_equal_brightness_are_caught() -> None:
    def exchanged(pictures: Tensor) -> Tensor:
        return 2 * health._luminance(pictures) - pictures

    turned = networks(lambda x: mixed(exchanged(x)), lambda y: exchanged(unmixed(y)))
    assert cycle_l1(turned) < 1e-5
    assert failing(turned) == {"A_to_B/colour_agreement", "B_to_A/colour_agreement"}


def test_a_copying_generator_is_caught() -> None:
    copying = networks(lambda x: x, lambda y: y)
    assert failing(copying) == {"A_to_B/copying", "B_to_A/copying"}
    assert measure(copying, PROBE, nullcontext())["A_to_B/copying"] == 0
    nearly = networks(lambda x: x + 0.01, lambda y: y - 0.01)
    assert failing(nearly) == {"A_to_B/copying", "B_to_A/copying"}


@pytest.mark.parametrize("shade", [0.3, -1.0])
def test_a_generator_that_ignores_its_input_is_caught(shade: float) -> None:
    collapsed = networks(lambda x: torch.full_like(x, shade))
    values = measure(collapsed, PROBE, nullcontext())
    assert failing(collapsed) == {"A_to_B/output_variance"}
    assert values["A_to_B/output_variance"] == 0
    assert "A_to_B/colour_agreement" not in values  # one colour agrees with nothing
    almost = networks(lambda x: 0.05 * mixed(x) + shade)
    assert failing(almost) == {"A_to_B/output_variance"}


def test_details_hidden_in_the_output_are_caught_though_the_cycle_is_perfect() -> None:
    hiding = networks(hide, find)
    assert cycle_l1(hiding) < 1e-5
    assert failing(hiding) == {"A_to_B/hidden_information"}
    honest = networks(lambda x: mixed(coarse(x)), lambda y: unmixed(coarse(y)))  # the details are lost, and that is seen
    assert cycle_l1(honest) > 0.05
    assert failing(honest) == set()


def test_rounding_alone_destroys_what_is_hidden_below_a_level() -> None:
    """Without the noise, that is: a thousandth is an eighth of a level."""
    fake = REAL_B + 0.001 * (REAL_A - coarse(REAL_A))
    seen = to_tensor(to_uint8(fake))
    lost = health.hidden_information(REAL_A, REAL_A, REAL_A + 1000 * (seen - fake))
    assert lost is not None
    assert lost > 1


@pytest.mark.parametrize(
    ("mode", "label", "other"), [("lsgan", 1, 0), ("vanilla", 20, -20), ("hinge", 1, -1), ("wgangp", 9, 4)]
)
def test_a_discriminator_that_is_never_deceived_is_caught_whatever_its_scores_mean(
    mode: str, label: float, other: float
) -> None:
    for per_picture in (False, True):
        probe = Probe.of(REAL_A, REAL_B, seed=0, batch_size=3, per_picture=per_picture)
        assert failing(networks(D_B=saturated(REAL_B, label, other)), probe) == {"D_B/judged_right"}
        assert failing(networks(D_A=saturated(REAL_A, label, other)), probe) == {"D_A/judged_right"}
        assert failing(networks(D_A=saturated(REAL_A, other, label)), probe) == set()  # it is always deceived


def test_outputs_that_are_no_numbers_fail_and_are_explained() -> None:
    broken = measure(networks(lambda x: x / 0 * 0, D_A=lambda x: x[:, :1] / 0), PROBE, nullcontext())
    bad = {name for name, value in broken.items() if not np.isfinite(value)}
    assert {"A_to_B/copying", "B_to_A/hidden_information", "D_A/judged_right", "D_B/judged_right"} <= bad
    assert bad <= set(checks.Watch().failing(broken))
    assert checks.explain("A_to_B/copying", float("nan")).startswith("health/A_to_B/copying is nan: ")


# --- what each value is -----------------------------------------------------------------------------------------------


def test_colour_agreement_is_the_correlation_of_luminance_where_a_domain_has_no_colours() -> None:
    grey = health._luminance(REAL_A)
    for real in (grey, grey.expand(-1, 3, -1, -1)):
        expected = np.corrcoef(grey.flatten(), health._luminance(REAL_B).flatten())[0, 1]
        assert health.colour_agreement(real, REAL_B, REAL_B) == pytest.approx(expected, abs=1e-6)
        assert health.colour_agreement(REAL_B, real, real) == pytest.approx(expected, abs=1e-6)


def test_colour_agreement_is_the_correlation_of_chroma_where_both_have_colours() -> None:
    one, other = REAL_A.numpy(), REAL_B.numpy()
    products = np.zeros(3)
    for channel, weight in ((2, 0.564), (0, 0.713)):
        a, b = (weight * (x[:, channel] - np.einsum("c,nchw->nhw", [0.299, 0.587, 0.114], x)) for x in (one, other))
        a, b = a - a.mean(), b - b.mean()
        products += [(a * b).mean(), (a * a).mean(), (b * b).mean()]
    expected = products[0] / np.sqrt(products[1] * products[2])
    assert health.colour_agreement(REAL_A, REAL_B, REAL_B) == pytest.approx(expected, abs=1e-5)


def test_distances_are_shares_of_those_between_real_pictures() -> None:
    def l1(one: Tensor, other: Tensor) -> float:
        return float((one - other).abs().mean())

    fake = mixed(REAL_A)
    apart = np.mean([l1(a, b) for a in REAL_A for b in REAL_B])
    assert health.copying(REAL_A, fake, REAL_B) == pytest.approx(l1(fake, REAL_A) / apart, rel=1e-5)
    among = [np.mean([l1(x[i], x[j]) for i in range(8) for j in range(8) if i != j]) for x in (REAL_B, fake)]
    assert health.output_variance(fake, REAL_B) == pytest.approx(among[1] / among[0], rel=1e-5)
    squared = np.mean([float((REAL_A[i] - REAL_A[j]).square().mean()) for i in range(8) for j in range(8) if i != j])
    lost = health.hidden_information(REAL_A, REAL_A + 0.1, REAL_A + 0.3)
    assert lost == pytest.approx((0.3**2 - 0.1**2) / squared, rel=1e-4)


def test_copies_are_found_across_numbers_of_channels_and_colouring_is_none() -> None:
    grey = health._luminance(REAL_A)
    assert health.copying(REAL_A, grey, health._luminance(REAL_B)) == 0
    assert health.copying(grey, grey.expand(-1, 3, -1, -1), REAL_B) == 0
    coloured = health.copying(grey, REAL_A, REAL_B)  # of the same brightness as the input
    assert coloured is not None
    assert coloured > 0.3


def test_grey_domains_are_measured_too() -> None:
    grey = Probe.of(health._luminance(REAL_A), REAL_B, seed=0, batch_size=4)
    found = networks(lambda x: mixed(x.expand(-1, 3, -1, -1)), lambda y: health._luminance(unmixed(y)))
    values = measure(found, grey, nullcontext())
    assert len(values) == 10
    assert set(checks.Watch().failing(values)) == set()
    inverted = networks(lambda x: mixed(-x.expand(-1, 3, -1, -1)), lambda y: -health._luminance(unmixed(y)))
    assert failing(inverted, grey) == {"A_to_B/colour_agreement", "B_to_A/colour_agreement"}


def test_what_is_undefined_is_left_out() -> None:
    one = Probe.of(REAL_A[:1], REAL_B[:1], seed=0, batch_size=1)
    names = {name.rpartition("/")[2] for name in measure(networks(), one, nullcontext())}
    assert names == {"colour_agreement", "copying", "judged_right"}  # there are no two pictures to compare
    same = torch.zeros(2, 3, 8, 8)
    assert health.copying(same, same, same) is None
    assert health.output_variance(same, same) is None


@pytest.mark.parametrize("per_picture", [True, False])
def test_judged_right_is_the_share_of_pairs_in_order_of_which_ties_count_half(per_picture: bool) -> None:
    rng = randomness.generator(0, "test/scores")
    real, fake = (torch.from_numpy(rng.integers(low, 6, (n, 1, 3, 4)).astype("float32")) for low, n in ((1, 5), (0, 4)))
    one, other = (x.mean((1, 2, 3)) if per_picture else x.flatten() for x in (real, fake))
    pairs = [(a > b) + 0.5 * (a == b) for a in one.tolist() for b in other.tolist()]
    assert health.judged_right(real, fake, per_picture=per_picture) == pytest.approx(np.mean(pairs))


# --- looking changes nothing ------------------------------------------------------------------------------------------


MOODY = {"model.norm": "batch", "model.dropout": True, "model.init_gain": 0.2}  # that compute differently in training


@pytest.fixture
def moody(make_config: Callable[..., Config], make_state: Callable[[Config], TrainState]) -> Networks:
    found = make_state(make_config(**MOODY)).networks
    with torch.no_grad():  # running statistics that have seen something
        for network in vars(found).values():
            network.train()
            network(REAL_A)
    return found


def test_networks_and_random_state_are_as_before(moody: Networks) -> None:
    before = {name: deepcopy(network.state_dict()) for name, network in moody.items()}
    random = torch.get_rng_state()
    measure(moody, PROBE, nullcontext())
    assert torch.equal(torch.get_rng_state(), random)
    for name, network in moody.items():
        assert network.training
        assert all(torch.equal(value, before[name][key]) for key, value in network.state_dict().items())
        assert all(parameter.grad is None for parameter in network.parameters())


def test_the_same_is_measured_again_and_whatever_the_batches(moody: Networks) -> None:
    once, again = (measure(moody, Probe.of(REAL_A, REAL_B, 0, 3), nullcontext()) for _ in range(2))
    assert once == again
    whole = measure(moody, Probe.of(REAL_A, REAL_B, 0, 8), nullcontext())
    assert whole == pytest.approx(once, rel=1e-3, abs=1e-4)
    other_noise = measure(moody, Probe.of(REAL_A, REAL_B, 1, 3), nullcontext())
    assert {name for name in once if once[name] != other_noise[name]} == {
        "A_to_B/hidden_information",
        "B_to_A/hidden_information",
    }


def test_noise_is_as_mild_as_it_says_and_differs_between_domains_and_pictures() -> None:
    for noise in (PROBE.noise_A, PROBE.noise_B):
        assert float(noise.std()) == pytest.approx(health.NOISE, rel=0.02)
        assert abs(float(noise.mean())) < 0.001
    assert not torch.equal(PROBE.noise_A, PROBE.noise_B)
    assert not torch.equal(PROBE.noise_A[0], PROBE.noise_A[1])


def test_bf16_is_near_enough(moody: Networks) -> None:
    exact = measure(moody, PROBE, nullcontext())
    coarse_values = measure(moody, PROBE, autocast("bf16", torch.device("cpu")))
    assert coarse_values == pytest.approx(exact, abs=0.1)


# --- real pictures ----------------------------------------------------------------------------------------------------


def truth(folder: Path) -> tuple[Tensor, Tensor]:
    """True pairs [N, 3, H, W], by name."""
    sets = [[images.read(file, 3) for file in sorted((folder / name).iterdir())] for name in ("testA", "testB")]
    one, other = (from_pixels(np.stack(pictures)) for pictures in sets)
    return one, other


def true_values(real_A: Tensor, real_B: Tensor) -> Values:
    """What a generator that is always right would have."""
    found = {
        f"{direction}/{name}": value
        for direction, real, target in (("A_to_B", real_A, real_B), ("B_to_A", real_B, real_A))
        for name, value in (
            ("colour_agreement", health.colour_agreement(real, target, target)),
            ("copying", health.copying(real, target, target)),
        )
    }
    return {name: value for name, value in found.items() if value is not None}


class Nearest(nn.Module):
    """Answers with the value of the nearest key: any function of some pictures, which noise does not disturb."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys, values

    def forward(self, pictures: Tensor) -> Tensor:
        distances = torch.cdist(pictures.flatten(1), self.keys.flatten(1), p=1)
        return self.values[distances.argmin(1)]


def sea_and_land_exchanged(photographs: Tensor, pictures: Tensor) -> Tensor:
    """Pictures of either domain in which sea has land's mean colour and land sea's; the photographs say which is which."""
    sea = (photographs[:, 2] > photographs[:, 0] + 0.05)[:, None].expand_as(pictures)
    of_sea, of_land = (
        (pictures * where).sum((0, 2, 3), keepdim=True) / where.sum((0, 2, 3), keepdim=True) for where in (sea, ~sea)
    )
    return torch.where(sea, pictures - of_sea + of_land, pictures - of_land + of_sea).clamp(-1, 1)


@pytest.fixture(scope="module")
def true_pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Tensor, Tensor]]:
    """true_pairs("earth"): 60 of them, 64 px, made once."""

    @cache
    def pairs(name: str) -> tuple[Tensor, Tensor]:
        folder = tmp_path_factory.mktemp(name) / "raw"
        source: Any = {"earth": earth, "openmoji": openmoji, "shapes": shapes}[name]
        source.make(folder, 64, 1, 60, 0)
        return truth(folder)

    return pairs


@pytest.mark.parametrize("name", ["earth", "openmoji", "shapes"])
def test_true_translations_fail_no_check_and_are_as_documented(
    true_pairs: Callable[[str], tuple[Tensor, Tensor]], name: str
) -> None:
    real_A, real_B = true_pairs(name)
    values = true_values(real_A, real_B)
    assert checks.Watch().failing(values) == []
    for start in range(0, 60, 6):  # as few as are looked at in training
        few = slice(start, start + 6)
        assert checks.Watch().failing(true_values(real_A[few], real_B[few])) == []
    assert values["B_to_A/colour_agreement"] == pytest.approx(values["A_to_B/colour_agreement"])
    shown = f"| {values['A_to_B/colour_agreement']:.2f} | {values['A_to_B/copying']:.2f} |"
    assert f"| `{name}`, true pairs {shown}\n" in DOCS


def test_sea_and_land_exchanged_on_earth_are_caught_though_the_cycle_is_perfect(
    true_pairs: Callable[[str], tuple[Tensor, Tensor]],
) -> None:
    photographs, maps = (pictures[:48:6] for pictures in true_pairs("earth"))
    wrong_photographs, wrong_maps = (sea_and_land_exchanged(photographs, x) for x in (photographs, maps))
    both_A, both_B = torch.cat([photographs, wrong_photographs]), torch.cat([maps, wrong_maps])
    wrong_A, wrong_B = torch.cat([wrong_photographs, photographs]), torch.cat([wrong_maps, maps])
    probe = Probe.of(photographs, maps, seed=0, batch_size=8)

    def as_networks(forth: nn.Module, back: nn.Module) -> Networks:
        return Networks(forth, back, Function(undecided), Function(undecided))

    right = as_networks(Nearest(both_A, both_B), Nearest(both_B, both_A))
    exchanged = as_networks(Nearest(both_A, wrong_B), Nearest(both_B, wrong_A))
    for found in (right, exchanged):
        assert torch.equal(found.G_BA(found.G_AB(photographs)), photographs)
        assert torch.equal(found.G_AB(found.G_BA(maps)), maps)
    assert failing(right, probe) == set()
    assert failing(exchanged, probe) == {"A_to_B/colour_agreement", "B_to_A/colour_agreement"}
    values = measure(exchanged, probe, nullcontext())
    ways = [f"{values[f'{way}/colour_agreement']:.2f}" for way in ("A_to_B", "B_to_A")]
    assert f"a `colour_agreement` of {ways[0]} (A to B) and {ways[1]}\n(B to A)" in DOCS
