"""How a picture is scaled before it is packed: the reference implementation's modes, and where they would distort.

Sizes are width x height in px, as Pillow and the reference implementation (`data/base_dataset.py`) give them.
"""

from cyclegan import images
from cyclegan.config import PreprocessConfig

ROUNDING = 4  # px: whole pictures are brought to multiples of this, as the reference implementation does in mode none


class UnsuitableError(Exception):
    """A picture that a mode cannot use as it is; the text says why and what to do."""


def for_training(pixels: images.Pixels, preprocess: PreprocessConfig) -> images.Pixels:
    """Scale a training picture uint8 [H, W, C]; random squares are cut from it later, where the mode crops.

    Raises:
        UnsuitableError: it is smaller than the crop, or the mode would stretch it.
    """
    height, width = pixels.shape[:2]
    width, height = training_size(width, height, preprocess)
    return images.resize(pixels, height, width)


def training_size(width: int, height: int, preprocess: PreprocessConfig) -> tuple[int, int]:
    """Width and height that a training picture is brought to; errors as `for_training`."""
    load, crop, mode = preprocess.load_size, preprocess.crop_size, preprocess.mode
    if mode == "resize_and_crop":
        return load, load
    scaled = {
        "scale_width": (load, load * height // width),
        "scale_shortside": (load, load * height // width) if width <= height else (load * width // height, load),
    }.get(mode.removesuffix("_and_crop"), (width, height))
    if min(scaled) < crop and preprocess.crops:
        remedy = "" if mode == "crop" else ", raise load_size"
        raise UnsuitableError(
            f"{width} x {height} px become {scaled[0]} x {scaled[1]} in mode {mode}, too small for squares of "
            f"preprocess.crop_size {crop} without stretching; lower that{remedy}, or use scale_shortside_and_crop"
        )
    if preprocess.crops:
        return scaled
    rounded = tuple(round(side / ROUNDING) * ROUNDING for side in scaled)
    if min(rounded) == 0:
        raise UnsuitableError(f"{width} x {height} px are too narrow to be brought to multiples of {ROUNDING} px")
    return rounded[0], rounded[1]


def training_is_scoring(preprocess: PreprocessConfig) -> bool:
    """Whether training pictures are packed just as test pictures are."""
    return preprocess.mode == "resize_and_crop" and preprocess.load_size == preprocess.crop_size


def for_scoring(pixels: images.Pixels, preprocess: PreprocessConfig) -> images.Pixels:
    """Bring a test or validation picture to a square of crop_size.

    resize_and_crop resizes it, as the reference implementation's test does; the modes that scale by one side bring
    the shorter one to crop_size and cut the middle out; crop and none only cut the middle out.

    Raises:
        UnsuitableError: crop or none, and a side is below crop_size.
    """
    height, width = pixels.shape[:2]
    side, mode = preprocess.crop_size, preprocess.mode
    if mode == "resize_and_crop":
        return images.resize(pixels, side, side)
    if mode in ("crop", "none"):
        if min(width, height) < side:
            raise UnsuitableError(
                f"{width} x {height} px, and mode {mode} scores squares of preprocess.crop_size {side}; lower that, or use "
                f"a mode that scales"
            )
    else:
        short = min(width, height)
        pixels = images.resize(pixels, max(side, side * height // short), max(side, side * width // short))
        height, width = pixels.shape[:2]
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]
