"""Crops, flips and ranges, on pictures whose pixels say where they lie."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from cyclegan.data.batches import Resident, ResidentSet, Streaming
from cyclegan.data.batches import load as load_batch
from cyclegan.data.plan import Decisions, Plan, View, unpack
from cyclegan.data.store import PixelSet

CPU = torch.device("cpu")
fraction = st.floats(0, 1, exclude_max=True)


def map_picture(height: int, width: int) -> np.ndarray:
    """Channel 0 is the row, channel 1 the column, channel 2 a constant."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, 255)], axis=2).astype(np.uint8)


def view_of(*columns: Any) -> View:
    """A view of index, top, left and flip."""
    return View(*(torch.from_numpy(np.array(values)) for values in columns))


def decided(view_A: View, view_B: View) -> Decisions:
    return Decisions(view_A, view_B, None, None, None, None)


def load(pictures: Any, size: int | None, *views: tuple[int, float, float, bool]) -> np.ndarray:
    """Levels 0..255 [N, C, H, W] of the views (index, top, left, flip)."""
    view = view_of(*zip(*views, strict=True))
    batch = load_batch(Streaming(pictures, pictures, size), decided(view, view))
    assert batch.real_A.dtype == torch.float32
    levels = (batch.real_A + 1) * 127.5
    np.testing.assert_allclose(levels, levels.round(), atol=1e-4)
    return levels.round().numpy()


@given(st.integers(4, 30), st.integers(4, 30), fraction, fraction, st.booleans())
def test_a_crop_is_a_whole_square_inside_the_picture_mirrored_left_to_right_only(
    height: int, width: int, top: float, left: float, flip: bool
) -> None:
    rows, columns, constant = load([map_picture(height, width)], 4, (0, top, left, flip))[0]
    if flip:
        rows, columns = rows[:, ::-1], columns[:, ::-1]
    np.testing.assert_array_equal(rows, (rows[0, 0] + np.arange(4))[:, None].repeat(4, 1))
    np.testing.assert_array_equal(columns, (columns[0, 0] + np.arange(4))[None].repeat(4, 0))
    np.testing.assert_array_equal(constant, 255)  # a crop beyond the edge would be smaller, or of another picture


def test_every_place_a_crop_can_take_is_as_likely() -> None:
    places = np.arange(70) / 70 + 1 / 140
    rows = load([map_picture(10, 10)], 4, *((0, place, place, False) for place in places))[:, 0, 0, 0]
    assert np.bincount(rows.astype(int)).tolist() == [10] * 7


def test_pictures_of_one_batch_may_differ_in_size_and_are_taken_by_index() -> None:
    pictures = [np.full((side, side + 1, 3), side, np.uint8) for side in (4, 9, 6)]
    levels = load(pictures, 4, (2, 0.5, 0.9, True), (0, 0.9, 0.1, False), (1, 0.2, 0.2, True))
    assert levels[:, :, 0, 0].tolist() == [[6] * 3, [4] * 3, [9] * 3]


@given(st.integers(1, 30), st.integers(1, 30), fraction, fraction, st.booleans())
def test_without_a_crop_size_pictures_are_taken_whole(height: int, width: int, top: float, left: float, flip: bool) -> None:
    picture = map_picture(height, width)
    levels = load([picture], None, (0, top, left, flip))
    wanted = picture[:, ::-1] if flip else picture
    np.testing.assert_array_equal(levels[0].transpose(1, 2, 0), wanted)


def test_whole_pictures_of_the_two_domains_may_differ_in_size_and_share_a_batch_within_each() -> None:
    wide = [map_picture(8, 12) // level for level in (1, 2, 3)]
    tall = [map_picture(16, 4), map_picture(16, 4) // 5]
    view_A = view_of([2, 0], [0.9, 0.1], [0.5, 0.9], [True, False])
    view_B = view_of([0, 1], [0.2, 0.9], [0.5, 0.0], [False, True])
    batch = load_batch(Streaming(wide, tall, None), decided(view_A, view_B))
    for real, pictures in ((batch.real_A, [wide[2][:, ::-1], wide[0]]), (batch.real_B, [tall[0], tall[1][:, ::-1]])):
        levels = (real + 1) * 127.5
        torch.testing.assert_close(levels, torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float())


def test_domains_may_differ_in_channels_and_levels_span_minus_one_to_one() -> None:
    grey, colour = np.array([0, 255], np.uint8), np.array([[0, 128, 255]], np.uint8)
    view = view_of([0, 0], [0.0, 0.0], [0.0, 0.0], [False, True])
    loader = Streaming([grey.reshape(1, 2, 1).repeat(2, 0)], [colour.repeat(4, 0).reshape(2, 2, 3)], 2)
    batch = load_batch(loader, decided(view, view))
    assert batch.real_A.shape == (2, 1, 2, 2)
    assert batch.real_A[:, 0, 0].tolist() == [[-1, 1], [1, -1]]
    assert batch.real_B.shape == (2, 3, 2, 2)
    torch.testing.assert_close(batch.real_B[0, :, 0, 0], torch.tensor([-1, 128 / 127.5 - 1, 1]))


def test_a_prepared_folder_gives_batches_of_both_domains(
    make_data: Callable[..., Any], make_config: Callable[..., Any]
) -> None:
    data = make_data(make_config(**{"train.batch_size": 3}))
    plan: Plan = data.plan
    decisions = plan.decisions(0)
    batch = load_batch(data.loader, decisions)
    for real, pictures, view in (
        (batch.real_A, data.loader.train_A, decisions.A),
        (batch.real_B, data.loader.train_B, decisions.B),
    ):
        assert real.shape == (3, 3, 32, 32)
        assert real.abs().max() <= 1
        means = [
            pictures[index].mean() / 127.5 - 1 for index in view.index.tolist()
        ]  # a crop of nearly all has nearly the mean
        torch.testing.assert_close(real.mean((1, 2, 3)), torch.tensor(means, dtype=torch.float32), atol=0.15, rtol=0)


SIZES = st.lists(st.tuples(st.integers(5, 12), st.integers(5, 12)), min_size=1, max_size=5)


def packed(sizes: list[tuple[int, int]], channels: int) -> PixelSet:
    pictures = [np.random.default_rng(h * w).integers(0, 256, (h, w, channels), np.uint8) for h, w in sizes]
    offsets = np.cumsum([0, *(picture.size for picture in pictures)])[:-1]
    names = [str(number) for number in range(len(sizes))]
    heights, widths = zip(*sizes, strict=True)
    manifest = pd.DataFrame({"file": names, "offset": offsets, "height": heights, "width": widths})
    return PixelSet(np.concatenate([picture.ravel() for picture in pictures]), manifest, channels)


@given(SIZES, SIZES, st.integers(1, 5), st.integers(0, 99))
def test_gathered_on_the_device_or_on_the_host_a_batch_is_the_same(
    sizes_A: list[tuple[int, int]], sizes_B: list[tuple[int, int]], size: int, seed: int
) -> None:
    train_A, train_B = packed(sizes_A, 3), packed(sizes_B, 1)
    streaming = Streaming(train_A, train_B, size)
    resident = Resident(ResidentSet.of(train_A, CPU), ResidentSet.of(train_B, CPU), size)
    for step in range(3):
        decisions = Plan(seed, len(sizes_A), len(sizes_B), 4, 2, flip=True).decisions(step)
        assert resident.fetch(decisions) == ()
        there, here = load_batch(resident, decisions), load_batch(streaming, decisions)
        assert torch.equal(there.real_A, here.real_A)
        assert torch.equal(there.real_B, here.real_B)


def test_the_device_gathers_without_anything_from_the_host() -> None:
    """On a pretended GPU: tensors of two devices would not mix, nor could a value be read."""
    with FakeTensorMode(allow_non_fake_inputs=False):
        there = torch.device("cuda")
        pixels = torch.empty(2000, dtype=torch.uint8, device=there)
        places = torch.empty(3, 4, dtype=torch.int64, device=there)
        resident = Resident(ResidentSet(pixels, places, 3), ResidentSet(pixels, places, 1), 8)
        batch = resident.batch(unpack(torch.empty(20, 5, dtype=torch.float64, device=there)), ())
        assert batch.real_A.shape == (5, 3, 8, 8)
        assert batch.real_B.shape == (5, 1, 8, 8)
        assert batch.real_A.device.type == "cuda"
