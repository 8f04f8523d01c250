"""Pictures that are there twice: the same file, the same pixels, or nearly the same picture.

Nearly the same is what is left of a picture that was saved again, resized, made brighter, darker or grey, or mirrored
(training mirrors too); a cropped, turned or retouched one counts as another. Perceptual hashes (ImageHash's phash) find
candidates among all pairs, small copies of the pictures then decide.
"""

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from cyclegan.data.layout import Picture, Split
from cyclegan.images import Pixels

Indices = npt.NDArray[np.intp]
Levels = npt.NDArray[np.float32]
How = Literal["the same file", "the same pixels", "nearly the same picture", "nearly the same picture, mirrored"]

SIDE, COLOUR_SIDE, BLOCK_SIDE = 32, 8, 4  # px of the small copies, and of the blocks in which details are looked for
ORDER: tuple[Split, ...] = ("train", "val", "test")  # of two pictures the one that comes later in it is the offender

# A pair is nearly the same if, with its copies in levels 0..255 (tuned on horse2zebra and on emoji, see the tests):
MAX_BITS = 10  # of 64 bits of its hashes differ at most so many;
MIN_SPREAD = 4.0  # its greys deviate at least so much from their mean: flat pictures are only compared exactly;
MIN_CORRELATION = 0.975  # its greys correlate so well ...
MIN_DETAIL = 0.9  # ... and what is left of them within blocks so well: two evening skies share no more than the gradient;
MAX_GAIN = 1.5  # their contrasts differ at most by this factor;
MAX_CHANGE = 64.0  # no single grey, contrast and brightness made equal, differs more: else a detail was exchanged;
MAX_TINT = 30.0  # and no colour's distance from its grey does, unless one of the pictures is grey.
GREY = 12  # a copy whose channels differ at most so much is grey

CONFIRMED = 32  # candidates of one picture, the nearest, that are looked at: bounds the time where all look alike
BLOCK = 2**22  # distances held at once


@dataclass(frozen=True)
class Fingerprint:
    """What a picture is compared by.

    Attributes:
        file: SHA-256 of its file.
        pixels: SHA-256 of its decoded pixels and their shape.
        hash, mirrored: 64 bits of perceptual hash, of the picture and of its mirror image.
        grey: uint8 [SIDE, SIDE].
        colour: uint8 [COLOUR_SIDE, COLOUR_SIDE, 3].
    """

    file: str
    pixels: str
    hash: int
    mirrored: int
    grey: Pixels
    colour: Pixels


def fingerprint(pixels: Pixels, file: str) -> Fingerprint:
    """The fingerprint of a decoded picture uint8 [H, W, 1 or 3] whose file has the SHA-256 `file`."""
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    grey = small.convert("L")
    colour = small.convert("RGB").resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX)
    return Fingerprint(
        file, digest.hexdigest(), _bits(grey), _bits(ImageOps.mirror(grey)), np.asarray(grey), np.asarray(colour)
    )


def _bits(grey: Image.Image) -> int:
    return int.from_bytes(np.packbits(imagehash.phash(grey).hash).tobytes(), "big")


@dataclass(frozen=True)
class Twin:
    """Two pictures that are the same or nearly so; `picture` is the offender: without all offenders, none are."""

    picture: Picture
    other: Picture
    how: How

    @property
    def leak(self) -> bool:
        """Whether they lie in different sets: what is learnt from one is known of the other."""
        return (self.picture.split, self.picture.domain) != (self.other.split, self.other.domain)


def find(pictures: Sequence[tuple[Picture, Fingerprint]], *, paired_test: bool, paired_val: bool = False) -> list[Twin]:
    """Every picture that has a twin before it, in the order train, val, test, then by domain and name.

    A picture is named once with the nearest twin in other sets, and once with the nearest in its own. True pairs, of
    test pictures if `paired_test` and of validation pictures if `paired_val`, are no twins.
    """
    ordered = sorted(pictures, key=lambda one: (ORDER.index(one[0].split), one[0].domain, one[0].name))
    members, prints = [picture for picture, _ in ordered], [print_ for _, print_ in ordered]
    sets = _codes([(p.split, p.domain) for p in members])
    paired = {"test": paired_test, "val": paired_val, "train": False}
    pairs = _codes([(p.split, p.pair) if paired[p.split] else (p.split, p.domain, p.name) for p in members])
    copies = _Copies(prints)
    twins: list[Twin] = []
    for this, (earlier, bits) in enumerate(_candidates(prints)):
        unpaired, elsewhere = pairs[earlier] != pairs[this], sets[earlier] != sets[this]
        chosen = (unpaired & elsewhere, unpaired & ~elsewhere)
        found = (copies.nearest(this, earlier[which], bits[which]) for which in chosen)
        twins += [Twin(members[this], members[other], how) for other, how in filter(None, found)]
    return twins


def _codes(keys: Sequence[Hashable]) -> Indices:
    """A number for each key, equal for equal keys."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)


def _candidates(prints: Sequence[Fingerprint]) -> Iterator[tuple[Indices, npt.NDArray[np.uint8]]]:
    """For each picture, the earlier ones whose hashes are near its own, mirrored or not, and the bits that differ."""
    hashes = np.array([one.hash for one in prints], dtype=np.uint64)
    mirrored = np.array([one.mirrored for one in prints], dtype=np.uint64)
    rows = max(1, BLOCK // max(1, len(prints)))
    for start in range(0, len(prints), rows):
        block = hashes[start : start + rows, None]
        before = slice(0, start + len(block))
        bits = np.minimum(np.bitwise_count(block ^ hashes[before]), np.bitwise_count(block ^ mirrored[before]))
        for this, distances in enumerate(bits, start):
            earlier = np.flatnonzero(distances[:this] <= MAX_BITS)
            yield earlier, distances[earlier]


class _Copies:
    """Small copies of all pictures, to decide on candidates by."""

    def __init__(self, prints: Sequence[Fingerprint]) -> None:
        self.files = _codes([one.file for one in prints])
        self.pixels = _codes([one.pixels for one in prints])
        self.greys = np.array([one.grey for one in prints])
        self.colours = np.array([one.colour for one in prints])

    def nearest(self, this: int, others: Indices, bits: npt.NDArray[np.uint8]) -> tuple[int, How] | None:
        """The one of `others` that is most the same as `this`, if any is, and how; of equals the first."""
        same = others[self.pixels[others] == self.pixels[this]]
        if len(same):
            file = same[self.files[same] == self.files[this]]
            return (int(file[0]), "the same file") if len(file) else (int(same[0]), "the same pixels")
        others = others[np.argsort(bits, kind="stable")][:CONFIRMED]
        if not len(others):
            return None
        plain, mirrored = (self._likeness(this, others, mirrored=turned) for turned in (False, True))
        best = int(np.argmax(np.maximum(plain, mirrored)))
        if max(plain[best], mirrored[best]) == 0:
            return None
        turned = mirrored[best] > plain[best]
        return int(others[best]), "nearly the same picture, mirrored" if turned else "nearly the same picture"

    def _likeness(self, this: int, others: Indices, *, mirrored: bool) -> Levels:
        """The correlation of greys with each of `others`, or 0 where it is not nearly the same picture."""
        turn = slice(None, None, -1 if mirrored else 1)
        here, spread = _standard(self.greys[[this]])
        there, spreads = _standard(self.greys[others][:, :, turn])
        correlation = _correlation(here, there)
        weaker, stronger = np.minimum(spread, spreads), np.maximum(spread, spreads)
        change = np.abs(here - there).max((1, 2)) * weaker
        own, colours = self.colours[this], self.colours[others][:, :, turn]
        tint = np.abs(_tint(own) - _tint(colours)).max((1, 2, 3))
        either_grey = (np.ptp(own, axis=-1).max() <= GREY) | (np.ptp(colours, axis=-1).max((1, 2)) <= GREY)
        alike = (
            (weaker >= MIN_SPREAD)
            & (correlation >= MIN_CORRELATION)
            & (_correlation(_detail(here), _detail(there)) >= MIN_DETAIL)
            & (stronger <= MAX_GAIN * weaker)
            & (change <= MAX_CHANGE)
            & ((tint <= MAX_TINT) | either_grey)
        )
        return np.where(alike, correlation, np.float32(0))


def _standard(greys: Pixels) -> tuple[Levels, Levels]:
    """Greys [N, H, W] at mean 0 and deviation 1, and their deviations [N] before."""
    levels = greys.astype(np.float32)
    levels -= levels.mean((1, 2), keepdims=True)
    spreads = levels.std((1, 2))
    return levels / np.maximum(spreads, MIN_SPREAD)[:, None, None], spreads


def _detail(greys: Levels) -> Levels:
    """Greys [N, SIDE, SIDE] less the mean of the block of BLOCK_SIDE px that they lie in."""
    blocks = greys.reshape(-1, SIDE // BLOCK_SIDE, BLOCK_SIDE, SIDE // BLOCK_SIDE, BLOCK_SIDE)
    detail: Levels = (blocks - blocks.mean((2, 4), keepdims=True)).reshape(greys.shape)
    return detail


def _correlation(here: Levels, there: Levels) -> Levels:
    """Of [1, H, W], of mean 0, with each of [N, H, W]; 0 where one of them is flat."""
    norms = np.sqrt((here**2).sum((1, 2)) * (there**2).sum((1, 2)))
    products: Levels = (here * there).sum((1, 2)) / np.maximum(norms, np.float32(1e-6))
    return products


def _tint(colours: Pixels) -> Levels:
    """How far each channel of [..., 3] lies from the mean of the three."""
    levels: Levels = colours.astype(np.float32)
    levels -= levels.mean(-1, keepdims=True)
    return levels
