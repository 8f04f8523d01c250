"""Sizes and pixels of every preprocess mode, against the reference implementation's rules, torchvision and Pillow."""

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.v2 import functional as transforms

from cyclegan.config import PreprocessConfig
from cyclegan.data import batches
from cyclegan.data.geometry import UnsuitableError, for_scoring, for_training, training_size
from cyclegan.data.plan import Plan
from cyclegan.images import Pixels

CROPPING = ["resize_and_crop", "crop", "scale_width_and_crop", "scale_shortside_and_crop"]
WHOLE = ["scale_width", "scale_shortside", "none"]
sides = st.integers(1, 90)
bicubic = transforms.InterpolationMode.BICUBIC


def settings_of(mode: Any, load_size: int = 40, crop_size: int = 32) -> PreprocessConfig:
    return PreprocessConfig(
        direction="AtoB",
        mode=mode,
        load_size=load_size,
        crop_size=crop_size,
        flip=True,
        min_side=1,
        background=[255, 255, 255],
        reference_set=True,
    )


def noise(height: int, width: int, channels: int = 3) -> Pixels:
    return np.random.default_rng(height).integers(0, 256, (height, width, channels), dtype=np.uint8)


def by_pillow(pixels: Pixels, width: int, height: int) -> Pixels:
    """As the reference implementation resizes."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)).reshape(height, width, -1)


def rounded(side: float) -> int:
    """As `__make_power_2` of the reference implementation with its base of 4."""
    return int(round(side / 4) * 4)


# --- training ---------------------------------------------------------------------------------------------------------


def test_the_modes_are_these() -> None:
    assert {*CROPPING, *WHOLE} == set(get_args(PreprocessConfig.model_fields["mode"].annotation))
    for mode in CROPPING:
        assert settings_of(mode).crops
    for mode in WHOLE:
        assert not settings_of(mode).crops


@given(sides, sides, st.integers(4, 60), st.data())
def test_resize_and_crop_makes_squares_of_load_size(width: int, height: int, load: int, data: st.DataObject) -> None:
    crop = data.draw(st.integers(4, load))
    assert training_size(width, height, settings_of("resize_and_crop", load, crop)) == (load, load)


@given(sides, sides, st.integers(4, 60), st.data())
def test_scale_width_and_crop_keeps_the_shape_where_the_reference_does_and_refuses_where_it_stretches(
    width: int, height: int, load: int, data: st.DataObject
) -> None:
    crop = data.draw(st.integers(4, load))
    preprocess = settings_of("scale_width_and_crop", load, crop)
    natural = int(load * height / width)
    if max(natural, crop) == natural:
        assert training_size(width, height, preprocess) == (load, natural)
    else:
        with pytest.raises(UnsuitableError):
            training_size(width, height, preprocess)


@given(sides, sides, st.integers(4, 60))
def test_scale_shortside_and_crop_makes_the_sizes_of_torchvisions_resize(width: int, height: int, load: int) -> None:
    size = training_size(width, height, settings_of("scale_shortside_and_crop", load, 4))
    assert size == transforms.resize(Image.new("L", (width, height)), [load]).size
    assert min(size) == load
    assert max(size) == int(load * max(width, height) / min(width, height))


@given(st.integers(2, 5000), st.integers(2, 5000), st.integers(4, 4000))
def test_no_division_is_off_by_one_at_the_sizes_of_photographs(width: int, height: int, load: int) -> None:
    assume(load * height // width >= 4)
    assert training_size(width, height, settings_of("scale_width_and_crop", load, 4)) == (load, int(load * height / width))


@given(sides, sides, st.integers(4, 60))
def test_crop_scales_nothing_and_refuses_what_is_smaller_than_the_crop(width: int, height: int, crop: int) -> None:
    preprocess = settings_of("crop", 4, crop)
    if min(width, height) >= crop:
        assert training_size(width, height, preprocess) == (width, height)
    else:
        with pytest.raises(UnsuitableError):
            training_size(width, height, preprocess)


@given(sides, sides, st.integers(1, 15))
def test_whole_pictures_are_scaled_alike_then_rounded_to_multiples_of_4(width: int, height: int, quarter: int) -> None:
    load = 4 * quarter
    short = transforms.resize(Image.new("L", (width, height)), [load]).size
    for mode, size in {
        "none": (width, height),
        "scale_width": (load, int(load * height / width)),
        "scale_shortside": short,
    }.items():
        wanted = tuple(map(rounded, size))
        preprocess = settings_of(mode, load, 4)
        if 0 in wanted:
            with pytest.raises(UnsuitableError, match=f"^{width} x {height} px are too narrow"):
                training_size(width, height, preprocess)
        else:
            assert training_size(width, height, preprocess) == wanted


def test_halves_are_rounded_to_even_as_python_does() -> None:
    preprocess = settings_of("none")
    found = [training_size(side, 32, preprocess)[0] for side in (5, 6, 7, 10, 14, 18, 22, 400, 402, 406)]
    assert found == [4, 8, 8, 8, 16, 16, 24, 400, 400, 408]


def test_whole_pictures_may_be_smaller_than_crop_size() -> None:
    assert training_size(80, 40, settings_of("scale_width", 40, 32)) == (40, 20)
    assert training_size(10, 11, settings_of("none", 40, 32)) == (8, 12)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(50, 70), (70, 50), (64, 64), (40, 40)])
@pytest.mark.parametrize("mode", [*CROPPING, *WHOLE])
def test_pixels_are_those_of_pillows_bicubic(mode: str, size: tuple[int, int], channels: int) -> None:
    pixels = noise(*size, channels)
    wanted = {
        "resize_and_crop": (40, 40),
        "crop": size[::-1],
        "scale_width_and_crop": (40, 40 * size[0] // size[1]),
        "scale_shortside_and_crop": tuple(40 * side // min(size) for side in size[::-1]),
        "scale_width": (40, rounded(40 * size[0] // size[1])),
        "scale_shortside": tuple(rounded(40 * side // min(size)) for side in size[::-1]),
        "none": tuple(rounded(side) for side in size[::-1]),
    }[mode]
    preprocess = settings_of(mode, 40, 28)
    result = for_training(pixels, preprocess)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, by_pillow(pixels, *wanted))


@pytest.mark.parametrize(("height", "width"), [(300, 400), (256, 256), (400, 300), (31, 90)])
def test_scaling_the_shorter_side_is_torchvisions_resize_pixel_by_pixel(height: int, width: int) -> None:
    pixels = noise(height, width)
    theirs = transforms.resize(Image.fromarray(pixels), [72], interpolation=bicubic)
    np.testing.assert_array_equal(for_training(pixels, settings_of("scale_shortside_and_crop", 72, 64)), np.asarray(theirs))


@pytest.mark.parametrize(
    ("mode", "size", "words"),
    [
        ("scale_width_and_crop", (90, 40), ["90 x 40 px", "become 40 x 17", "scale_shortside_and_crop"]),
        ("crop", (90, 31), ["90 x 31 px"]),
        ("crop", (31, 90), ["31 x 90 px"]),
    ],
)
def test_a_picture_that_would_be_stretched_is_refused_with_sizes_mode_and_remedy(
    mode: str, size: tuple[int, int], words: list[str]
) -> None:
    width, height = size
    with pytest.raises(UnsuitableError) as caught:
        for_training(noise(height, width), settings_of(mode))
    text = str(caught.value)
    assert [word for word in [*words, f"mode {mode},", "preprocess.crop_size 32", "; lower that"] if word not in text] == []


# --- the walkthrough's sampling ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height", "scaled"), [(400, 300, (381, 286)), (256, 256, (286, 286))])
def test_the_walkthroughs_sampling(width: int, height: int, scaled: tuple[int, int]) -> None:
    """Resize(int(256 * 1.12), BICUBIC), RandomCrop(256), RandomHorizontalFlip: every place of a crop as likely."""
    preprocess = settings_of("scale_shortside_and_crop", int(256 * 1.12), 256)
    pixels = noise(height, width)
    prepared = for_training(pixels, preprocess)
    theirs = transforms.resize(Image.fromarray(pixels), [286], interpolation=bicubic)
    assert prepared.shape[1::-1] == theirs.size == scaled
    np.testing.assert_array_equal(prepared, np.asarray(theirs))

    rows, columns = np.mgrid[: scaled[1], : scaled[0]]
    places = np.stack([rows, columns], axis=2)  # each pixel says where it lies
    plan = Plan(seed=0, n_A=1, n_B=1, batch_size=50, pool_size=0, flip=True)
    views = [plan.decisions(step).A for step in range(200)]
    corners, flips = [], []
    for view in views:
        for top, left, flip in zip(view.top, view.left, view.flip, strict=True):
            crop = batches._crop(places, 256, top, left)
            assert crop.shape[:2] == (256, 256)
            corners.append(crop[0, 0])
            flips.append(flip)
    assert 0.48 < np.mean(flips) < 0.52
    for drawn, room in zip(np.array(corners).T, (scaled[1] - 256, scaled[0] - 256), strict=True):
        counts = np.bincount(drawn)
        assert len(counts) == room + 1  # from 0 to room, both included
        expected = len(drawn) / (room + 1)
        # A fair draw's chi-square, of mean `room`, exceeds this once in 10,000 or less.
        assert ((counts - expected) ** 2 / expected).sum() < room + 4.5 * (2 * room) ** 0.5
    assert abs(np.corrcoef(np.array(corners).T)[0, 1]) < 0.04


# --- scoring ----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([*CROPPING, *WHOLE]))
@settings(max_examples=150)
def test_pictures_are_scored_as_squares_of_crop_size_or_refused(width: int, height: int, mode: str) -> None:
    preprocess = settings_of(mode, 40, 24)
    pixels = noise(height, width, 1)
    if mode in ("crop", "none") and min(width, height) < 24:
        with pytest.raises(UnsuitableError):
            for_scoring(pixels, preprocess)
    else:
        assert for_scoring(pixels, preprocess).shape == (24, 24, 1)


@pytest.mark.parametrize("size", [(300, 401), (401, 300), (64, 64), (24, 31), (24, 24)])
@pytest.mark.parametrize("mode", [*CROPPING, *WHOLE])
def test_scored_pixels_are_resized_as_a_whole_or_cut_from_the_middle(mode: str, size: tuple[int, int]) -> None:
    pixels = noise(*size)
    result = for_scoring(pixels, settings_of(mode, 40, 24))
    if mode == "resize_and_crop":
        np.testing.assert_array_equal(result, by_pillow(pixels, 24, 24))
        return
    if mode not in ("crop", "none"):
        scaled = transforms.resize(Image.fromarray(pixels), [24], interpolation=bicubic)
        pixels = np.asarray(scaled)
        assert min(pixels.shape[:2]) == 24
    top, left = ((side - 24) // 2 for side in pixels.shape[:2])
    np.testing.assert_array_equal(result, pixels[top : top + 24, left : left + 24])


@pytest.mark.parametrize("mode", ["crop", "none"])
def test_a_picture_too_small_to_be_scored_is_refused_with_sizes_mode_and_remedy(mode: str) -> None:
    with pytest.raises(UnsuitableError) as caught:
        for_scoring(noise(31, 50), settings_of(mode))
    text = str(caught.value)
    words = ["50 x 31 px", f"mode {mode} ", "preprocess.crop_size 32", "lower that", "a mode that scales"]
    assert [word for word in words if word not in text] == []
