"""The architectures by their published numbers, against a network built layer by layer, and their first weights."""

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from cyclegan.config import Config
from cyclegan.models.discriminators import PatchDiscriminator
from cyclegan.models.generators import ResnetGenerator
from cyclegan.models.layers import _reflect_by_slices, reflect_pad
from cyclegan.models.networks import Networks, build, build_generator, channels

CPU = torch.device("cpu")


def size(network: nn.Module) -> tuple[int, int]:
    """Parameters and tensors."""
    tensors = list(network.state_dict().values())
    return sum(tensor.numel() for tensor in tensors), len(tensors)


def test_parameter_counts_are_the_published_ones() -> None:
    with torch.device("meta"):
        assert size(ResnetGenerator(3, 3, 64, 9)) == (11_378_179, 48)
        assert size(ResnetGenerator(3, 3, 64, 6)) == (7_837_699, 36)
        discriminator = PatchDiscriminator(3, 64, 3)
        assert size(discriminator) == (2_764_737, 10)
        assert discriminator(torch.empty(1, 3, 256, 256)).shape == (1, 1, 30, 30)


def reference_generator(ngf: int, blocks: int) -> nn.Sequential:
    """The reference PyTorch layout, flat, with PyTorch's own reflection padding."""

    def conv(c_in: int, c_out: int, kernel: int) -> list[nn.Module]:
        return [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(c_in, c_out, kernel)]

    class Residual(nn.Module):
        def __init__(self, c: int) -> None:
            super().__init__()
            self.body = nn.Sequential(*conv(c, c, 3), nn.InstanceNorm2d(c), nn.ReLU(), *conv(c, c, 3), nn.InstanceNorm2d(c))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.body(x)

    layers = [*conv(3, ngf, 7), nn.InstanceNorm2d(ngf), nn.ReLU()]
    for c in (ngf, 2 * ngf):
        layers += [nn.Conv2d(c, 2 * c, 3, 2, 1), nn.InstanceNorm2d(2 * c), nn.ReLU()]
    layers += [Residual(4 * ngf) for _ in range(blocks)]
    for c in (4 * ngf, 2 * ngf):
        layers += [
            nn.ConvTranspose2d(c, c // 2, 3, 2, 1, output_padding=1),
            nn.InstanceNorm2d(c // 2),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, *conv(ngf, 3, 7), nn.Tanh())


def reference_discriminator(ndf: int) -> nn.Sequential:
    """The 70 x 70 PatchGAN, written out."""
    return nn.Sequential(
        nn.Conv2d(3, ndf, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(ndf, 2 * ndf, 4, 2, 1),
        nn.InstanceNorm2d(2 * ndf),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * ndf, 4 * ndf, 4, 2, 1),
        nn.InstanceNorm2d(4 * ndf),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4 * ndf, 8 * ndf, 4, 1, 1),
        nn.InstanceNorm2d(8 * ndf),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8 * ndf, 1, 4, 1, 1),
    )


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (ResnetGenerator(3, 3, 4, 9), reference_generator(4, 9)),
        (ResnetGenerator(3, 3, 8, 6), reference_generator(8, 6)),
        (PatchDiscriminator(3, 8, 3), reference_discriminator(8)),
    ],
    ids=["9 blocks", "6 blocks", "PatchGAN"],
)
@torch.no_grad()
def test_computes_what_the_reference_layout_computes(ours: nn.Module, reference: nn.Module) -> None:
    """Same weights in the same order, same pictures: this pins paddings, strides, norms and activations."""
    for theirs, own in zip(reference.parameters(), ours.parameters(), strict=True):
        theirs.copy_(own)
    x = torch.randn(2, 3, 40, 56, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x), reference(x), atol=1e-5, rtol=1e-5)


def tiny(make_config: Callable[..., Config], seed: int = 0, **model: object) -> Networks:
    return build(make_config(**{f"model.{name}": value for name, value in model.items()}).model, seed, CPU)


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


@pytest.mark.parametrize("gain", [0.02, 0.5])
def test_first_weights_are_normal_and_first_biases_zero(make_config: Callable[..., Config], gain: float) -> None:
    for network in vars(tiny(make_config, ngf=16, ndf=16, init_gain=gain)).values():
        weights = {name: p.detach() for name, p in network.named_parameters() if name.endswith("weight")}
        for name, weight in weights.items():
            assert abs(weight.mean()) < 5 * gain / weight.numel() ** 0.5, name
            assert abs(weight.std() / gain - 1) < 5 / (2 * weight.numel()) ** 0.5, name
        everything = torch.cat([weight.flatten() for weight in weights.values()]) / gain
        shares = [(everything.abs() < sigmas).float().mean().item() for sigmas in (1, 2, 3)]
        assert shares == pytest.approx([0.6827, 0.9545, 0.9973], abs=0.01)
        assert all((p == 0).all() for name, p in network.named_parameters() if name.endswith("bias"))


def flat(networks: Networks) -> Iterator[Tensor]:
    for network in vars(networks).values():
        yield torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_first_weights_depend_on_the_seed_and_the_networks_name_alone(make_config: Callable[..., Config]) -> None:
    torch.manual_seed(1)
    first = list(flat(tiny(make_config)))
    torch.manual_seed(2)
    again, other = list(flat(tiny(make_config))), list(flat(tiny(make_config, seed=1)))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    G_AB, G_BA, D_A, D_B = first
    assert not torch.equal(G_AB, G_BA)
    assert not torch.equal(D_A, D_B)
    wider = list(flat(tiny(make_config, ndf=8)))
    assert torch.equal(wider[0], G_AB)  # changing one network leaves the others' first weights


@torch.no_grad()
def test_pictures_of_a_batch_do_not_influence_one_another(make_config: Callable[..., Config]) -> None:
    networks = tiny(make_config, init_gain=0.2)
    x = torch.rand(3, 3, 32, 32) * 2 - 1
    for network in vars(networks).values():
        apart = torch.cat([network(x[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(network(x), apart, atol=1e-5, rtol=1e-4)


def test_a_generator_is_rebuilt_from_its_config(make_config: Callable[..., Config]) -> None:
    model = make_config(**{"model.netG": "resnet_9blocks"}).model
    assert size(build_generator(model, "G_AB")) == size(build(model, 0, CPU).G_AB)
    assert size(build_generator(model, "G_AB"))[1] == 48


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
