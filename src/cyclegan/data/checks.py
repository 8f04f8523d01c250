"""Is this picture fit for use? Reads and decodes one file, and words what is wrong with it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cyclegan import images
from cyclegan.data.layout import Picture
from cyclegan.data.leaks import Fingerprint, fingerprint


@dataclass(frozen=True)
class Good:
    """A decoded picture.

    Attributes:
        picture: which one.
        pixels: uint8 [H, W, C].
        sha256: of its file.
        original: what the file held.
        fingerprint: what it is compared by.
        square: a training picture as test pictures are prepared, where that is kept and differs.
    """

    picture: Picture
    pixels: images.Pixels
    sha256: str
    original: images.Original
    fingerprint: Fingerprint
    square: images.Pixels | None = None


@dataclass(frozen=True)
class Bad:
    """A picture that cannot be used, and why."""

    picture: Picture
    reason: str


def judge(picture: Picture, channels: int, background: Sequence[int], min_side: int) -> Good | Bad:
    """Decode `picture`; Bad if that fails, if a side is below `min_side` px, or if nothing can be written of its name."""
    try:
        str(picture.path).encode()
        data = images.fetch(picture.path)
        pixels, original = images.decode(data, channels, background)
    except UnicodeEncodeError:
        return Bad(picture, "its name is not UTF-8; rename it")
    except images.BadImageError as error:
        return Bad(picture, str(error))
    if min(original.width, original.height) < min_side:
        return Bad(picture, f"{original.width} x {original.height} px, below preprocess.min_side of {min_side}")
    sha256 = hashlib.sha256(data).hexdigest()
    return Good(picture, pixels, sha256, original, fingerprint(pixels, sha256))
