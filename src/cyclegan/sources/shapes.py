"""Outlines (A) and filled shapes (B), drawn here in milliseconds; for tests and first steps."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cyclegan import images, randomness
from cyclegan.sources.provenance import Provenance

DEFAULT_COUNT = 400  # pictures a training domain where n_train is null
SUPERSAMPLE = 4  # drawn at 4 x and reduced, for smooth edges
COLOURS = {"circle": (214, 64, 60), "square": (52, 152, 92), "triangle": (58, 98, 208)}  # a kind has one colour


def make(out: Path, image_size: int, n_train: int | None, n_test: int, seed: int, n_val: int = 0) -> Provenance:
    """Draw the data set into `out`: training scenes are a set's own; testA and testB share theirs, as do valA and valB."""
    count = n_train or DEFAULT_COUNT
    for name, stream, number in (
        ("trainA", "trainA", count),
        ("trainB", "trainB", count),
        ("valA", "val", n_val),
        ("valB", "val", n_val),
        ("testA", "test", n_test),
        ("testB", "test", n_test),
    ):
        if number == 0:
            continue
        (out / name).mkdir(parents=True)
        for index in range(number):
            rng = randomness.generator(seed, f"shapes/{stream}", index)
            images.write(out / name / f"{index:05d}.png", scene(rng, image_size, filled=name.endswith("B")))
    return Provenance(
        name="shapes",
        domain_A="outlines of shapes",
        domain_B="filled shapes, a colour a kind",
        licence="CC0",
        attribution="Shapes drawn by this project",
        paired_test=True,
        paired_val=n_val > 0,
    )


def scene(rng: np.random.Generator, size: int, *, filled: bool) -> images.Pixels:
    """One to three shapes on white, uint8 [size, size, 3]; the same `rng` gives the same scene outlined and filled."""
    side = size * SUPERSAMPLE
    canvas = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(1, 4))):
        kind = list(COLOURS)[int(rng.integers(len(COLOURS)))]
        radius = side * float(rng.uniform(0.12, 0.28))
        x, y = (float(rng.uniform(radius, side - radius)) for _ in range(2))
        _draw(draw, kind, x, y, radius, COLOURS[kind] if filled else (255, 255, 255), max(1, side // 32))
    return np.asarray(canvas.reduce(SUPERSAMPLE))


def _draw(
    draw: ImageDraw.ImageDraw, kind: str, x: float, y: float, radius: float, fill: tuple[int, int, int], width: int
) -> None:
    if kind == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill, outline="black", width=width)
    elif kind == "square":
        half = radius * 0.8
        draw.rectangle((x - half, y - half, x + half, y + half), fill=fill, outline="black", width=width)
    else:
        corners = [(x, y - radius), (x + 0.87 * radius, y + radius / 2), (x - 0.87 * radius, y + radius / 2)]
        draw.polygon(corners, fill=fill, outline="black", width=width)
