"""Pictures that are there twice are found, whatever was done to one of them; pictures that only resemble are not."""

import io
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from cyclegan.data import leaks
from cyclegan.data.layout import Picture
from cyclegan.data.leaks import Fingerprint, Twin, fingerprint
from cyclegan.images import Pixels

NEAR, MIRRORED = "nearly the same picture", "nearly the same picture, mirrored"


def scene(seed: int, side: int = 96) -> Image.Image:
    """A picture with large and small forms, as a photograph has."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        ).astype(float)
        for n in (4, 9, 24)
    ]
    levels = 0.5 * layers[0] + 0.3 * layers[1] + 0.2 * layers[2]
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def pixels(image: Image.Image) -> Pixels:
    array = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def at(place: str, image: Image.Image | Pixels, file: str | None = None) -> tuple[Picture, Fingerprint]:
    """`place` is split, domain and name: "train A x.png"."""
    split, domain, name = place.split(" ", 2)
    levels = pixels(image) if isinstance(image, Image.Image) else image
    picture: Any = Picture(domain, split, Path(name), name)  # type: ignore[arg-type]
    return picture, fingerprint(levels, file or place)


def found(
    *entries: tuple[Picture, Fingerprint], paired_test: bool = False, paired_val: bool = False
) -> list[tuple[str, str, str, bool]]:
    def place(picture: Picture) -> str:
        return f"{picture.split} {picture.domain} {picture.name}"

    twins = leaks.find(entries, paired_test=paired_test, paired_val=paired_val)
    return [(place(twin.picture), place(twin.other), twin.how, twin.leak) for twin in twins]


def saved(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def resized(image: Image.Image, width: float, height: float) -> Image.Image:
    return image.resize((round(image.width * width), round(image.height * height)), Image.Resampling.BICUBIC)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved as JPEG": lambda image: saved(image, 75),
    "saved badly": lambda image: saved(image, 30),
    "halved": lambda image: resized(image, 0.5, 0.5),
    "enlarged": lambda image: resized(image, 1.7, 1.7),
    "pressed": lambda image: resized(image, 1, 0.7),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
    "paler": lambda image: ImageEnhance.Color(image).enhance(0.8),
    "grey": lambda image: image.convert("L"),
    "of a palette": lambda image: image.quantize(256).convert("RGB"),
    "all at once": lambda image: saved(ImageEnhance.Brightness(resized(image, 0.6, 0.7)).enhance(1.1), 60),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_changed_copy_is_nearly_the_same(change: str, mirrored: bool) -> None:
    for seed in range(8):
        copy = CHANGES[change](ImageOps.mirror(scene(seed)) if mirrored else scene(seed))
        others = [at(f"train A other{number}.png", scene(100 + number)) for number in range(4)]
        twins = found(at("train A x.png", scene(seed)), *others, at("test A y.png", copy))
        assert twins == [("test A y.png", "train A x.png", MIRRORED if mirrored else NEAR, True)]


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.crop((9, 9, 87, 87)),
        lambda image: image.rotate(90),
        ImageOps.flip,  # upside down: training does not
        ImageOps.invert,
        lambda image: Image.merge("RGB", image.split()[::-1]),
        lambda image: scene(1),
    ],
    ids=["cropped", "turned", "upside down", "inverted", "other colours", "another"],
)
def test_another_picture_is_none(change: Callable[[Image.Image], Image.Image]) -> None:
    for seed in range(2, 10):
        assert found(at("train A x.png", scene(seed)), at("test A y.png", change(scene(seed)))) == []


def face(mouth: tuple[int, int, int, int], fill: str = "yellow") -> Image.Image:
    image = Image.new("RGB", (64, 64), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((8, 8, 56, 56), fill, "black", 2)
    for left in (22, 38):
        draw.ellipse((left, 24, left + 5, 29), "black")
    draw.arc(mouth, 0, 180, "black", 3)
    return image


def test_drawings_that_differ_in_a_detail_or_a_colour_are_others() -> None:
    smile, frown = face((22, 32, 42, 46)), ImageOps.flip(face((22, 22, 42, 34)))
    assert found(at("train A x.png", smile), at("test A y.png", frown)) == []
    assert found(at("train A x.png", smile), at("test A y.png", face((22, 32, 42, 46), "cyan"))) == []
    assert found(at("train A x.png", smile), at("test A y.png", saved(smile, 80))) == [
        ("test A y.png", "train A x.png", NEAR, True)
    ]


def test_smooth_and_flat_pictures_are_compared_exactly() -> None:
    ramp = np.linspace(60, 200, 64)
    skies = []
    for seed in range(6):
        noise = np.random.default_rng(seed).normal(0, 1.5, (64, 64, 3))
        skies.append((np.broadcast_to(ramp[:, None, None], (64, 64, 3)) + noise).clip(0, 255).astype(np.uint8))
    greys = [np.full((64, 64, 3), level, dtype=np.uint8) for level in (0, 1, 128, 254, 255)]
    entries = [at(f"train A {number}.png", image) for number, image in enumerate([*skies, *greys])]
    assert found(*entries) == []
    assert found(*entries, at("test B y.png", skies[2]), at("test B z.png", greys[2])) == [
        ("test B y.png", "train A 2.png", "the same pixels", True),
        ("test B z.png", "train A 8.png", "the same pixels", True),
    ]


RNG = np.random.default_rng(0)
BLOCKS = RNG.normal(0, 40, (8, 8)).repeat(4, 0).repeat(4, 1)  # what lies between blocks of 4 px ...
DETAIL = RNG.normal(0, 5, (32, 32))  # ... and within them
SPOT = np.zeros((32, 32))
SPOT[5, 7] = 160 if BLOCKS[5, 7] < 0 else -160
HUE = np.array([20, 0, -20])  # against RED, whatever the grey
RED = np.array([80, -20, -30])


FORMS = RNG.normal(0, 15, (8, 8)).repeat(4, 0).repeat(4, 1)


@pytest.mark.parametrize(
    ("one", "other", "tint", "same"),
    [
        (BLOCKS + DETAIL, BLOCKS + DETAIL + RNG.normal(0, 1, (32, 32)), HUE, True),
        (BLOCKS + DETAIL, 1.3 * (BLOCKS + DETAIL), HUE, True),
        (BLOCKS + DETAIL, BLOCKS + DETAIL, 0 * HUE, True),
        (BLOCKS + DETAIL, BLOCKS + DETAIL, RED, False),
        (BLOCKS + 4 * DETAIL, BLOCKS + 4 * DETAIL + SPOT, HUE, False),
        (BLOCKS + DETAIL, BLOCKS + RNG.permuted(DETAIL), HUE, False),
        (BLOCKS + DETAIL, BLOCKS + FORMS + DETAIL, HUE, False),
        (BLOCKS + DETAIL, 1.7 * (BLOCKS + DETAIL), HUE, False),
        (0.06 * (BLOCKS + DETAIL), 0.06 * (BLOCKS + DETAIL), HUE, False),
    ],
    ids=["noise", "contrast", "no hue", "hue", "spot", "details", "forms", "much contrast", "flat"],
)
def test_each_measure_alone_tells_two_small_copies_apart(one: Any, other: Any, tint: Any, same: bool) -> None:
    def of(levels: Any, tint: Any, name: str) -> Fingerprint:
        grey = (128 + levels / 2).clip(0, 255).round().astype(np.uint8)
        colour = np.broadcast_to(128 + tint, (8, 8, 3)).clip(0, 255).astype(np.uint8)
        return Fingerprint(name, name, 0, 0, grey, colour)

    entries = [
        (Picture("A", "train", Path("x"), "x"), of(one, HUE, "x")),
        (Picture("A", "test", Path("y"), "y"), of(other, tint, "y")),
    ]
    assert found(*entries) == [("test A y", "train A x", NEAR, True)] * same


# --- which pair is named ----------------------------------------------------------------------------------------------

PLACES = [f"{split} {domain} x.png" for split in ("train", "val", "test") for domain in "AB"]


@pytest.mark.parametrize(("first", "second"), itertools.combinations(PLACES, 2))
@pytest.mark.parametrize("paired_test", [False, True])
@pytest.mark.parametrize("paired_val", [False, True])
def test_the_later_set_holds_the_offender_and_true_pairs_are_no_leak(
    first: str, second: str, paired_test: bool, paired_val: bool
) -> None:
    image = scene(0)
    twins = found(at(second, image, "f"), at(first, image, "f"), paired_test=paired_test, paired_val=paired_val)
    pair = (paired_test and (first, second) == ("test A x.png", "test B x.png")) or (
        paired_val and (first, second) == ("val A x.png", "val B x.png")
    )
    assert twins == ([] if pair else [(second, first, "the same file", True)])


def test_of_a_paired_test_set_other_names_are_a_leak() -> None:
    same = scene(0)
    entries = [at("test A x.png", same), at("test B x.jpg", same), at("test B y.png", same)]
    assert found(*entries, paired_test=True) == [
        ("test B y.png", "test A x.png", "the same pixels", True),
        ("test B y.png", "test B x.jpg", "the same pixels", False),
    ]
    assert [twin[0] for twin in found(*entries)] == ["test B x.jpg", "test B y.png", "test B y.png"]


def test_the_same_file_goes_before_the_same_pixels_and_these_before_what_is_near() -> None:
    image = scene(0)
    near, same, file = at("train A 1.png", saved(image, 80)), at("train A 2.png", image), at("train A 3.png", image, "f")
    twins = found(near, same, file, at("test A y.png", image, "f"))
    assert twins[-1] == ("test A y.png", "train A 3.png", "the same file", True)
    assert found(near, same, at("test A y.png", image, "f"))[-1][1:3] == ("train A 2.png", "the same pixels")
    assert found(near, at("test A y.png", image, "f"))[-1][1:3] == ("train A 1.png", NEAR)


def test_of_several_near_ones_the_nearest_is_named() -> None:
    image = scene(0)
    entries = [at(f"train A {quality}.png", saved(image, quality)) for quality in (20, 50, 95, 70)]
    assert found(*entries, at("test A y.png", image))[-1][1] == "train A 95.png"


def test_a_picture_is_named_once_for_its_set_and_once_for_others_and_without_the_named_none_are_twice() -> None:
    rng = np.random.default_rng(0)
    entries = []
    for number in range(90):
        split, domain = rng.choice(["train", "val", "test"]), rng.choice(["A", "B"])
        image = saved(scene(int(rng.integers(12))), int(rng.integers(60, 95)))
        entries.append(at(f"{split} {domain} {number}.png", ImageOps.mirror(image) if rng.random() < 0.3 else image))
    twins = leaks.find(entries, paired_test=False)
    named = [(twin.picture, twin.leak) for twin in twins]
    assert len(set(named)) == len(named)
    assert any(leak for _, leak in named)
    assert not all(leak for _, leak in named)
    offenders = {twin.picture for twin in twins}
    rest = [entry for entry in entries if entry[0] not in offenders]
    assert len(rest) == 12
    assert leaks.find(rest, paired_test=False) == []
    assert leaks.find(entries[::-1], paired_test=False) == twins  # in whichever order they come


def test_channels_and_shapes_are_part_of_the_pixels() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (32, 24, 1), dtype=np.uint8)
    assert fingerprint(grey, "").pixels != fingerprint(grey.reshape(24, 32, 1), "").pixels
    assert fingerprint(grey, "").pixels == fingerprint(grey.copy(), "f").pixels
    assert found(at("train A x.png", grey), at("train B x.png", grey.repeat(3, axis=2))) == [
        ("train B x.png", "train A x.png", NEAR, True)  # a grey domain and one of colour
    ]


def test_no_pictures_or_one_have_no_twins() -> None:
    assert leaks.find([], paired_test=False) == []
    assert found(at("train A x.png", scene(0))) == []


# --- very many --------------------------------------------------------------------------------------------------------


def by_hand(entries: list[tuple[Picture, Fingerprint]]) -> list[Twin]:
    """Pair by pair."""
    twins = []
    for one, two in itertools.combinations(entries, 2):
        twins += leaks.find([one, two], paired_test=False)
    return twins


def test_blocks_hide_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [at(f"train A {number:02d}.png", scene(number % 20)) for number in range(40)]
    wanted = {(twin.picture.name, twin.other.name) for twin in by_hand(entries)}
    assert len(wanted) == 20
    for block in (1, 40, 100, 2**22):
        monkeypatch.setattr(leaks, "BLOCK", block)
        assert {(twin.picture.name, twin.other.name) for twin in leaks.find(entries, paired_test=False)} == wanted


@pytest.mark.parametrize("alike", [False, True])
def test_ten_thousand_pictures_take_seconds(alike: bool) -> None:
    rng = np.random.default_rng(0)
    one = fingerprint(pixels(scene(0)), "f")
    prints = [
        one
        if alike
        else Fingerprint(str(n), str(n), *(int(bits) for bits in rng.integers(0, 2**63, 2)), one.grey, one.colour)
        for n in range(10_000)
    ]
    entries = [(Picture("AB"[n % 2], "train", Path(f"{n}"), f"{n}"), prints[n]) for n in range(10_000)]  # type: ignore[arg-type]
    started = time.process_time()
    twins = leaks.find(entries, paired_test=False)
    assert time.process_time() - started < 15  # 1 on two cores of 2026
    if alike:
        assert sum(twin.leak for twin in twins) == 5000
        assert sum(not twin.leak for twin in twins) == 9998
