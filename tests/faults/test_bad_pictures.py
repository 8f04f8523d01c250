"""Every kind of bad or odd picture at once, in one data set, through the real stage: one report, no traceback."""

import csv
import io
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from faults.unprivileged import drop
from PIL import Image, ImageOps, features
from project import child_environment, copy_project, set_params

from cyclegan.config import Config
from cyclegan.data import inspection

Make = Callable[[Path], None]
HUGE = "more than 178,956,970 pixels"
UNKNOWN = "not a picture in a known format"
SKY = (40, 32)


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: of the file, below trainA.
        make: writes it.
        problem: what the report must call it: bad, note, or "" where it is a picture like any other.
        reason: how the report's detail must begin.
    """

    name: str
    make: Make
    problem: str = ""
    reason: str = ""


def picture(name: str, size: tuple[int, int] = SKY, mode: str = "RGB") -> Image.Image:
    """A picture of soft spots, another for each name."""
    levels = np.random.default_rng(zlib.crc32(os.fsencode(name))).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def saved(format_: str, mode: str = "RGB", size: tuple[int, int] = SKY, **options: Any) -> Make:
    return lambda path: path.write_bytes(encoded(picture(path.name, size, mode), format_, **options))  # type: ignore[func-returns-value]


def holding(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)  # type: ignore[func-returns-value]


def cut(format_: str, share: float = 0.6, **options: Any) -> Make:
    def make(path: Path) -> None:
        data = encoded(picture(path.name), format_, **options)
        path.write_bytes(data[: int(share * len(data))])

    return make


def changed(format_: str, change: Callable[[bytearray], object], **options: Any) -> Make:
    def make(path: Path) -> None:
        data = bytearray(encoded(picture(path.name), format_, **options))
        change(data)
        path.write_bytes(data)

    return make


def frames(format_: str, count: int = 3, **options: Any) -> Make:
    def make(path: Path) -> None:
        first, *others = (picture(f"{path.name}{number}") for number in range(count))
        first.save(path, format_, save_all=True, append_images=others, **options)

    return make


def linked(target: str) -> Make:
    return lambda path: path.symlink_to(target)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, pixels: bytes, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def tiff(entries: dict[int, tuple[int, ...]], pixels: bytes, following: int = 0) -> bytes:
    """A little-endian TIFF of one strip; values of more than one number come after the directory."""
    entries = entries | {273: (0,), 279: (len(pixels),)}
    start = 8 + 2 + 12 * len(entries) + 4
    tail = b""
    rows = b""
    for tag in sorted(entries):
        values = entries[tag]
        if len(values) > 2:
            rows += struct.pack("<HHII", tag, 3, len(values), start + len(tail))
            tail += struct.pack(f"<{len(values)}H", *values)
        else:
            rows += struct.pack("<HHII", tag, 4, 1, values[0])
    place = (start + len(tail)).to_bytes(4, "little")
    rows = rows.replace(struct.pack("<HHII", 273, 4, 1, 0), struct.pack("<HHI", 273, 4, 1) + place)
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
    return head + rows + struct.pack("<I", following) + tail + pixels


def sixteen_bits_png(path: Path) -> None:
    levels = np.asarray(picture(path.name)).astype(">u2") * 257
    path.write_bytes(png(*SKY, 16, 2, b"".join(b"\0" + row.tobytes() for row in levels)))


def no_animation(path: Path) -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(picture(path.name)))
    path.write_bytes(png(*SKY, 8, 2, rows, chunk(b"acTL", bytes(8))))


def sixteen_bits_tiff(path: Path) -> None:
    levels = np.asarray(picture(path.name)).astype("<u2") * 257
    path.write_bytes(
        tiff({256: (40,), 257: (32,), 258: (16, 16, 16), 259: (1,), 262: (2,), 277: (3,), 278: (32,)}, levels.tobytes())
    )


def grey_of_sixteen_bits(format_: str, mode: str = "I;16", kind: str = "<u2") -> Make:
    def make(path: Path) -> None:
        levels = np.asarray(picture(path.name, mode="L")).astype(kind) * 257
        path.write_bytes(encoded(Image.frombytes(mode, SKY, levels.tobytes()), format_))

    return make


def sixteen_bits_ppm(path: Path) -> None:
    path.write_bytes(b"P5 40 32 65535\n" + (np.asarray(picture(path.name, mode="L")).astype(">u2") * 257).tobytes())


def rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(path.name).save(path, "JPEG", exif=exif)


def compressed_ycbcr(path: Path) -> None:
    picture(path.name).save(path, "TIFF", compression="jpeg")


def oriented_oddly(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "hello"
    data = bytearray(encoded(picture(path.name), "JPEG", exif=exif))
    data[data.index(b"MM\0*") + 11] = 0x01  # text where numbers should be
    path.write_bytes(data)


def lab(path: Path) -> None:
    from PIL import ImageCms

    there = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    ImageCms.applyTransform(picture(path.name), there).save(path, "TIFF")


def transparent_palette(path: Path) -> None:
    picture(path.name).quantize(16).save(path, "PNG", transparency=3)


def with_profile(path: Path) -> None:
    picture(path.name).save(path, "PNG", icc_profile=b"no profile at all")


def with_garbage_behind(path: Path) -> None:
    path.write_bytes(encoded(picture(path.name), "JPEG") + b"\0garbage" * 99)


def endless(path: Path) -> None:
    """A TIFF whose directory names itself as the next."""
    entries = {256: (40,), 257: (32,), 258: (8,), 259: (1,), 262: (1,), 277: (1,), 278: (32,)}
    path.write_bytes(tiff(entries, picture(path.name, mode="L").tobytes(), following=8))


def link_to_a_picture(path: Path) -> None:
    target = path.parents[4] / "elsewhere.png"  # beside the project
    picture(path.name).save(target)
    path.symlink_to(target)


def link_loop(path: Path) -> None:
    other = path.with_name("circle")
    other.symlink_to(path.name)
    path.symlink_to(other.name)


def link_to_a_folder(path: Path) -> None:
    target = path.parents[4] / "elsewhere"
    target.mkdir()
    picture("unseen").save(target / "unseen.png")
    path.symlink_to(target)


def listening(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)  # names of sockets must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


def unreadable(path: Path) -> None:
    saved("PNG")(path)
    path.chmod(0)


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**30 + 1)


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("x.txt", "x")
    return buffer.getvalue()


def huge_jpeg() -> bytes:
    frame = struct.pack(">BHHB", 8, 60000, 60000, 3) + bytes([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xd9"


def huge_webp() -> bytes:
    large = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16382).to_bytes(3, "little") * 2
    body = b"WEBP" + large + b"VP8L" + struct.pack("<I", 6) + b"\x2f\xff\xff\xff\x0f\0"
    return b"RIFF" + struct.pack("<I", len(body)) + body


BIG = (60000).to_bytes(4, "little")
TEXT_BOMB = zlib.compress(bytes(80 * 2**20), 9)

LIKE_ANY_OTHER = [
    Kind("plain.png", saved("PNG")),
    Kind("plain.jpg", saved("JPEG")),
    Kind("plain.bmp", saved("BMP")),
    Kind("plain.gif", saved("GIF")),
    Kind("plain.webp", saved("WEBP", lossless=True)),
    Kind("plain.tiff", saved("TIFF")),
    Kind("plain.ppm", saved("PPM")),
    Kind("grey.jpg", saved("JPEG", "L")),
    Kind("progressive.jpg", saved("JPEG", progressive=True)),
    Kind("cmyk.jpg", saved("JPEG", "CMYK")),
    Kind("cmyk.tif", saved("TIFF", "CMYK")),
    Kind("lab.tif", lab),
    Kind("ycbcr.tif", compressed_ycbcr),
    Kind("endless.tif", endless),
    Kind("of no frames.png", no_animation),  # Pillow warns
    Kind("lzw.tif", saved("TIFF", compression="tiff_lzw")),
    Kind("palette.png", saved("PNG", "P")),
    Kind("palette with a hole.png", transparent_palette),
    Kind("alpha.png", saved("PNG", "RGBA")),
    Kind("grey with alpha.png", saved("PNG", "LA")),
    Kind("one bit.png", saved("PNG", "1")),
    Kind("one bit.tif", saved("TIFF", "1", compression="group4")),
    Kind("grey of 16 bits.png", grey_of_sixteen_bits("PNG")),
    Kind("grey of 16 bits.tif", grey_of_sixteen_bits("TIFF")),
    Kind("grey of 16 bits, high byte first.tif", grey_of_sixteen_bits("TIFF", "I;16B", ">u2")),
    Kind("grey of 16 bits.ppm", sixteen_bits_ppm),
    Kind("colour of 16 bits.png", sixteen_bits_png),
    Kind("colour of 16 bits.tif", sixteen_bits_tiff),
    Kind("turned by exif.jpg", rotated),
    Kind("broken profile.png", with_profile),
    Kind("garbage behind.jpg", with_garbage_behind),
    Kind("two in one.jpg", frames("MPO", 2)),
    Kind("png in truth.jpg", saved("PNG")),
    Kind("jpeg in truth.png", saved("JPEG")),
    Kind("webp in truth.jpg", saved("WEBP")),
    Kind("CAPITALS.JPEG", saved("JPEG")),
    Kind("  spaces  .png", saved("PNG")),
    Kind("日本語 😀 ü.png", saved("PNG")),
    Kind("decomposed u\u0308.png", saved("PNG")),
    Kind("right to left \u202egnp.png", saved("PNG")),
    Kind("two\nlines\t.png", saved("PNG")),
    Kind('comma, "quote"; semicolon.png', saved("PNG")),
    Kind("-rf.png", saved("PNG")),
    Kind("=1+1.png", saved("PNG")),
    Kind(f"{'x' * 251}.png", saved("PNG")),
    Kind("deep/er/and deeper/down.png", saved("PNG")),
    Kind("link to a picture.png", link_to_a_picture),
]
if features.check("jpg_2000"):
    LIKE_ANY_OTHER.append(Kind("jpeg 2000 in truth.jpg", saved("JPEG2000")))
if features.check("avif"):
    LIKE_ANY_OTHER.append(Kind("avif in truth.png", saved("AVIF")))

NOTED = [
    Kind("moving.gif", frames("GIF"), "note", "3 frames or pages; the first is used"),
    Kind("moving.png", frames("PNG"), "note", "3 frames or pages; the first is used"),
    Kind("moving.webp", frames("WEBP"), "note", "3 frames or pages; the first is used"),
    Kind("pages.tif", frames("TIFF", 2), "note", "2 frames or pages; the first is used"),
    Kind("wide.png", saved("PNG", size=(200, 17)), "note", "200 x 17 px, pressed into a square by preprocess.mode"),
    Kind("tall.png", saved("PNG", size=(16, 999)), "note", "16 x 999 px, pressed into a square by preprocess.mode"),
    Kind("link to a folder", link_to_a_folder, "note", "a link to a folder is not followed"),
]

BAD = [
    Kind("empty.jpg", holding(b""), "bad", "empty file"),
    Kind("one byte.jpg", holding(b"\xff"), "bad", UNKNOWN),
    Kind("text.jpg", holding(b"hello, I am no picture"), "bad", UNKNOWN),
    Kind("text of 16 bits.png", holding("hello".encode("utf-16")), "bad", UNKNOWN),
    Kind("page.png", holding(b"<!DOCTYPE html><html><body>404</body></html>"), "bad", UNKNOWN),
    Kind("drawing.png", holding(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "bad", UNKNOWN),
    Kind("zip.jpg", holding(archive()), "bad", UNKNOWN),
    Kind("pdf.png", holding(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), "bad", UNKNOWN),
    Kind("film.jpg", holding(b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(99)), "bad", UNKNOWN),
    Kind("postscript.jpg", saved("EPS"), "bad", UNKNOWN),  # Pillow would start Ghostscript
    Kind("icon.png", saved("ICO"), "bad", UNKNOWN),
    Kind("targa.bmp", saved("TGA"), "bad", UNKNOWN),
    Kind("noise.tif", holding(np.random.default_rng(0).bytes(5000)), "bad", UNKNOWN),
    Kind("zeros.gif", holding(bytes(5000)), "bad", UNKNOWN),
    Kind("program.png", holding(b"\x7fELF\2\1\1" + bytes(99)), "bad", UNKNOWN),
    Kind("signature.png", holding(b"\x89PNG\r\n\x1a\n"), "bad", UNKNOWN),
    Kind("signature.jpg", holding(b"\xff\xd8\xff"), "bad", UNKNOWN),
    Kind("signature.gif", holding(b"GIF89a"), "bad", UNKNOWN),
    *(
        Kind(f"cut.{format_.lower()}", cut(format_), "bad", "damaged: ")
        for format_ in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
    ),
    Kind("cut in its header.jpg", cut("JPEG", 0.05), "bad", "damaged: "),
    Kind("its last bytes are missing.jpg", cut("JPEG", 0.97), "bad", "damaged: "),
    Kind("wrong checksum.png", changed("PNG", lambda data: data.__setitem__(20, data[20] ^ 1)), "bad", UNKNOWN),
    Kind(
        "pixels overwritten.png",
        changed("PNG", lambda data: data.__setitem__(slice(60, 90), bytes(30))),
        "bad",
        "damaged: ",
    ),
    Kind(
        "float.tif",
        lambda path: Image.fromarray(np.ones((32, 40), np.float32)).save(path),
        "bad",
        "mode F: 32-bit and float",
    ),
    Kind(
        "32 bits.tif",
        lambda path: Image.fromarray(np.ones((32, 40), np.int32)).save(path),
        "bad",
        "mode I: 32-bit and float",
    ),
    Kind("exif of a wrong type.jpg", oriented_oddly, "bad", "damaged: "),
    Kind("one pixel.png", saved("PNG", size=(1, 1)), "bad", "1 x 1 px, below preprocess.min_side of 16"),
    Kind("one pixel.gif", saved("GIF", size=(1, 1)), "bad", "1 x 1 px, below preprocess.min_side of 16"),
    Kind("thin.png", saved("PNG", size=(900, 2)), "bad", "900 x 2 px, below preprocess.min_side of 16"),
    Kind("almost.png", saved("PNG", size=(15, 40)), "bad", "15 x 40 px, below preprocess.min_side of 16"),
    Kind("huge.png", holding(png(60000, 60000, 8, 2, b"")), "bad", HUGE),
    Kind("huge.jpg", holding(huge_jpeg()), "bad", HUGE),
    Kind(
        "huge.gif", holding(b"GIF89a" + BIG[:2] * 2 + bytes(3) + b"," + bytes(4) + BIG[:2] * 2 + b"\0\x08\0;"), "bad", HUGE
    ),
    Kind("huge.bmp", changed("BMP", lambda data: data.__setitem__(slice(18, 26), BIG * 2)), "bad", HUGE),
    Kind("huge.ppm", holding(b"P6 60000 60000 255\n"), "bad", HUGE),
    Kind("huge.webp", holding(huge_webp()), "bad", HUGE),
    Kind(
        "huge.tif",
        holding(tiff({256: (60000,), 257: (60000,), 258: (8,), 259: (1,), 262: (1,), 277: (1,), 278: (60000,)}, b"")),
        "bad",
        HUGE,
    ),
    Kind(
        "huge icon.png",
        holding(b"\0\0\1\0\1\0" + bytes(4) + struct.pack("<HHII", 1, 32, 999, 22) + png(60000, 60000, 8, 2, b"")),
        "bad",
        UNKNOWN,
    ),
    Kind("huge claim.png", holding(png(13000, 13000, 8, 2, b"")), "bad", "damaged: "),  # not too huge to be believed
    Kind("huge claim.ppm", holding(b"P6 13000 13000 255\n"), "bad", "damaged: "),
    Kind(
        "huge text.png",
        holding(png(40, 32, 8, 0, bytes(41 * 32), chunk(b"zTXt", b"Comment\0\0" + TEXT_BOMB))),
        "bad",
        "damaged: ",
    ),
    Kind(
        "huge profile.png",
        holding(png(40, 32, 8, 0, bytes(41 * 32), chunk(b"iCCP", b"x\0\0" + TEXT_BOMB))),
        "bad",
        "damaged: ",
    ),
    Kind("huge file.jpg", sparse, "bad", "a file of 1,073,741,825 bytes; pictures have at most 1,073,741,824"),
    Kind("link to nothing.png", linked("nothing.png"), "bad", "cannot be read: a link that leads nowhere"),
    Kind("link to itself.png", linked("link to itself.png"), "bad", "cannot be read: Too many levels of symbolic links"),
    Kind("link in a circle.png", link_loop, "bad", "cannot be read: Too many levels of symbolic links"),
    Kind("link to a device.png", linked("/dev/null"), "bad", "not a regular file"),
    Kind("pipe.png", lambda path: os.mkfifo(path), "bad", "not a regular file"),
    Kind("socket.png", listening, "bad", "not a regular file"),
    Kind("no permission.png", unreadable, "bad", "cannot be read: Permission denied"),
    Kind(os.fsdecode(b"not UTF-8 \xe9.png"), saved("PNG"), "bad", "its name is not UTF-8; rename it"),
]

KINDS = [*LIKE_ANY_OTHER, *NOTED, *BAD]


# --- all of them through the stage ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What two runs of the stage left: one that stops at what is wrong, and one that goes on."""

    project: Path
    stopped: subprocess.CompletedProcess[str]
    went_on: subprocess.CompletedProcess[str]
    report: bytes  # of the first
    report_again: bytes
    seconds: float  # of processors' time, which does not grow beside other work

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.report.decode(), newline="")))

    def row(self, set_: str, file: str, problem: str) -> dict[str, str]:
        (row,) = (row for row in self.rows if (row["set"], row["file"], row["problem"]) == (set_, file, problem))
        return row


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stage(project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "stages/preprocess.py"],
        cwd=project,
        env=child_environment(project) | environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=drop,
        timeout=300,
    )


def fill(raw: Path) -> None:
    """Every kind in trainA, sound pictures elsewhere, and pictures that are twice there."""
    for kind in KINDS:
        path = raw / "trainA" / kind.name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind.make(path)
    for name, text in {"notes.txt": "x", "a.heic": "x", "deep/b.HEIC": "x", "none": "x", ".hidden.png": "x"}.items():
        (raw / "trainA" / name).write_text(text)
    (raw / "trainA/.cache").mkdir()
    (raw / "trainA/.cache/x.png").write_text("x")
    for name in ("trainB", "testA", "testB"):
        (raw / name).mkdir()
        for number in range(3):
            picture(f"{name}{number}").save(raw / name / f"{number}.png")
    (raw / "trainB/twin.png").write_bytes((raw / "trainA/plain.png").read_bytes())
    picture("plain.tiff").save(raw / "trainA/plain again.png")
    picture("plain.bmp").resize((80, 64)).save(raw / "testA/larger.jpg")
    ImageOps.mirror(picture("plain.webp")).save(raw / "testB/mirrored.png")
    source = dict.fromkeys(("name", "domain_A", "domain_B", "licence", "attribution"), "x")
    (raw / "source.json").write_text(json.dumps(source | {"paired_test": False}))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    project = copy_project(tmp_path_factory.mktemp("bad") / "project")
    fill(project / "data/raw")
    set_params(project, {"dataset.on_bad_image": "error", "dataset.on_leak": "error"})
    started = children_seconds()
    stopped = stage(project)
    assert (project / "reports/problems.csv").exists(), stopped.stderr
    report = (project / "reports/problems.csv").read_bytes()
    assert not (project / "data/prepared").exists()
    set_params(project, {"dataset.on_bad_image": "skip", "dataset.on_leak": "report"})
    went_on = stage(project, PYTHONIOENCODING="ascii")
    again = (project / "reports/problems.csv").read_bytes()
    return Outcome(project, stopped, went_on, report, again, children_seconds() - started)


def printed(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def test_there_are_many_kinds() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 60


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: printed(kind.name).encode("unicode_escape").decode()[:60])
def test_every_kind_has_its_verdict_and_reason(outcome: Outcome, kind: Kind) -> None:
    file = printed(kind.name)
    rows = [row for row in outcome.rows if (row["set"], row["file"], row["other"]) == ("trainA", file, "")]
    assert [row["problem"] for row in rows] == [kind.problem] * (kind.problem != "")
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in file)
    lines = [line for line in outcome.stopped.stdout.splitlines() if f" data/raw/trainA/{shown}  " in line]
    for row in rows:
        assert row["detail"].startswith(kind.reason)
        (line,) = lines
        assert line.startswith(f"{kind.problem} ")
        assert line.endswith(f"  {row['detail']}")


def test_both_failures_come_after_the_whole_report_in_one_message(outcome: Outcome) -> None:
    bad, pictures = len(BAD), len(LIKE_ANY_OTHER) + len(NOTED) - 1 + len(BAD) + 1 + 10 + 2  # a link to a folder is none
    assert outcome.stopped.returncode == 1
    first, second = outcome.stopped.stderr.splitlines()
    assert first == (
        f"error: {bad} of {pictures} pictures cannot be used; mend or remove them at their source, or set "
        f"dataset.on_bad_image to skip in params.yaml"
    )
    assert second == (
        f"3 of {pictures} pictures lie in another set, too; remove them at their source, or set dataset.on_leak to report "
        f"in params.yaml"
    )
    *table, last = outcome.stopped.stdout.splitlines()
    assert table[0].split() == ["problem", "file", "detail", "other"]
    assert len(table) - 1 == len(outcome.rows)
    counts = pd.Series([row["problem"] for row in outcome.rows]).value_counts()
    assert dict(counts) == {"bad": bad, "leak": 3, "note": len(NOTED) + 1 + 3}
    assert last == f"{bad} bad, 3 leaks, {len(NOTED) + 4} notes: reports/problems.csv"


def test_leaks_and_twins_name_the_other_picture(outcome: Outcome) -> None:
    found = {(row["set"], row["file"]): (row["detail"], row["other"]) for row in outcome.rows if row["other"]}
    assert found == {
        ("trainA", "plain.tiff"): ("the same pixels, twice in its set", "trainA/plain again.png"),
        ("trainB", "twin.png"): ("the same file, in both domains", "trainA/plain.png"),
        ("testA", "larger.jpg"): ("nearly the same picture, in training and test", "trainA/plain.bmp"),
        ("testB", "mirrored.png"): (
            "nearly the same picture, mirrored, in training and test, of different domains",
            "trainA/plain.webp",
        ),
    }


def test_files_without_a_pictures_suffix_are_counted_and_named(outcome: Outcome) -> None:
    assert outcome.row("trainA", "*.heic", "note")["detail"] == (
        "2 files without a picture's suffix left out: a.heic, deep/b.HEIC"
    )
    assert outcome.row("trainA", "*.txt", "note")["detail"] == "1 file without a picture's suffix left out: notes.txt"
    assert outcome.row("trainA", "*", "note")["detail"].startswith("2 files without a picture's suffix left out: circle")
    assert "hidden" not in outcome.report.decode()
    assert "cache" not in outcome.report.decode()


def test_bad_pictures_can_be_left_out_on_a_screen_that_knows_no_letters(outcome: Outcome) -> None:
    assert outcome.went_on.returncode == 0, outcome.went_on.stderr
    assert outcome.went_on.stderr == ""
    assert outcome.went_on.stdout.isascii()
    assert outcome.report_again == outcome.report
    manifest = pd.read_csv(outcome.project / "data/prepared/manifest.csv", keep_default_na=False)
    good = {kind.name for kind in (*LIKE_ANY_OTHER, *NOTED) if kind.name != "link to a folder"} | {"plain again.png"}
    assert set(manifest["file"][(manifest["split"] == "train") & (manifest["domain"] == "A")]) == good
    assert (manifest["split"] == "test").sum() == 8
    skipped = json.loads((outcome.project / "data/prepared/dataset.json").read_text(encoding="utf-8"))["skipped"]
    assert {name for name, _ in skipped} == {f"data/raw/trainA/{printed(kind.name)}" for kind in BAD}


def test_nothing_looks_like_a_crash_or_a_warning(outcome: Outcome) -> None:
    for done in (outcome.stopped, outcome.went_on):
        for word in ("Traceback", "Warning", "PIL", "0x"):
            assert word not in done.stdout + done.stderr
    assert outcome.report.decode().count("\r") == 0
    assert outcome.seconds < 40  # 8 on two cores of 2026


# --- very many, and very large ----------------------------------------------------------------------------------------


def test_thousands_of_bad_files_are_all_reported_in_seconds(tmp_path: Path, make_config: Callable[..., Config]) -> None:
    sorts = {"empty": b"", "text": b"hello", "cut": encoded(picture("x"), "PNG")[:200]}
    for name in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / name).mkdir()
        picture(name).save(tmp_path / name / "good.png")
    for number in range(750):
        for sort, data in sorts.items():
            (tmp_path / "trainA" / f"{sort}{number}.png").write_bytes(data)
        (tmp_path / "testB" / f"link{number}.png").symlink_to("nowhere")
    started = time.process_time()
    report = inspection.inspect(tmp_path, make_config(), paired_test=False)
    assert time.process_time() - started < 20  # 1 on two cores of 2026
    assert len(report.bad) == len(report.problems) == 3000
    assert {(row.set, row.file) for row in report.problems} == {
        *(("trainA", f"{sort}{number}.png") for sort in sorts for number in range(750)),
        *(("testB", f"link{number}.png") for number in range(750)),
    }
    assert {name: (entry.pictures, entry.usable) for name, entry in report.sets.items()} == {
        "trainA": (2251, 1),
        "testA": (1, 1),
        "trainB": (1, 1),
        "testB": (751, 1),
    }
    (failure,) = report.failures
    assert failure.startswith("3000 of 3004 pictures cannot be used;")


MEASURE = """
import resource, sys, time
from pathlib import Path
from cyclegan import images

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

for path in sorted(Path(sys.argv[1]).iterdir()):
    before, started = peak(), time.process_time()
    try:
        images.decode(images.fetch(path), 1)
        verdict = "good"
    except images.BadImageError as error:
        verdict = str(error)
    print(path.name, round(time.process_time() - started, 2), round(peak() - before), verdict, sep="|")
"""


def test_claims_of_size_cost_no_time_and_no_memory_and_large_pictures_no_warning(tmp_path: Path) -> None:
    kinds = {kind.name: kind for kind in BAD if kind.name.startswith("huge")}
    for kind in kinds.values():
        kind.make(tmp_path / kind.name)
    large = Image.new("1", (9500, 9500), 1)  # beyond the size at which Pillow warns
    large.save(tmp_path / "large.png")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)],
        env=child_environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    lines = [line.split("|") for line in done.stdout.splitlines()]
    assert len(lines) == len(kinds) + 1 >= 11
    for name, seconds, megabytes, verdict in lines:
        if name == "large.png":
            assert verdict == "good"
            assert int(megabytes) < 600
        else:
            assert verdict.startswith(kinds[name].reason)
            assert float(seconds) < 1
            assert int(megabytes) < 20
