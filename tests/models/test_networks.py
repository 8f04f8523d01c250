"""The architectures by their published numbers, against a network built layer by layer, and their first weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from cyclegan.config import Config
from cyclegan.models.discriminators import PatchDiscriminator
from cyclegan.models.generators import ResnetGenerator, UnetGenerator
from cyclegan.models.layers import _reflect_by_slices, mixes_batch, norm_layer, reflect_pad
from cyclegan.models.networks import (
    Networks,
    build,
    build_discriminator,
    build_generator,
    channels,
    evaluating,
    make_discriminator,
    make_generator,
)

CPU = torch.device("cpu")


NORMS = ("instance", "instance_affine", "batch", "none")


@dataclass
class Arithmetic:
    """An architecture in numbers, added up by hand in the test below.

    Attributes:
        weights: numbers in the convolutions' kernels.
        convolutions: how many they are.
        biases: those that are there under every norm: of the first layer of a discriminator, of the last of any network.
        biased_convolutions: how many convolutions these belong to.
        instance_biases: those that are there under InstanceNorm only.
        channels: of all norms together.
        norms: how many they are.
    """

    weights: int
    convolutions: int
    biases: int
    biased_convolutions: int
    instance_biases: int
    channels: int
    norms: int

    def parameters(self, norm: str) -> int:
        instance = self.instance_biases if norm.startswith("instance") else 0
        scales_and_shifts = 2 * self.channels if norm in ("instance_affine", "batch") else 0
        return self.weights + self.biases + instance + scales_and_shifts

    def tensors(self, norm: str) -> int:
        biased = self.convolutions if norm.startswith("instance") else self.biased_convolutions
        return self.convolutions + biased + self.norms * {"instance_affine": 2, "batch": 5}.get(norm, 0)

    def statistics(self, norm: str) -> int:
        """Means, variances, and a count of batches in each BatchNorm."""
        return 2 * self.channels + self.norms if norm == "batch" else 0


def resnet(blocks: int) -> Arithmetic:
    """7 x 7 kernels at both ends, 3 x 3 ones in between; a norm after all but the last."""
    ends, narrow, wide = 49 * 3 * 64, 9 * 64 * 128, 9 * 128 * 256
    channels = 64 + 128 + 256 + 2 * blocks * 256 + 128 + 64
    weights = 2 * (ends + narrow + wide) + 2 * blocks * 9 * 256 * 256
    return Arithmetic(weights, 6 + 2 * blocks, 3, 1, channels, channels, 5 + 2 * blocks)


def unet(levels: int) -> Arithmetic:
    """4 x 4 kernels, from 64 channels by 128 and 256 to 512, where they stay; the last of `levels` is the innermost.

    Down: a norm on every level but the outermost and the innermost. Up: twice the width comes in, from below and from
    across, but on the innermost level; a norm on every level but the outermost.
    """
    deep = levels - 4  # levels that go from 512 to 512 channels
    down = 3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + deep * 512 * 512
    up = 512 * 512 + (deep - 1) * 1024 * 512 + 1024 * 256 + 512 * 128 + 256 * 64 + 128 * 3
    normed_down = 128 + 256 + 512 + (deep - 1) * 512
    normed_up = deep * 512 + 256 + 128 + 64
    return Arithmetic(
        weights=16 * (down + up),
        convolutions=2 * levels,
        biases=3,
        biased_convolutions=1,
        instance_biases=64 + normed_down + 512 + normed_up,  # the outermost and the innermost way down have one too
        channels=normed_down + normed_up,
        norms=(levels - 2) + (levels - 1),
    )


def patchgan(*widths: int) -> Arithmetic:
    """4 x 4 kernels, from 3 channels over `widths` to one score; a norm on all widths but the first."""
    kernels = [16 * c_in * c_out for c_in, c_out in pairwise([3, *widths, 1])]
    normed = sum(widths[1:])
    return Arithmetic(sum(kernels), len(kernels), widths[0] + 1, 2, normed, normed, len(widths) - 1)


ARCHITECTURES: dict[str, tuple[Arithmetic, Callable[[str], nn.Module]]] = {
    "resnet_9blocks": (resnet(9), lambda norm: make_generator("resnet_9blocks", 3, 3, 64, norm, dropout=False)),
    "resnet_6blocks": (resnet(6), lambda norm: make_generator("resnet_6blocks", 3, 3, 64, norm, dropout=False)),
    "unet_256": (unet(8), lambda norm: make_generator("unet_256", 3, 3, 64, norm, dropout=False)),
    "unet_128": (unet(7), lambda norm: make_generator("unet_128", 3, 3, 64, norm, dropout=False)),
    "basic": (patchgan(64, 128, 256, 512), lambda norm: make_discriminator("basic", 3, 64, 5, norm)),
    "same_size": (patchgan(64, 128, 256, 512), lambda norm: make_discriminator("same_size", 3, 64, 5, norm)),
    "n_layers 1": (patchgan(64, 128), lambda norm: make_discriminator("n_layers", 3, 64, 1, norm)),
    "n_layers 5": (patchgan(64, 128, 256, 512, 512, 512), lambda norm: make_discriminator("n_layers", 3, 64, 5, norm)),
    # 1 x 1 kernels 3 -> 64 -> 128 -> 1; the last has no bias but under InstanceNorm, in the reference code too
    "pixel": (
        Arithmetic(3 * 64 + 64 * 128 + 128, 3, 64, 1, 128 + 1, 128, 1),
        lambda norm: make_discriminator("pixel", 3, 64, 5, norm),
    ),
}
PUBLISHED = {  # under the norm that was published with it
    ("resnet_9blocks", "instance"): (11_378_179, 48),
    ("resnet_6blocks", "instance"): (7_837_699, 36),
    ("basic", "instance"): (2_764_737, 10),
    ("unet_256", "batch"): (54_413_955, 82),  # "54.414 M" in the reference implementation's logs
    ("unet_128", "batch"): (41_828_995, 70),
    ("pixel", "instance"): (8_705, 6),
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameters_and_tensors_are_as_many_as_by_hand(name: str, norm: str) -> None:
    arithmetic, make = ARCHITECTURES[name]
    with torch.device("meta"):
        network = make(norm)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    everything = network.state_dict().values()
    assert (parameters, len(everything)) == (arithmetic.parameters(norm), arithmetic.tensors(norm))
    assert sum(tensor.numel() for tensor in everything) == parameters + arithmetic.statistics(norm)
    if (name, norm) in PUBLISHED:
        assert (parameters, len(everything)) == PUBLISHED[name, norm]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["resnet_6blocks", "resnet_9blocks", "unet_128", "unet_256"])
def test_dropout_adds_no_weights(name: str, norm: str) -> None:
    with torch.device("meta"):
        without, network = (make_generator(name, 3, 1, 64, norm, dropout=dropout) for dropout in (False, True))
    shapes = [[tensor.shape for tensor in one.state_dict().values()] for one in (without, network)]
    assert shapes[0] == shapes[1]
    layers = sum(isinstance(module, nn.Dropout) for module in network.modules())
    assert layers == {"resnet_6blocks": 6, "resnet_9blocks": 9, "unet_128": 2, "unet_256": 3}[name]
    assert not any(isinstance(module, nn.Dropout) for module in without.modules())


@pytest.mark.parametrize("norm", NORMS)
def test_state_dicts_have_these_keys_and_shapes(norm: str) -> None:
    """The names of tensors in files of weights: a change makes every one of them unreadable."""
    with torch.device("meta"):
        judge = make_discriminator("n_layers", 3, 8, 1, norm)
        resnet = make_generator("resnet_6blocks", 3, 1, 8, norm, dropout=False)
        unet = make_generator("unet_128", 3, 1, 8, norm, dropout=False)
    bias = ["bias"] if norm.startswith("instance") else []
    own = {
        "instance_affine": ["weight", "bias"],
        "batch": ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"],
    }.get(norm, [])

    def named(*places: tuple[str, list[str]]) -> list[str]:
        return [f"{place}.{key}" for place, keys in places for key in keys]

    always, conv = ["weight", "bias"], ["weight", *bias]
    assert list(judge.state_dict()) == named(
        ("layers.0", always), ("layers.2", conv), ("layers.3", own), ("layers.5", always)
    )
    assert list(resnet.state_dict()) == named(
        ("stem.0.conv", conv),
        ("stem.1", own),
        *((f"down.{place}", keys) for place, keys in ((0, conv), (1, own), (3, conv), (4, own))),
        *(
            (f"blocks.{block}.body.{place}", keys)
            for block in range(6)
            for place, keys in (("0.conv", conv), ("1", own), ("3.conv", conv), ("4", own))
        ),
        *((f"up.{place}", keys) for place, keys in ((0, conv), (1, own), (3, conv), (4, own))),
        ("head.0.conv", always),
    )
    assert list(unet.state_dict()) == named(
        ("down.0.0", conv),
        *((f"down.{level}.{place}", keys) for level in range(1, 6) for place, keys in ((1, conv), (2, own))),
        ("down.6.1", conv),
        ("up.0.1", always),
        *((f"up.{level}.{place}", keys) for level in range(1, 7) for place, keys in ((1, conv), (2, own))),
    )
    shapes = {key: tuple(tensor.shape) for network in (resnet, unet) for key, tensor in network.state_dict().items()}
    assert shapes["stem.0.conv.weight"] == (8, 3, 7, 7)
    assert shapes["blocks.5.body.3.conv.weight"] == (32, 32, 3, 3)
    assert shapes["head.0.conv.weight"] == (1, 8, 7, 7)
    assert shapes["down.0.0.weight"] == (8, 3, 4, 4)
    assert shapes["up.0.1.weight"] == (16, 1, 4, 4)
    assert shapes["up.6.1.weight"] == (64, 64, 4, 4)


def plain_norm(norm: str, c: int) -> nn.Module:
    kinds = {
        "instance": nn.InstanceNorm2d,
        "instance_affine": partial(nn.InstanceNorm2d, affine=True),
        "batch": nn.BatchNorm2d,
        "none": lambda c: nn.Identity(),
    }
    return kinds[norm](c)


def reference_generator(ngf: int, blocks: int, norm: str, dropout: bool = False) -> nn.Sequential:
    """The reference PyTorch layout, flat, with PyTorch's own reflection padding."""
    bias = norm.startswith("instance")

    def conv(c_in: int, c_out: int, kernel: int, bias: bool = bias) -> list[nn.Module]:
        return [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(c_in, c_out, kernel, bias=bias)]

    class Residual(nn.Module):
        def __init__(self, c: int) -> None:
            super().__init__()
            middle = [plain_norm(norm, c), nn.ReLU(), nn.Dropout(0.5 if dropout else 0.0)]
            self.body = nn.Sequential(*conv(c, c, 3), *middle, *conv(c, c, 3), plain_norm(norm, c))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.body(x)

    layers = [*conv(3, ngf, 7), plain_norm(norm, ngf), nn.ReLU()]
    for c in (ngf, 2 * ngf):
        layers += [nn.Conv2d(c, 2 * c, 3, 2, 1, bias=bias), plain_norm(norm, 2 * c), nn.ReLU()]
    layers += [Residual(4 * ngf) for _ in range(blocks)]
    for c in (4 * ngf, 2 * ngf):
        layers += [
            nn.ConvTranspose2d(c, c // 2, 3, 2, 1, output_padding=1, bias=bias),
            plain_norm(norm, c // 2),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, *conv(ngf, 3, 7, bias=True), nn.Tanh())


class Nested(nn.Module):
    """A level of a U-Net with all that lies below it: beside what comes up goes what went down (Isola et al. 2017)."""

    def __init__(self, outer: int, inner: int, below: nn.Module | None, norm: str, dropout: bool) -> None:
        super().__init__()
        bias = norm.startswith("instance")
        self.down = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1, bias=bias))
        if below is not None:
            self.down.append(plain_norm(norm, inner))
        self.below = nn.Identity() if below is None else below
        width = inner if below is None else 2 * inner
        self.up = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(width, outer, 4, 2, 1, bias=bias), plain_norm(norm, outer))
        if dropout:
            self.up.append(nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.up(self.below(self.down(x)))], 1)


def reference_unet(ngf: int, levels: int, norm: str, dropout: bool = False) -> nn.Sequential:
    """From the innermost level outwards; dropout on those of full width but the innermost and the one that widens."""
    level: nn.Module = Nested(8 * ngf, 8 * ngf, None, norm, dropout=False)
    for _ in range(levels - 5):
        level = Nested(8 * ngf, 8 * ngf, level, norm, dropout)
    for outer in (4 * ngf, 2 * ngf, ngf):
        level = Nested(outer, 2 * outer, level, norm, dropout=False)
    down = nn.Conv2d(3, ngf, 4, 2, 1, bias=norm.startswith("instance"))
    return nn.Sequential(down, level, nn.ReLU(), nn.ConvTranspose2d(2 * ngf, 3, 4, 2, 1), nn.Tanh())


def reference_discriminator(ndf: int, n_layers: int, norm: str) -> nn.Sequential:
    """PatchGANs, written out; the 70 x 70 one has three layers."""
    bias = norm.startswith("instance")

    def block(c_in: int, c_out: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(c_in, c_out, 4, stride, 1, bias=bias), plain_norm(norm, c_out), nn.LeakyReLU(0.2)]

    first = [nn.Conv2d(3, ndf, 4, 2, 1), nn.LeakyReLU(0.2)]
    match n_layers:
        case 1:
            rest, last = block(ndf, 2 * ndf, 1), 2 * ndf
        case 2:
            rest, last = [*block(ndf, 2 * ndf, 2), *block(2 * ndf, 4 * ndf, 1)], 4 * ndf
        case 3:
            rest = [*block(ndf, 2 * ndf, 2), *block(2 * ndf, 4 * ndf, 2), *block(4 * ndf, 8 * ndf, 1)]
            last = 8 * ndf
        case 4:
            rest = [*block(ndf, 2 * ndf, 2), *block(2 * ndf, 4 * ndf, 2), *block(4 * ndf, 8 * ndf, 2)]
            rest += block(8 * ndf, 8 * ndf, 1)
            last = 8 * ndf
    return nn.Sequential(*first, *rest, nn.Conv2d(last, 1, 4, 1, 1))


def reference_same_size(ndf: int, norm: str) -> nn.Sequential:
    """Three layers of stride 2, and two whose paddings together keep the map's size."""
    bias = norm.startswith("instance")
    return nn.Sequential(
        nn.Conv2d(3, ndf, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(ndf, 2 * ndf, 4, 2, 1, bias=bias),
        plain_norm(norm, 2 * ndf),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * ndf, 4 * ndf, 4, 2, 1, bias=bias),
        plain_norm(norm, 4 * ndf),
        nn.LeakyReLU(0.2),
        nn.ZeroPad2d((2, 2, 1, 1)),  # left, right, top, bottom: 32 x 32 become 31 x 33 ...
        nn.Conv2d(4 * ndf, 8 * ndf, 4, bias=bias),
        plain_norm(norm, 8 * ndf),
        nn.LeakyReLU(0.2),
        nn.ZeroPad2d((1, 1, 2, 2)),  # ... and 32 x 32 again
        nn.Conv2d(8 * ndf, 1, 4),
    )


def reference_pixel(ndf: int, norm: str) -> nn.Sequential:
    bias = norm.startswith("instance")
    return nn.Sequential(
        nn.Conv2d(3, ndf, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
        plain_norm(norm, 2 * ndf),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * ndf, 1, 1, bias=bias),
    )


SIZES = {"unet_128": (128, 256), "unet_256": (256, 256), "n_layers 4": (56, 72)}
REFERENCES: dict[str, tuple[Callable[[str], nn.Module], Callable[[str], nn.Module]]] = {
    "resnet_9blocks": (
        lambda norm: make_generator("resnet_9blocks", 3, 3, 4, norm, dropout=False),
        lambda norm: reference_generator(4, 9, norm),
    ),
    "resnet_6blocks": (
        lambda norm: make_generator("resnet_6blocks", 3, 3, 8, norm, dropout=True),
        lambda norm: reference_generator(8, 6, norm, dropout=True),
    ),
    "unet_128": (
        lambda norm: make_generator("unet_128", 3, 3, 2, norm, dropout=True),
        lambda norm: reference_unet(2, 7, norm, dropout=True),
    ),
    "unet_256": (
        lambda norm: make_generator("unet_256", 3, 3, 2, norm, dropout=False),
        lambda norm: reference_unet(2, 8, norm),
    ),
    "basic": (
        lambda norm: make_discriminator("basic", 3, 8, 1, norm),
        lambda norm: reference_discriminator(8, 3, norm),
    ),
    **{
        f"n_layers {n}": (
            lambda norm, n=n: make_discriminator("n_layers", 3, 4, n, norm),
            lambda norm, n=n: reference_discriminator(4, n, norm),
        )
        for n in (1, 2, 3, 4)
    },
    "same_size": (
        lambda norm: make_discriminator("same_size", 3, 4, 1, norm),
        lambda norm: reference_same_size(4, norm),
    ),
    "pixel": (lambda norm: make_discriminator("pixel", 3, 4, 1, norm), lambda norm: reference_pixel(4, norm)),
}


def in_order_of_computation(network: nn.Module) -> list[Tensor]:
    """Its tensors, those of a U-Net down and up again."""
    parts = [*network.down, *reversed(network.up)] if isinstance(network, UnetGenerator) else [network]
    return [tensor for part in parts for tensor in part.state_dict().values()]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", REFERENCES)
@torch.no_grad()
def test_computes_what_the_reference_layout_computes(name: str, norm: str) -> None:
    """Same weights in the same order, same pictures: this pins paddings, strides, norms, activations and skips.

    In evaluation with running statistics that are not the first ones, and in training with the same dropouts, after which
    running statistics are the same.
    """
    ours, reference = (make(norm) for make in REFERENCES[name])
    torch.manual_seed(0)
    for tensor in ours.state_dict().values():
        if tensor.ndim == 1:  # so that no scale is 1 and no shift 0
            tensor.uniform_(0.5, 1.5)
    for theirs, own in zip(in_order_of_computation(reference), in_order_of_computation(ours), strict=True):
        theirs.copy_(own)
    x = torch.randn(2, 3, *SIZES.get(name, (40, 56)))
    for training in (False, True):
        outputs = []
        for network in (ours, reference):
            torch.manual_seed(1)
            outputs.append(network.train(training)(x))
        torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)
    for theirs, own in zip(in_order_of_computation(reference), in_order_of_computation(ours), strict=True):
        torch.testing.assert_close(theirs, own, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", [16, 24, 40, 256])
def test_maps_have_the_sizes_that_their_names_promise(side: int) -> None:
    with torch.device("meta"):
        picture = torch.empty(2, 3, side, side)
        assert make_discriminator("same_size", 3, 8, 1, "none")(picture).shape == (2, 1, side // 8, side // 8)
        assert make_discriminator("pixel", 3, 8, 1, "none")(picture).shape == (2, 1, side, side)
        if side >= 24:
            assert make_discriminator("basic", 3, 8, 1, "none")(picture).shape == (2, 1, side // 8 - 2, side // 8 - 2)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_convolutions_before_a_norm_have_a_bias_under_instance_norm_only(name: str, norm: str) -> None:
    with torch.device("meta"):
        network = ARCHITECTURES[name][1](norm)
    kinds = nn.Conv2d | nn.ConvTranspose2d
    convolutions = [module for module in network.modules() if isinstance(module, kinds)]
    before_norm = []
    for layers in (module for module in network.modules() if isinstance(module, nn.Sequential)):
        for layer, following in pairwise(layers):
            if isinstance(following, nn.InstanceNorm2d | nn.BatchNorm2d | nn.Identity):
                before_norm.append(layer if isinstance(layer, kinds) else layer.conv)
    assert len(before_norm) == ARCHITECTURES[name][0].norms
    assert {conv.bias is not None for conv in before_norm} == {norm.startswith("instance")}
    others = {conv.bias is not None for conv in convolutions if all(conv is not one for one in before_norm)}
    assert norm.startswith("instance") <= (others == {True})


SIDES = {"unet_128": {"preprocess.load_size": 128, "preprocess.crop_size": 128}}


def tiny(make_config: Callable[..., Config], seed: int = 0, **model: object) -> Networks:
    sides = SIDES.get(str(model.get("netG")), {})
    return build(make_config(**sides, **{f"model.{name}": value for name, value in model.items()}).model, seed, CPU)


@pytest.mark.parametrize("side", [(32, 32), (8, 8), (12, 40)])
@torch.no_grad()
def test_generators_keep_the_size_change_the_channels_and_stay_in_range(
    make_config: Callable[..., Config], side: tuple[int, int]
) -> None:
    config = make_config(**{"model.input_nc": 1, "loss.lambda_identity": 0.0, "model.init_gain": 1.0})
    networks = build(config.model, 0, CPU)
    grey, colour = torch.rand(2, 1, *side) * 2 - 1, torch.rand(2, 3, *side) * 2 - 1
    fake_B, fake_A = networks.G_AB(grey), networks.G_BA(colour)
    assert (fake_B.shape, fake_A.shape) == (colour.shape, grey.shape)
    for fake in (fake_A, fake_B):
        assert fake.abs().max() <= 1
        assert fake.abs().max() > 0.9  # with weights this large the range is used, up to its ends
    assert channels(config.model, "G_AB") == (1, 3)
    assert channels(config.model, "G_BA") == (3, 1)
    if min(side) >= 12:
        assert networks.D_A(fake_A).shape[:2] == networks.D_B(fake_B).shape[:2] == (2, 1)


def convolutions(network: nn.Module) -> dict[str, nn.Conv2d | nn.ConvTranspose2d]:
    return {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)}


def assert_normal(values: Tensor, deviation: float, name: str) -> None:
    """N(0, deviation^2), each moment within five standard errors."""
    assert abs(values.mean()) < 5 * deviation / values.numel() ** 0.5, name
    assert abs(values.std() / deviation - 1) < 5 / (2 * values.numel()) ** 0.5, name


def assert_bell_shaped(values: Tensor) -> None:
    """Of values in standard deviations."""
    shares = [(values.abs() < sigmas).float().mean().item() for sigmas in (1, 2, 3)]
    assert shares == pytest.approx([0.6827, 0.9545, 0.9973], abs=0.01)


@pytest.mark.parametrize("architecture", ["resnet_6blocks", "unet_128"])
@pytest.mark.parametrize(("init_type", "gain"), [("normal", 0.02), ("normal", 0.5), ("xavier", 0.02), ("kaiming", 0.02)])
def test_first_weights_are_normal_with_their_kinds_deviation(
    make_config: Callable[..., Config], architecture: str, init_type: str, gain: float
) -> None:
    networks = tiny(make_config, netG=architecture, ngf=8, ndf=16, init_type=init_type, init_gain=gain)
    for network in vars(networks).values():
        everything = []
        for name, module in convolutions(network).items():
            weight = module.weight.detach()
            pixels = weight.shape[2] * weight.shape[3]
            fan_in, fan_out = weight.shape[1] * pixels, weight.shape[0] * pixels  # as PyTorch counts for both kinds
            deviation = {
                "normal": gain,
                "xavier": gain * (2 / (fan_in + fan_out)) ** 0.5,  # Glorot and Bengio 2010
                "kaiming": (2 / fan_in) ** 0.5,  # He et al. 2015; without gain
            }[init_type]
            assert_normal(weight, deviation, name)
            everything.append(weight.flatten() / deviation)
        assert_bell_shaped(torch.cat(everything))


@pytest.mark.parametrize("gain", [0.02, 1.0])
def test_orthogonal_first_weights_are_orthogonal(make_config: Callable[..., Config], gain: float) -> None:
    for network in vars(tiny(make_config, netD="same_size", init_type="orthogonal", init_gain=gain)).values():
        for name, module in convolutions(network).items():
            rows = module.weight.detach().flatten(1).double() / gain
            gram = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
            torch.testing.assert_close(gram, torch.eye(len(gram), dtype=gram.dtype), atol=1e-5, rtol=0, msg=name)


@pytest.mark.parametrize("init_type", ["normal", "xavier", "kaiming", "orthogonal"])
def test_first_biases_are_zero(make_config: Callable[..., Config], init_type: str) -> None:
    for network in vars(tiny(make_config, init_type=init_type, init_bias="zero")).values():
        assert all((module.bias == 0).all() for module in convolutions(network).values())


@pytest.mark.parametrize("architecture", ["resnet_6blocks", "unet_128"])
def test_uniform_first_biases_are_those_of_pytorch(make_config: Callable[..., Config], architecture: str) -> None:
    """Uniform in +-1 / sqrt(fan in), which for a transposed convolution PyTorch counts by its outputs."""
    for network in vars(tiny(make_config, netG=architecture, ngf=16, ndf=16, init_bias="uniform")).values():
        everything = []
        for name, module in convolutions(network).items():
            bound = module.weight[0].numel() ** -0.5
            assert module.bias.abs().max() <= bound, name
            everything.append(module.bias.detach() / bound)
        shares = torch.cat(everything)
        assert shares.abs().max() > 0.98
        assert abs(shares.mean()) < 5 * 3**-0.5 / shares.numel() ** 0.5
        assert shares.var().item() == pytest.approx(1 / 3, rel=0.15)
        fresh = nn.ConvTranspose2d(64, 2, 4)
        assert fresh.bias.abs().max() <= fresh.weight[0].numel() ** -0.5


@pytest.mark.parametrize("gain", [0.02, 0.2])
def test_a_batch_norms_first_scale_is_near_one_and_its_shift_zero(make_config: Callable[..., Config], gain: float) -> None:
    for network in vars(tiny(make_config, norm="batch", ngf=16, ndf=16, init_type="kaiming", init_gain=gain)).values():
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        scales = torch.cat([module.weight.detach() for module in norms])
        assert_normal(scales - 1, gain, "scales")
        assert all((module.bias == 0).all() for module in norms)
        assert all((module.running_mean == 0).all() and (module.running_var == 1).all() for module in norms)


def test_an_affine_instance_norm_starts_without_effect(make_config: Callable[..., Config]) -> None:
    for network in vars(tiny(make_config, norm="instance_affine")).values():
        norms = [module for module in network.modules() if isinstance(module, nn.InstanceNorm2d)]
        assert norms
        assert all((module.weight == 1).all() and (module.bias == 0).all() for module in norms)


def flat(networks: Networks) -> Iterator[Tensor]:
    for network in vars(networks).values():
        yield torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"init_type": "xavier", "norm": "batch"},
        {"init_type": "kaiming", "init_bias": "uniform"},
        {"init_type": "orthogonal", "netG": "unet_128", "netD": "pixel"},
    ],
)
def test_first_weights_depend_on_the_seed_and_the_networks_name_alone(
    make_config: Callable[..., Config], model: dict[str, object]
) -> None:
    torch.manual_seed(1)
    first = list(flat(tiny(make_config, **model)))
    torch.manual_seed(2)
    again, other = list(flat(tiny(make_config, **model))), list(flat(tiny(make_config, seed=1, **model)))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    G_AB, G_BA, D_A, D_B = first
    assert not torch.equal(G_AB, G_BA)
    assert not torch.equal(D_A, D_B)
    wider = list(flat(tiny(make_config, ndf=8, **model)))
    assert torch.equal(wider[0], G_AB)  # changing one network leaves the others' first weights


@pytest.mark.parametrize("norm", NORMS)
@torch.no_grad()
def test_pictures_of_a_batch_influence_one_another_through_a_batch_norm_only(
    make_config: Callable[..., Config], norm: str
) -> None:
    model = make_config(**{"model.norm": norm, "model.init_gain": 0.2}).model
    networks = build(model, 0, CPU)
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    same = []
    for network in vars(networks).values():
        network.double()
        apart = torch.cat([network(x[i : i + 1]) for i in range(3)])
        same.append(torch.allclose(network(x), apart, atol=1e-5, rtol=1e-4))
    assert same == [norm != "batch"] * 4
    assert mixes_batch(model) is (norm == "batch")


@pytest.mark.parametrize(
    "model",
    [
        {"netG": "resnet_9blocks", "netD": "basic"},
        {"netG": "unet_128", "netD": "n_layers", "n_layers_D": 4, "norm": "batch", "dropout": True},
        {"netG": "resnet_6blocks", "netD": "same_size", "norm": "none", "dropout": True},
        {"netG": "unet_256", "netD": "pixel", "norm": "instance_affine"},
    ],
)
def test_networks_are_those_of_their_config(make_config: Callable[..., Config], model: dict[str, object]) -> None:
    """What is built without first weights has the modules and shapes of what training builds, in grey and in colour."""
    changes = {f"model.{name}": value for name, value in model.items()}
    side = 256 if model["netG"] == "unet_256" else 128
    sizes = {"preprocess.load_size": side, "preprocess.crop_size": side}
    config = make_config(**changes, **sizes, **{"model.input_nc": 1, "loss.lambda_identity": 0.0}).model
    networks = build(config, 0, CPU)
    alone = Networks(
        *(build_generator(config, direction) for direction in ("G_AB", "G_BA")),
        *(build_discriminator(config, domain) for domain in ("A", "B")),
    )
    for (name, built), (_, plain) in zip(networks.items(), alone.items(), strict=True):
        assert str(built) == str(plain), name
        assert [(key, value.shape) for key, value in built.state_dict().items()] == [
            (key, value.shape) for key, value in plain.state_dict().items()
        ]
        first = next(module for module in built.modules() if isinstance(module, nn.Conv2d))
        assert first.in_channels == {"G_AB": 1, "G_BA": 3, "D_A": 1, "D_B": 3}[name]
    dropped = any(isinstance(module, nn.Dropout) for module in networks.G_AB.modules())
    assert dropped is model.get("dropout", False)


def test_evaluating_puts_every_network_back_as_it_was() -> None:
    training, resting, failing = nn.Dropout(), nn.Dropout().eval(), nn.BatchNorm2d(1)
    with evaluating(training, resting):
        assert (training.training, resting.training, torch.is_grad_enabled()) == (False, False, False)
    assert (training.training, resting.training, torch.is_grad_enabled()) == (True, False, True)
    with pytest.raises(ValueError, match="4D"), evaluating(failing):
        failing(torch.zeros(2))
    assert failing.training
    assert torch.is_grad_enabled()


@given(st.integers(1, 3), st.integers(4, 9), st.integers(4, 9), st.integers(0, 99))
def test_padding_by_slices_is_pytorchs_reflection_and_so_is_its_gradient(
    width: int, height: int, columns: int, seed: int
) -> None:
    """The product takes slices on CUDA, where PyTorch's own backward pass is not deterministic."""
    x = torch.randn(2, 3, height, columns, generator=torch.Generator().manual_seed(seed))
    results = []
    for pad in (
        lambda x: _reflect_by_slices(_reflect_by_slices(x, width, 2), width, 3),
        lambda x: functional.pad(x, (width,) * 4, mode="reflect"),
        lambda x: reflect_pad(x, width),
    ):
        leaf = x.clone().requires_grad_()
        padded = pad(leaf)
        weights = torch.arange(padded.numel(), dtype=torch.float32).reshape(padded.shape).remainder(17)
        (padded * weights).sum().backward()
        results.append((padded.detach(), leaf.grad))
    for padded, gradient in results[1:]:
        assert torch.equal(padded, results[0][0])
        torch.testing.assert_close(gradient, results[0][1])


@pytest.mark.parametrize(("n_layers", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_each_score_sees_a_patch_of_the_published_size(n_layers: int, patch: int) -> None:
    """By the gradient of one score, without the norms, through which every score sees a little of everything."""
    layers = [layer for layer in PatchDiscriminator(3, 2, n_layers).layers if not isinstance(layer, nn.InstanceNorm2d)]
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.constant_(parameter, 0.5)
    x = torch.zeros(1, 3, 128, 128, requires_grad=True)
    scores = nn.Sequential(*layers)(x)
    middle = scores.shape[2] // 2
    (gradient,) = torch.autograd.grad(scores[0, 0, middle, middle], x)
    rows, columns = gradient[0, 0].nonzero(as_tuple=True)
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (patch, patch)
    assert len(rows) == patch**2


@pytest.mark.parametrize("norm", ["instance", "instance_affine", "batch"])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_gradients_do_not_depend_on_the_memory_format(norm: str, batch_size: int) -> None:
    """PyTorch's own InstanceNorm2d fails this for one picture (2.15, CPU): its gradients are wrong by their own size."""
    rng = torch.Generator().manual_seed(0)
    x, gradient = (torch.randn(batch_size, 4, 8, 8, dtype=torch.float64, generator=rng) for _ in range(2))
    layer = norm_layer(norm, 4).double()
    results = []
    for of_x in (torch.contiguous_format, torch.channels_last):
        for of_gradient in (torch.contiguous_format, torch.channels_last):
            leaf = x.clone(memory_format=of_x).requires_grad_()
            layer(leaf).backward(gradient.contiguous(memory_format=of_gradient))
            results.append(leaf.grad)
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("norm", ["instance", "instance_affine", "batch", "none"])
def test_gradients_for_one_picture_are_those_of_finite_differences(norm: str) -> None:
    network = ResnetGenerator(1, 1, 2, 2, norm).double().to(memory_format=torch.channels_last)
    x = torch.rand(1, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    target = torch.zeros_like(x)
    weight = network.down[0].weight

    def loss() -> Tensor:
        return functional.mse_loss(network(network(x)), target)

    (gradient,) = torch.autograd.grad(loss(), weight)
    place, small = (1, 0, 1, 1), 1e-6
    with torch.no_grad():
        weight[place] += small
        above = loss()
        weight[place] -= 2 * small
        below = loss()
    assert gradient[place].item() == pytest.approx(((above - below) / (2 * small)).item(), rel=1e-4)


@pytest.mark.parametrize("dropout", [False, True])
def test_checkpointed_activations_take_less_memory_and_change_no_bit(dropout: bool) -> None:
    kept: dict[bool, int] = {}
    gradients = {}
    for checkpointed in (False, True):
        torch.manual_seed(0)
        network = ResnetGenerator(3, 3, 4, 9, dropout=dropout)
        network.checkpointed = checkpointed
        x = torch.randn(2, 3, 32, 32)
        seen: dict[int, int] = {}

        def keep(tensor: Tensor, seen: dict[int, int] = seen) -> Tensor:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            y = network(x)
        weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
        kept[checkpointed] = sum(size for place, size in seen.items() if place not in weights)
        y.square().sum().backward()
        gradients[checkpointed] = [y.detach(), *(parameter.grad for parameter in network.parameters())]
    assert kept[True] < kept[False] / 4
    for one, other in zip(gradients[False], gradients[True], strict=True):
        assert torch.equal(one, other)
