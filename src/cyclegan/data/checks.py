"""Is this picture fit for use? Reads and decodes one file, and words what is wrong with it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cyclegan import images
from cyclegan.data.layout import Picture


@dataclass(frozen=True)
class Good:
    """A decoded picture: uint8 [H, W, C], the SHA-256 of its file, and what the file held."""

    picture: Picture
    pixels: images.Pixels
    sha256: str
    original: images.Original


@dataclass(frozen=True)
class Bad:
    """A picture that cannot be used, and why."""

    picture: Picture
    reason: str


def judge(picture: Picture, channels: int, background: Sequence[int], min_side: int) -> Good | Bad:
    """Decode `picture`; Bad if that fails or if a side is below `min_side` px."""
    try:
        data = picture.path.read_bytes()
        pixels, original = images.decode(data, channels, background)
    except OSError as error:
        return Bad(picture, f"cannot be read: {error.strerror}")
    except images.BadImageError as error:
        return Bad(picture, str(error))
    if min(original.width, original.height) < min_side:
        return Bad(picture, f"{original.width} x {original.height} px, below preprocess.min_side of {min_side}")
    return Good(picture, pixels, hashlib.sha256(data).hexdigest(), original)
