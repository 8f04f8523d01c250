"""The shared layers in every memory format and precision against the formulas in float64, and biases without influence."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from cyclegan.models.discriminators import PatchDiscriminator, PixelDiscriminator
from cyclegan.models.generators import ResnetGenerator, UnetGenerator
from cyclegan.models.layers import InstanceNorm, freeze_cancelled_biases, reflect_pad

PLAIN, LAST = torch.contiguous_format, torch.channels_last
KINDS = [*((dtype, layout) for dtype in (torch.float64, torch.float32) for layout in (PLAIN, LAST)), (torch.bfloat16, LAST)]
EXACT = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2**-8}  # relative error; half a last place of bfloat16


def normed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Ulyanov et al. 2016, equation 4, with a scale and a shift for each channel."""
    centred = x - x.mean((2, 3), keepdim=True)
    deviation = (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
    return centred / deviation * weight[:, None, None] + bias[:, None, None]


def relative_error(result: Tensor, expected: Tensor) -> float:
    return ((result.double() - expected).norm() / expected.norm()).item()


@given(
    n=st.integers(1, 4),
    channels=st.integers(1, 5),
    sides=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    offset=st.sampled_from([0.0, 20.0]),
    affine=st.booleans(),
    kind=st.sampled_from(KINDS),
    of_gradient=st.sampled_from([PLAIN, LAST]),
    seed=st.integers(0, 2**32),
)
def test_instance_norm_and_its_gradients_are_those_of_the_formula(
    n: int,
    channels: int,
    sides: tuple[int, int],
    offset: float,
    affine: bool,
    kind: tuple[torch.dtype, torch.memory_format],
    of_gradient: torch.memory_format,
    seed: int,
) -> None:
    """For one picture and for many; in bfloat16, too, the statistics are good to the last place of the result."""
    dtype, layout = kind
    channels += dtype == torch.bfloat16  # one channel is plain memory in any layout: PyTorch's own way
    rng = torch.Generator().manual_seed(seed)
    x, gradient = (torch.randn(n, channels, *sides, generator=rng) for _ in range(2))
    x, gradient = (x + offset).to(dtype), gradient.to(dtype)
    weight, bias = (torch.randn(channels, generator=rng) if affine else torch.full((channels,), one) for one in (1.0, 0.0))
    layer = InstanceNorm(channels, affine=affine).to(torch.promote_types(dtype, torch.float32))
    if affine:
        layer.load_state_dict({"weight": weight, "bias": bias})

    leaf = x.clone(memory_format=layout).requires_grad_()
    result = layer(leaf)
    result.backward(gradient.contiguous(memory_format=of_gradient))
    exact = [tensor.double().requires_grad_() for tensor in (x, weight, bias)]
    expected = normed(*exact)
    expected.backward(gradient.double())

    assert result.dtype == dtype
    assert result.is_contiguous(memory_format=layout)
    tolerance = EXACT[dtype] * (1 + offset if dtype != torch.bfloat16 else 1)  # what a mean far from zero costs float32
    assert relative_error(result, expected) < tolerance
    ours = [leaf.grad, layer.weight.grad, layer.bias.grad] if affine else [leaf.grad]
    for own, theirs in zip(ours, exact, strict=False):
        assert relative_error(own, theirs.grad) < tolerance


@pytest.mark.parametrize("layout", [PLAIN, LAST])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_reflection_keeps_the_precision_of_its_input_under_autocast(
    dtype: torch.dtype, layout: torch.memory_format
) -> None:
    x = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0)).to(dtype).contiguous(memory_format=layout)
    leaf = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        padded = reflect_pad(leaf, 2)
        product = functional.conv2d(x, torch.ones(1, 3, 1, 1))
    assert padded.dtype == dtype
    assert torch.equal(padded, functional.pad(x, (2, 2, 2, 2), mode="reflect"))
    assert product.dtype == torch.bfloat16  # autocast goes on
    padded.sum().backward()
    rows, columns = torch.tensor([1.0, 2, 3, 2, 1]), torch.tensor([1.0, 2, 2, 2, 2, 1])
    assert torch.equal(leaf.grad.float(), (rows[:, None] * columns).expand(2, 3, 5, 6))


NETWORKS = {
    "resnet": lambda norm: ResnetGenerator(3, 3, 2, 2, norm, dropout=True),
    "unet": lambda norm: UnetGenerator(3, 3, 2, 3, norm),
    "patch": lambda norm: PatchDiscriminator(3, 2, 2, norm),
    "pixel": lambda norm: PixelDiscriminator(3, 2, norm),
}


@pytest.mark.parametrize("norm", ["instance", "instance_affine", "batch", "none"])
@pytest.mark.parametrize("network", NETWORKS)
def test_exactly_the_biases_without_influence_are_frozen(network: str, norm: str) -> None:
    """Only a norm over each picture takes a channel's constant away; every other bias shows in the output."""
    subject = NETWORKS[network](norm).double().eval()
    names = [name for name, parameter in subject.named_parameters() if name.endswith("bias")]
    freeze_cancelled_biases(subject)
    frozen = {name for name, parameter in subject.named_parameters() if not parameter.requires_grad}
    assert frozen <= set(names)
    assert bool(frozen) == (norm in ("instance", "instance_affine"))
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = subject(x)
        for name in names:
            changed = deepcopy(subject)
            changed.get_parameter(name).add_(torch.linspace(0.5, 1.0, len(changed.get_parameter(name))))
            difference = (changed(x) - before).abs().max()
            assert (difference < 1e-9) == (name in frozen), name
