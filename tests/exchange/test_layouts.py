"""Foreign layouts: modules built here under the other projects' key names are the oracle of what their files mean."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from cyclegan.errors import UserError
from cyclegan.exchange import layouts
from cyclegan.exchange.layouts import STATISTICS, AnySpec
from cyclegan.models.specs import DiscriminatorSpec, GeneratorSpec

NORMS = ("instance", "instance_affine", "batch", "none")
BLOCKS = {"resnet_6blocks": 6, "resnet_9blocks": 9}
LEVELS = {"unet_128": 7, "unet_256": 8}

# --- the networks as other projects number their layers -----------------------------------------------------------------


def norm_of(norm: str, channels: int) -> nn.Module:
    return {
        "instance": lambda: nn.InstanceNorm2d(channels),
        "instance_affine": lambda: nn.InstanceNorm2d(channels, affine=True),
        "batch": lambda: nn.BatchNorm2d(channels),
        "none": nn.Identity,
    }[norm]()


class Flat(nn.Module):
    """A sequence of layers under one name."""

    def __init__(self, name: str, layers: list[nn.Module]) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule(self.name)(x)


class Residual(Flat):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def home_resnet(
    channels_in: int, channels_out: int, ngf: int, blocks: int, norm: str, dropout: bool = False, word: str = "conv_block"
) -> nn.Module:
    bias = norm.startswith("instance")

    def unit(conv: nn.Module, channels: int) -> list[nn.Module]:
        return [conv, norm_of(norm, channels), nn.ReLU()]

    def half(relu: bool) -> list[nn.Module]:
        layers = [nn.ReflectionPad2d(1), nn.Conv2d(4 * ngf, 4 * ngf, 3, bias=bias), norm_of(norm, 4 * ngf)]
        return [*layers, nn.ReLU(), *([nn.Dropout(0.5)] if dropout else [])] if relu else layers

    layers = [nn.ReflectionPad2d(3), *unit(nn.Conv2d(channels_in, ngf, 7, bias=bias), ngf)]
    for width in (ngf, 2 * ngf):
        layers += unit(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=bias), 2 * width)
    layers += [Residual(word, half(relu=True) + half(relu=False)) for _ in range(blocks)]
    for width in (2 * ngf, ngf):
        layers += unit(nn.ConvTranspose2d(2 * width, width, 3, 2, padding=1, output_padding=1, bias=bias), width)
    return Flat("model", [*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, channels_out, 7), nn.Tanh()])


class Level(Flat):
    """A level of a U-Net hands its input on beside its output; its first activation works in place, as in the reference."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, super().forward(x)], 1)


class Outermost(nn.Module):
    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.model = Flat("model", layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def home_unet(channels_in: int, channels_out: int, ngf: int, levels: int, norm: str, dropout: bool = False) -> nn.Module:
    bias = norm.startswith("instance")
    widths = [ngf, 2 * ngf, 4 * ngf, *[8 * ngf] * (levels - 3)]

    def level(depth: int) -> nn.Module:
        outer, inner = widths[depth - 1], widths[depth]
        down = [nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(outer, inner, 4, 2, 1, bias=bias)]
        if depth == levels - 1:
            up = nn.ConvTranspose2d(inner, outer, 4, 2, 1, bias=bias)
            return Level("model", [*down, nn.ReLU(inplace=True), up, norm_of(norm, outer)])
        up = nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1, bias=bias)
        tail = [nn.Dropout(0.5)] if dropout and depth > 3 else []
        rise = [nn.ReLU(inplace=True), up, norm_of(norm, outer), *tail]
        return Level("model", [*down, norm_of(norm, inner), level(depth + 1), *rise])

    up = nn.ConvTranspose2d(2 * ngf, channels_out, 4, 2, 1)
    down = nn.Conv2d(channels_in, ngf, 4, 2, 1, bias=bias)
    return Outermost([down, level(1), nn.ReLU(inplace=True), up, nn.Tanh()])


def home_patch(channels_in: int, ndf: int, n_layers: int, norm: str) -> nn.Module:
    widths = [ndf * factor for factor in (1, 2, 4, 8, 8, 8, 8)]
    layers: list[nn.Module] = [nn.Conv2d(channels_in, ndf, 4, 2, 1), nn.LeakyReLU(0.2)]
    for layer in range(1, n_layers + 1):
        stride = 2 if layer < n_layers else 1
        conv = nn.Conv2d(widths[layer - 1], widths[layer], 4, stride, 1, bias=norm.startswith("instance"))
        layers += [conv, norm_of(norm, widths[layer]), nn.LeakyReLU(0.2)]
    return Flat("model", [*layers, nn.Conv2d(widths[n_layers], 1, 4, 1, 1)])


def home_pixel(channels_in: int, ndf: int, norm: str) -> nn.Module:
    bias = norm.startswith("instance")
    middle = [nn.Conv2d(ndf, 2 * ndf, 1, bias=bias), norm_of(norm, 2 * ndf), nn.LeakyReLU(0.2)]
    layers = [nn.Conv2d(channels_in, ndf, 1), nn.LeakyReLU(0.2), *middle, nn.Conv2d(2 * ndf, 1, 1, bias=bias)]
    return Flat("net", layers)


def home(spec: AnySpec, word: str = "conv_block") -> nn.Module:
    """The network that a spec describes, in evaluation mode, with weights in which no two parts are alike."""
    if isinstance(spec, DiscriminatorSpec):
        if spec.netD == "pixel":
            network = home_pixel(spec.channels_in, spec.ndf, spec.norm)
        else:
            network = home_patch(spec.channels_in, spec.ndf, spec.n_layers, spec.norm)
    elif spec.netG in LEVELS:
        arguments = (spec.channels_in, spec.channels_out, spec.ngf, LEVELS[spec.netG], spec.norm, spec.dropout)
        network = home_unet(*arguments)
    else:
        arguments = (spec.channels_in, spec.channels_out, spec.ngf, BLOCKS[spec.netG], spec.norm, spec.dropout)
        network = home_resnet(*arguments, word)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                tensor.fill_(7)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.ndim == 1:
                tensor.normal_(1.0 if name.endswith("weight") else 0.0, 0.3, generator=generator)
            else:
                tensor.normal_(0.0, 1.2 * (tensor[0].numel()) ** -0.5, generator=generator)
    return network.eval()


def generator_spec(net: str, norm: str = "instance", **changes: Any) -> GeneratorSpec:
    return replace(GeneratorSpec("G_AB", net, 4, norm, False, 3, 3, 0, "", "raw"), **changes)


def discriminator_spec(n_layers: int, norm: str = "instance", **changes: Any) -> DiscriminatorSpec:
    net = "basic" if n_layers == 3 else "n_layers"
    return replace(DiscriminatorSpec("A", net, 4, n_layers, norm, 3, ""), **changes)


def pixel_spec(norm: str = "instance", **changes: Any) -> DiscriminatorSpec:
    return discriminator_spec(3, norm, netD="pixel", **changes)


VARIANTS: list[AnySpec] = [
    *(generator_spec(net, norm, dropout=dropout) for net in BLOCKS for norm in NORMS for dropout in (False, True)),
    *(generator_spec("resnet_6blocks", ngf=5, channels_in=i, channels_out=o) for i, o in ((1, 3), (3, 1), (1, 1))),
    *(generator_spec(net, norm, ngf=2) for net in LEVELS for norm in NORMS),
    *(generator_spec("unet_128", ngf=3, channels_in=i, channels_out=o) for i, o in ((1, 3), (3, 1), (1, 1))),
    *(discriminator_spec(n_layers, norm) for n_layers in (1, 2, 3, 4) for norm in NORMS),
    *(discriminator_spec(n_layers, channels_in=1, ndf=2) for n_layers in (3, 5, 6)),
    *(pixel_spec(norm) for norm in NORMS),
    pixel_spec(channels_in=1, ndf=3),
]


def name_of(spec: AnySpec) -> str:
    return layouts.describe(spec).replace(" ", "_").replace(",", "")


def pictures(spec: AnySpec) -> Tensor:
    if isinstance(spec, GeneratorSpec):
        height, width = (2 ** LEVELS[spec.netG],) * 2 if spec.netG in LEVELS else (24, 16)
    else:
        height, width = (256, 192) if spec.n_layers > 4 else (64, 48)
    return torch.rand(2, spec.channels_in, height, width, generator=torch.Generator().manual_seed(2)) * 2 - 1


@torch.no_grad()
def difference(first: nn.Module, second: nn.Module, x: Tensor) -> float:
    expected = first(x.clone())
    assert float(expected.std()) > 0.01  # else nothing would be compared
    return float((second(x.clone()) - expected).abs().max())


@pytest.mark.parametrize("spec", VARIANTS, ids=name_of)
def test_a_network_is_recognised_computes_the_same_and_goes_back_unchanged(spec: AnySpec) -> None:
    there = home(spec)
    network = layouts.read(there.state_dict(), "file.pth")
    assert network.spec == spec
    assert network.layout == "reference or walkthrough layout"
    here = network.spec.build()
    here.load_state_dict(network.tensors)
    assert difference(there, here.eval(), pictures(spec)) <= 1e-6
    equal(layouts.write(network.spec, network.tensors), there.state_dict())


def equal(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert actual.keys() == expected.keys()
    for key, tensor in expected.items():
        assert actual[key].dtype == tensor.dtype
        assert torch.equal(actual[key], tensor), key


@pytest.mark.parametrize("norm", ["instance", "instance_affine", "batch"])
@pytest.mark.parametrize("dropout", [False, True])
def test_vintagify_says_block(norm: str, dropout: bool) -> None:
    spec = generator_spec("resnet_9blocks", norm, dropout=dropout)
    there = home(spec, word="block")
    assert any(".block." in key for key in there.state_dict())
    network = layouts.read(there.state_dict(), "file.pth")
    assert (network.spec, network.layout) == (spec, "vintagify layout")
    equal(
        layouts.write(spec, network.tensors),
        {key.replace(".block.", ".conv_block."): tensor for key, tensor in there.state_dict().items()},
    )


@pytest.mark.parametrize("net", [*BLOCKS, *LEVELS])
def test_dropout_of_a_unet_is_what_one_says_and_that_of_a_resnet_what_its_keys_say(net: str) -> None:
    state = home(generator_spec(net, ngf=2)).state_dict()
    spec = layouts.read(state, "file.pth", unet_dropout=True).spec
    assert isinstance(spec, GeneratorSpec)
    assert spec.dropout == (net in LEVELS)


def test_a_unet_with_dropout_computes_the_same() -> None:
    spec = generator_spec("unet_256", ngf=2, dropout=True)
    there = home(spec)
    network = layouts.read(there.state_dict(), "file.pth", unet_dropout=True)
    here = network.spec.build()
    here.load_state_dict(network.tensors)
    assert difference(there, here.eval(), pictures(spec)) <= 1e-6
    drops = [[isinstance(layer, nn.Dropout) for layer in network.modules()].count(True) for network in (there, here)]
    assert drops == [3, 3]


# --- what old versions of PyTorch left ----------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["instance", "instance_affine"])
@pytest.mark.parametrize("kind", ["generator", "discriminator", "unet"])
def test_statistics_under_an_instance_norm_are_dropped(norm: str, kind: str) -> None:
    spec = {
        "generator": generator_spec("resnet_6blocks", norm, dropout=True),
        "discriminator": discriminator_spec(3, norm),
        "unet": generator_spec("unet_128", norm),
    }[kind]
    there = home(spec)
    clean = there.state_dict()
    places = [name for name, module in there.named_modules() if isinstance(module, nn.InstanceNorm2d)]
    old = clean | {f"{place}.{leaf}": torch.ones(4) for place in places for leaf in STATISTICS}
    assert len(old) == len(clean) + 3 * len(places) > len(clean)
    network = layouts.read(old, "file.pth")
    assert network.spec == spec
    equal(layouts.write(network.spec, network.tensors), clean)


def test_a_batch_norm_that_does_not_count_is_read() -> None:
    state = home(generator_spec("resnet_6blocks", "batch")).state_dict()
    old = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
    network = layouts.read(old, "file.pth")
    back = layouts.write(network.spec, network.tensors)
    equal({key: back[key] for key in old}, old)
    counters = [tensor for key, tensor in back.items() if key not in old]
    assert len(counters) == 17
    assert all(tensor.dtype == torch.int64 and int(tensor) == 0 for tensor in counters)


# --- keys, shapes and sizes, written out --------------------------------------------------------------------------------

RESNET_9 = {
    "model.1": (64, 3, 7, 7),
    "model.4": (128, 64, 3, 3),
    "model.7": (256, 128, 3, 3),
    **{f"model.{block}.conv_block.{index}": (256, 256, 3, 3) for block in range(10, 19) for index in (1, 5)},
    "model.19": (256, 128, 3, 3),
    "model.22": (128, 64, 3, 3),
    "model.26": (3, 64, 7, 7),
}
RESNET_6 = {
    "model.1": (64, 3, 7, 7),
    "model.4": (128, 64, 3, 3),
    "model.7": (256, 128, 3, 3),
    **{f"model.{block}.conv_block.{index}": (256, 256, 3, 3) for block in range(10, 16) for index in (1, 5)},
    "model.16": (256, 128, 3, 3),
    "model.19": (128, 64, 3, 3),
    "model.23": (3, 64, 7, 7),
}
RESNET_9_NORMS = {
    "model.2": 64,
    "model.5": 128,
    "model.8": 256,
    **{f"model.{block}.conv_block.{index}": 256 for block in range(10, 19) for index in (2, 6)},
    "model.20": 128,
    "model.23": 64,
}
L1 = "model.model.1.model"
L2, L3, L4, L5, L6, L7 = (L1 + depth * ".3.model" for depth in range(1, 7))
UNET_DOWN = {
    "model.model.0": (64, 3, 4, 4),
    f"{L1}.1": (128, 64, 4, 4),
    f"{L2}.1": (256, 128, 4, 4),
    f"{L3}.1": (512, 256, 4, 4),
    f"{L4}.1": (512, 512, 4, 4),
    f"{L5}.1": (512, 512, 4, 4),
    f"{L6}.1": (512, 512, 4, 4),
}
UNET_UP = {
    "model.model.3": (128, 3, 4, 4),
    f"{L1}.5": (256, 64, 4, 4),
    f"{L2}.5": (512, 128, 4, 4),
    f"{L3}.5": (1024, 256, 4, 4),
    f"{L4}.5": (1024, 512, 4, 4),
    f"{L5}.5": (1024, 512, 4, 4),
}
UNET_128 = UNET_DOWN | UNET_UP | {f"{L6}.3": (512, 512, 4, 4)}
UNET_256 = UNET_DOWN | UNET_UP | {f"{L6}.5": (1024, 512, 4, 4), f"{L7}.1": (512, 512, 4, 4), f"{L7}.3": (512, 512, 4, 4)}
UNET_128_NORMS = {
    f"{L1}.2": 128,
    f"{L2}.2": 256,
    f"{L3}.2": 512,
    f"{L4}.2": 512,
    f"{L5}.2": 512,
    f"{L1}.6": 64,
    f"{L2}.6": 128,
    f"{L3}.6": 256,
    f"{L4}.6": 512,
    f"{L5}.6": 512,
    f"{L6}.4": 512,
}
PATCH = {
    "model.0": (64, 3, 4, 4),
    "model.2": (128, 64, 4, 4),
    "model.5": (256, 128, 4, 4),
    "model.8": (512, 256, 4, 4),
    "model.11": (1, 512, 4, 4),
}
PIXEL = {"net.0": (64, 3, 1, 1), "net.2": (128, 64, 1, 1), "net.5": (1, 128, 1, 1)}

Table = dict[str, tuple[int, ...]]


def biased(weights: Table, transposed: Table, without: tuple[str, ...] = ()) -> Table:
    """Every convolution's weight, and its bias except for those `without`."""
    biases = {f"{place}.bias": (shape[1 if place in transposed else 0],) for place, shape in weights.items()}
    return {f"{place}.weight": shape for place, shape in weights.items()} | {
        key: shape for key, shape in biases.items() if not key.startswith(without)
    }


def batch_norms(channels: dict[str, int]) -> Table:
    leaves = ("weight", "bias", "running_mean", "running_var")
    tensors = {f"{place}.{leaf}": (width,) for place, width in channels.items() for leaf in leaves}
    return tensors | {f"{place}.num_batches_tracked": () for place in channels}


RESNET_UP = {place: RESNET_9[place] for place in ("model.19", "model.22")}
RESNET_6_UP = {place: RESNET_6[place] for place in ("model.16", "model.19")}
UNET_128_UP, UNET_256_UP = UNET_UP | {f"{L6}.3": ()}, UNET_UP | {f"{L6}.5": (), f"{L7}.3": ()}
TABLES = {
    "resnet_9blocks": (generator_spec("resnet_9blocks", ngf=64), biased(RESNET_9, RESNET_UP), 48, 11_378_179),
    "resnet_6blocks": (generator_spec("resnet_6blocks", ngf=64), biased(RESNET_6, RESNET_6_UP), 36, 7_837_699),
    "resnet_9blocks batch": (
        generator_spec("resnet_9blocks", "batch", ngf=64),
        biased(RESNET_9, RESNET_UP, tuple(f"{place}." for place in RESNET_9 if place != "model.26"))
        | batch_norms(RESNET_9_NORMS),
        24 + 1 + 5 * 23,
        # biases give way to scales and shifts: twice as many
        11_378_179 + (64 + 128 + 256 + 18 * 256 + 128 + 64),
    ),
    "unet_128": (
        generator_spec("unet_128", ngf=64),
        biased(UNET_128, UNET_128_UP),
        4 * 7,
        16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 3 * 512 * 512)  # down
        + (64 + 128 + 256 + 4 * 512)
        + 16 * (512 * 512 + 2 * 1024 * 512 + 1024 * 256 + 512 * 128 + 256 * 64 + 128 * 3)  # up
        + (3 * 512 + 256 + 128 + 64 + 3),
    ),
    "unet_256": (
        generator_spec("unet_256", ngf=64),
        biased(UNET_256, UNET_256_UP),
        4 * 8,
        41_825_667 + 16 * (512 * 512 + 1024 * 512) + 2 * 512,  # one more level of 512 channels
    ),
    "unet_128 batch": (
        generator_spec("unet_128", "batch", ngf=64),
        biased(UNET_128, UNET_128_UP, tuple(f"{place}." for place in UNET_128 if place != "model.model.3"))
        | batch_norms(UNET_128_NORMS),
        2 * 7 + 1 + 5 * 11,
        41_825_667
        - (64 + 128 + 256 + 4 * 512)
        - (3 * 512 + 256 + 128 + 64)  # all biases but that of the last layer
        + 2 * (128 + 256 + 3 * 512)
        + 2 * (3 * 512 + 256 + 128 + 64),  # scales and shifts on the way down and up
    ),
    "PatchGAN": (discriminator_spec(3, ndf=64), biased(PATCH, {}), 10, 2_764_737),
    "pixel": (pixel_spec(ndf=64), biased(PIXEL, {}), 6, (3 * 64 + 64) + (64 * 128 + 128) + (128 + 1)),
}


@pytest.mark.parametrize("name", TABLES)
def test_keys_and_shapes_are_those_of_the_table(name: str) -> None:
    spec, table, tensors, parameters = TABLES[name]
    ours = spec.build().state_dict()
    theirs = {key: tuple(tensor.shape) for key, tensor in layouts.write(spec, ours).items()}
    assert theirs == table
    assert len(theirs) == tensors
    assert sum(parameter.numel() for parameter in spec.build().parameters()) == parameters
    assert {key: tuple(tensor.shape) for key, tensor in home(spec).state_dict().items()} == table
    assert layouts.read({key: torch.zeros(shape) for key, shape in table.items()}, "file.pth").spec == spec


# --- what cannot be read ------------------------------------------------------------------------------------------------


def message(tensors: Mapping[str, Tensor]) -> str:
    with pytest.raises(UserError) as caught:
        layouts.read(tensors, "file.pth")
    return str(caught.value)


RESNET = generator_spec("resnet_9blocks")


def test_what_does_not_fit_is_listed() -> None:
    state = home(RESNET).state_dict()
    without = {key: tensor for key, tensor in state.items() if key != "model.13.conv_block.5.bias"}
    closest = "comes closest to resnet_9blocks, ngf 4, instance, 3 -> 3 channels, but "
    assert f"{closest}model.13.conv_block.5.bias is missing; known are" in message(without)
    assert "but model.1.bias is missing; " in message({key: state[key] for key in state if key != "model.1.bias"})
    wrong = state | {"model.7.weight": torch.zeros(16, 8, 5, 5)}
    assert ", but model.7.weight is 16 x 8 x 5 x 5, not 16 x 8 x 3 x 3; known are resnet_6blocks," in message(wrong)
    assert "but extra.weight is not part of it; " in message(state | {"extra.weight": torch.zeros(1)})
    assert "but model.0.running_mean is not" in message(state | {"model.0.running_mean": torch.zeros(1)})
    assert "but model.26.bias is missing; " in message({key: state[key] for key in state if key != "model.26.bias"})


def test_statistics_belong_under_an_instance_norm_only() -> None:
    state = home(generator_spec("resnet_6blocks", "none")).state_dict()
    assert "model.2.running_mean is not part of it" in message(state | {"model.2.running_mean": torch.zeros(4)})


def test_another_number_of_blocks_is_named_and_the_list_is_short() -> None:
    said = message(home_resnet(3, 3, 4, 7, "instance").state_dict())
    assert "closest to resnet_6blocks, ngf 4, instance, 3 -> 3 channels, but it has 7 residual blocks, model." in said
    assert said.count(" is missing") + said.count(" is not part of it") + said.count(", not ") + 1 == layouts.SHOWN
    assert " more; known are resnet_6blocks, resnet_9blocks, unet_128, unet_256 and discriminators of 1 to 6" in said


@pytest.mark.parametrize(
    "network", [home_unet(3, 3, 2, 6, "instance"), home_unet(3, 3, 2, 9, "batch"), home_resnet(3, 3, 4, 0, "none")]
)
def test_other_depths_cannot_be_read(network: nn.Module) -> None:
    assert "comes closest to" in message(network.state_dict())


def test_other_networks_are_described_by_their_first_keys() -> None:
    said = message(torchvision.models.resnet18(weights=None).state_dict())
    assert "file.pth holds no network that can be recognised: conv1.weight 64 x 3 x 7 x 7, bn1.weight 64," in said
    assert ", and 112 more; known are" in said
    assert "recognised: model.1.weight 4; " in message({"model.1.weight": torch.zeros(4)})
    assert "recognised: model.1.weight 0 x 3 x 7 x 7; " in message({"model.1.weight": torch.zeros(0, 3, 7, 7)})


@pytest.mark.parametrize(
    "spec",
    [discriminator_spec(3, channels_in=6), generator_spec("resnet_6blocks", channels_out=4), pixel_spec(channels_in=2)],
)
def test_pictures_have_one_or_three_channels(spec: AnySpec) -> None:
    assert "pictures here have 1 or 3 channels" in message(home(spec).state_dict())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    state = home(RESNET).state_dict()
    state["model.4.weight"][1, 2, 0, 1] = value
    assert "values in model.4.weight that are not finite" in message(state)


def test_what_overflows_in_float32_is_refused() -> None:
    state = {key: tensor.double() for key, tensor in home(RESNET).state_dict().items()}
    state["model.4.bias"][0] = 1e300
    assert "values in model.4.bias that are not finite" in message(state)


def test_the_reference_has_no_same_size() -> None:
    spec = replace(discriminator_spec(3), netD="same_size", domain="B")
    with pytest.raises(UserError, match=r"D_B has model\.netD same_size, which the reference layout does not know; export"):
        layouts.write(spec, spec.build().state_dict())
