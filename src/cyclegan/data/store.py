"""Prepared pictures as packed pixels: one flat uint8 file a set, and one manifest that says where each picture lies.

A prepared folder holds

    trainA.u8 ...   the pixels of one set, picture after picture, each [H, W, C]
    manifest.csv    a row a picture: set, file, digest, original size and mode, offset, height, width
    dataset.json    channels, statistics, provenance, the SHA-256 of each file above, and the digest of them all
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cyclegan import images
from cyclegan.data.checks import Good
from cyclegan.data.layout import Domain, Split
from cyclegan.errors import UserError

MANIFEST = "manifest.csv"
SUMMARY = "dataset.json"
FORMAT = 1
LEVELS = 256  # of a channel of a pixel


class Writer:
    """Packs pictures, in the order they are added, into `folder`, and sums up their colours on the way."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.rows: list[dict[str, object]] = []
        self.moments: dict[str, Moments] = {}

    def add(self, good: Good) -> None:
        """Append a picture as it is to be stored, and its square to the reference set where it has one."""
        self._append(good, good.picture.split, good.pixels)
        if good.square is not None:
            self._append(good, "reference", good.square)

    def _append(self, good: Good, split: Split, pixels: images.Pixels) -> None:
        name = f"{split}{good.picture.domain}"
        with (self.folder / f"{name}.u8").open("ab") as file:
            offset = file.tell()
            file.write(np.ascontiguousarray(pixels).data)
        self.moments.setdefault(name, Moments(pixels.shape[2])).add(pixels)
        self.rows.append(
            {
                "domain": good.picture.domain,
                "split": split,
                "file": good.picture.name,
                "sha256": good.sha256,
                "original_width": good.original.width,
                "original_height": good.original.height,
                "original_mode": good.original.mode,
                "offset": offset,
                "height": pixels.shape[0],
                "width": pixels.shape[1],
            }
        )

    def finish(self, source: dict[str, Any], skipped: list[tuple[str, str]]) -> dict[str, Any]:
        """Write the manifest and dataset.json, with the pictures left out and why; returns what the latter holds."""
        manifest = pd.DataFrame(self.rows)
        manifest.to_csv(self.folder / MANIFEST, index=False, lineterminator="\n")
        files = sorted(path for path in self.folder.iterdir() if path.name != SUMMARY)
        digests = {path.name: sha256_of(path) for path in files}
        summary = {
            "format": FORMAT,
            "digest": hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest(),
            "source": source,
            "skipped": skipped,
            "sets": {name: asdict(moments.summary()) for name, moments in self.moments.items()},
            "files": digests,
        }
        text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
        (self.folder / SUMMARY).write_text(text, encoding="utf-8")
        return summary


@dataclass(frozen=True)
class SetSummary:
    """One set: how many pictures, how many channels, and each channel's mean and standard deviation in levels 0..255."""

    pictures: int
    channels: int
    mean: list[float]
    std: list[float]


class Moments:
    """How often each channel has each level: exact, so that the order of the pictures does not matter.

    Counting is several times quicker than summing squares, and this is done by the one thread that packs.
    """

    def __init__(self, channels: int) -> None:
        self.pictures = 0
        self.counts = np.zeros((channels, LEVELS), dtype=np.int64)

    def add(self, pixels: images.Pixels) -> None:
        self.pictures += 1
        for counts, channel in zip(self.counts, np.moveaxis(pixels, 2, 0), strict=True):
            counts += np.bincount(channel.ravel(), minlength=LEVELS)

    def summary(self) -> SetSummary:
        levels, pixels = np.arange(LEVELS), int(self.counts[0].sum())
        means = [int(total) / pixels for total in self.counts @ levels]
        squares = (int(total) / pixels for total in self.counts @ levels**2)
        spreads = [(square - mean**2) ** 0.5 for square, mean in zip(squares, means, strict=True)]
        return SetSummary(self.pictures, len(means), [round(m, 3) for m in means], [round(s, 3) for s in spreads])


class PixelSet:
    """The pictures of one set, read from a memory map: nothing is loaded before it is used."""

    def __init__(self, pixels: npt.NDArray[np.uint8], manifest: pd.DataFrame, channels: int) -> None:
        self.pixels = pixels
        self.channels = channels
        self.files: list[str] = manifest["file"].tolist()
        self.offsets: list[int] = manifest["offset"].tolist()
        self.heights: list[int] = manifest["height"].tolist()
        self.widths: list[int] = manifest["width"].tolist()

    def __len__(self) -> int:
        return len(self.files)

    @property
    def one_size(self) -> bool:
        """Whether all pictures are as high and as wide as one another."""
        return len(set(self.heights)) == len(set(self.widths)) == 1

    def __getitem__(self, index: int) -> images.Pixels:
        """uint8 [H, W, C], a view of the memory map."""
        height, width = self.heights[index], self.widths[index]
        start = self.offsets[index]
        return self.pixels[start : start + height * width * self.channels].reshape(height, width, self.channels)

    def stack(self, start: int, stop: int) -> images.Pixels:
        """Pictures start..stop-1, which must share one size, as uint8 [N, H, W, C], a copy."""
        return np.stack([self[index] for index in range(start, min(stop, len(self)))])


def test_digest(summary: Mapping[str, Any]) -> str:
    """Of the test pictures, from what dataset.json says: SHA-256 of the pixels' digests of both test sets."""
    digests = [summary["files"][f"test{domain}.u8"] for domain in ("A", "B")]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


class Store:
    """A prepared folder, opened for reading; `verify` compares every file with its digest.

    Raises:
        UserError: there is none, it is of another format, or a file is not the one that was prepared.
    """

    def __init__(self, folder: Path, *, verify: bool = True) -> None:
        try:
            self.summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"there is no prepared data in {folder}; run `dvc repro preprocess`") from None
        if self.summary["format"] != FORMAT:
            raise UserError(f"{folder} has format {self.summary['format']}, not {FORMAT}; run `dvc repro -f preprocess`")
        for name, digest in self.summary["files"].items() if verify else ():
            if not (folder / name).is_file() or sha256_of(folder / name) != digest:
                raise UserError(f"{folder / name} is not the file that was prepared; run `dvc repro -f preprocess`")
        self.folder = folder
        self.manifest = pd.read_csv(folder / MANIFEST, dtype={"file": str}, keep_default_na=False)

    @property
    def digest(self) -> str:
        """SHA-256 of all that is prepared."""
        return str(self.summary["digest"])

    @property
    def test_digest(self) -> str:
        """SHA-256 of the pixels of both test sets: scores of other test pictures are other scores."""
        return test_digest(self.summary)

    @property
    def paired_test(self) -> bool:
        """Whether picture i of testA and picture i of testB are a true pair."""
        return bool(self.summary["source"]["paired_test"])

    @property
    def paired_val(self) -> bool:
        """The same of valA and valB; False where there are none."""
        return bool(self.summary["source"].get("paired_val", False))

    def has(self, split: Split, domain: Domain) -> bool:
        """Whether there is such a set."""
        return f"{split}{domain}" in self.summary["sets"]

    def reference(self, domain: Domain) -> PixelSet | None:
        """The training pictures of a domain as test pictures are, squares of one size; None where they were not kept."""
        test = self.open("test", domain)
        splits: tuple[Split, ...] = ("reference", "train")
        for split in splits:
            if self.has(split, domain):
                pictures = self.open(split, domain)
                if pictures.one_size and (pictures.heights[0], pictures.widths[0]) == (test.heights[0], test.widths[0]):
                    return pictures
        return None

    def open(self, split: Split, domain: Domain) -> PixelSet:
        """The set of a split and a domain."""
        name = f"{split}{domain}"
        rows = self.manifest[(self.manifest["split"] == split) & (self.manifest["domain"] == domain)]
        pixels = np.memmap(self.folder / f"{name}.u8", dtype=np.uint8, mode="r")
        return PixelSet(pixels, rows, self.summary["sets"][name]["channels"])


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
