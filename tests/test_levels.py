"""Levels of files to values of networks, and back."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclegan.levels import from_pixels, to_pixels, to_tensor, to_uint8


def test_all_levels_survive_the_way_to_a_tensor_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(2, 8, 16, 1).repeat(1, 1, 1, 3)
    levels[..., 1] = 255 - levels[..., 1]
    tensor = to_tensor(levels)
    assert tensor.shape == (2, 3, 8, 16)
    assert tensor.dtype == torch.float32
    assert (tensor.min(), tensor.max()) == (-1, 1)
    torch.testing.assert_close(tensor[:, 0].double(), levels[..., 0].double() / 255 * 2 - 1, atol=1e-6, rtol=0)
    assert torch.equal(to_uint8(tensor), levels)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.floats(-3, 3, width=32))
def test_levels_are_rounded_not_truncated(value: float) -> None:
    level = int(to_uint8(torch.full((1, 1, 1, 1), value)))
    exact = min(max((value + 1) / 2 * 255, 0), 255)
    assert abs(level - exact) <= 0.5 + 1e-4


def test_rounding_in_half_precision_happens_in_single() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    assert torch.equal(to_uint8(to_tensor(levels).half()), levels)


def test_arrays_become_tensors_and_back_without_gradients() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16, 1)
    tensor = from_pixels(pixels)
    assert torch.equal(tensor, to_tensor(torch.from_numpy(pixels)))
    np.testing.assert_array_equal(to_pixels(tensor.requires_grad_()), pixels)
