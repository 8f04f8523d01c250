"""Files become the right arrays or one BadImageError, and arrays become the same files again."""

import io
import os
import random
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from cyclegan import images
from cyclegan.images import BadImageError, Pixels

RNG = np.random.default_rng(0)
COLOUR: Pixels = RNG.integers(0, 256, (24, 20, 3), dtype=np.uint8)
GREY: Pixels = RNG.integers(0, 256, (24, 20, 1), dtype=np.uint8)
LOSSLESS = (".bmp", ".png", ".ppm", ".tif", ".tiff")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def encoded(image: Image.Image | Pixels, format_: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, format_, **options)
    return buffer.getvalue()


def decoded(data: bytes, channels: int = 3, background: tuple[int, int, int] = (255, 255, 255)) -> Pixels:
    pixels = images.decode(data, channels, background)[0]
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == channels
    return pixels


def levels(height: int, width: int, channels: int) -> Pixels:
    return np.random.default_rng(height).integers(0, 256, (height, width, channels), dtype=np.uint8)


def grey_of(rgb: Pixels) -> Pixels:
    """ITU-R 601-2 luma, as Pillow documents its conversion to L."""
    return np.round(rgb.astype(float) @ (0.299, 0.587, 0.114))[..., None]


# --- orientation ------------------------------------------------------------------------------------------------------

STORED = {  # how a camera stores a picture so that the EXIF orientation puts it right
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[:, ::-1],
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(("format_", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_every_orientation_is_put_right(format_: str, options: dict[str, bool], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(np.ascontiguousarray(STORED[orientation](COLOUR)), format_, exif=exif, **options)
    pixels, original = images.decode(data, 3)
    np.testing.assert_array_equal(pixels, COLOUR)
    assert (original.width, original.height, original.mode) == (20, 24, "RGB")


@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_of_a_jpeg(orientation: int) -> None:
    blocks = COLOUR[:3, :2].repeat(16, axis=0).repeat(16, axis=1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(np.ascontiguousarray(STORED[orientation](blocks)), "JPEG", exif=exif, quality=100, subsampling=0)
    assert np.abs(decoded(data).astype(int) - blocks).mean() < 2


@pytest.mark.parametrize("tag", range(0x0100, 0x0111))
def test_an_exif_entry_of_the_wrong_type_does_no_harm(tag: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "hello"
    data = bytearray(encoded(COLOUR, "JPEG", exif=exif))
    data[data.index(b"MM\0*") + 11] = tag & 0xFF  # text where most tags want numbers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's word on it
        try:
            pixels = decoded(bytes(data))
        except BadImageError:
            return
    assert sorted(pixels.shape) == [3, 20, 24]


# --- transparency -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (10, 200, 90)])
@pytest.mark.parametrize(("format_", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})])
def test_alpha_is_composited_on_the_background(
    format_: str, options: dict[str, bool], background: tuple[int, int, int]
) -> None:
    alpha = RNG.integers(0, 256, (24, 20, 1), dtype=np.uint8)
    alpha[:8], alpha[8:12] = 0, 255
    pixels = decoded(encoded(np.concatenate([COLOUR, alpha], axis=2), format_, **options), background=background)
    share = alpha / 255
    assert np.abs(pixels - (share * COLOUR + (1 - share) * background)).max() <= 1
    assert (pixels[:8] == background).all()
    np.testing.assert_array_equal(pixels[8:12], COLOUR[8:12])


def test_grey_with_alpha_is_composited_too() -> None:
    alpha = np.linspace(0, 255, 480).astype(np.uint8).reshape(24, 20, 1)
    data = encoded(Image.merge("LA", [Image.fromarray(GREY[..., 0]), Image.fromarray(alpha[..., 0])]))
    share = alpha / 255
    for channels in (1, 3):
        pixels = decoded(data, channels, (100, 100, 100))
        assert np.abs(pixels - (share * GREY + (1 - share) * 100)).max() <= 1.01


@pytest.mark.parametrize("format_", ["PNG", "GIF"])
def test_a_transparent_palette_entry_shows_the_background(format_: str) -> None:
    palette = Image.new("P", (4, 2))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.putdata([0, 1, 2, 0, 1, 1, 2, 2])
    pixels = decoded(encoded(palette, format_, transparency=1), background=(7, 8, 9))
    red, hole, blue = [255, 0, 0], [7, 8, 9], [0, 0, 255]
    assert pixels.tolist() == [[red, hole, blue, red], [hole, hole, blue, blue]]


def test_a_transparent_colour_shows_the_background() -> None:
    rgb = np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8)
    assert decoded(encoded(rgb, transparency=(1, 2, 3)), background=(9, 9, 9)).tolist() == [[[9, 9, 9], [4, 5, 6]]]


# --- modes and depths -------------------------------------------------------------------------------------------------


def test_greyscale_and_colour_either_way() -> None:
    grey, colour = encoded(GREY[..., 0]), encoded(COLOUR)
    np.testing.assert_array_equal(decoded(grey, 1), GREY)
    np.testing.assert_array_equal(decoded(grey, 3), GREY.repeat(3, axis=2))
    np.testing.assert_array_equal(decoded(colour, 3), COLOUR)
    assert np.abs(decoded(colour, 1) - grey_of(COLOUR)).max() <= 1
    assert images.decode(grey, 3)[1].mode == "L"


def test_black_and_white_pictures() -> None:
    bits = Image.fromarray(GREY[..., 0] > 127)
    assert bits.mode == "1"
    np.testing.assert_array_equal(decoded(encoded(bits), 1), (GREY > 127) * np.uint8(255))


def test_a_palette_picture_has_its_palettes_colours() -> None:
    palette = Image.fromarray(COLOUR).quantize(16)
    np.testing.assert_array_equal(decoded(encoded(palette)), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize(("format_", "options"), [("TIFF", {}), ("JPEG", {"quality": 100, "subsampling": 0})])
def test_cmyk(format_: str, options: dict[str, int]) -> None:
    ink = np.zeros((16, 64, 4), dtype=np.uint8)  # none, cyan, magenta, black
    ink[:, 16:32, 0] = ink[:, 32:48, 1] = ink[:, 48:, 3] = 255
    pixels = decoded(encoded(Image.frombytes("CMYK", (64, 16), ink.tobytes()), format_, **options)).astype(int)
    for left, colour in ((0, (255, 255, 255)), (16, (0, 255, 255)), (32, (255, 0, 255)), (48, (0, 0, 0))):
        assert np.abs(pixels[:, left : left + 16] - colour).max() <= 3


@pytest.mark.parametrize("channels", [1, 3])
def test_lab_pictures_are_converted(channels: int) -> None:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.applyTransform(
        Image.new("RGB", (9, 8), (200, 30, 60)), ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    )
    pixels = decoded(encoded(image, "TIFF"), channels).astype(int)
    wanted = (200, 30, 60) if channels == 3 else (84,)
    assert np.abs(pixels - wanted).max() <= 5


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_sixteen_bits_are_rounded_to_eight(format_: str) -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    data = encoded(levels, format_)
    assert images.decode(data, 1)[1].mode.startswith("I;16")
    pixels = decoded(data, 1)[..., 0]
    assert (pixels.flat[0], pixels.flat[32768], pixels.flat[65535]) == (0, 128, 255)
    np.testing.assert_array_equal(pixels, np.round(levels / 65535 * 255))
    np.testing.assert_array_equal(decoded(data, 3), pixels[..., None].repeat(3, axis=2))


def test_sixteen_bits_with_the_high_byte_first() -> None:
    levels = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
    big = Image.frombytes("I;16B", (7, 5), levels.astype(">u2").tobytes())
    data = encoded(big, "TIFF")
    assert images.decode(data, 1)[1].mode == "I;16B"
    np.testing.assert_array_equal(decoded(data, 1)[..., 0], np.round(levels / 257))


def test_sixteen_bits_in_which_zero_is_white() -> None:
    levels = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for depth, wanted in ((levels, 255 - np.round(levels / 257)), ((levels >> 8).astype(np.uint8), 255 - (levels >> 8))):
        data = bytearray(encoded(depth, "TIFF", tiffinfo=info))
        place = data.index((262).to_bytes(2, "little") + b"\x03\x00") + 8
        data[place : place + 2] = bytes(2)
        np.testing.assert_array_equal(decoded(bytes(data), 1)[..., 0], wanted)


def test_sixteen_bits_of_a_netpbm_file() -> None:
    levels = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)
    data = b"P5 7 5 65535\n" + levels.astype(">u2").tobytes()
    np.testing.assert_array_equal(decoded(data, 1)[..., 0], np.round(levels / 257))


def test_sixteen_bits_of_colour_are_within_a_level_of_eight() -> None:
    levels = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    wanted = levels / 257
    rows = b"".join(b"\0" + row.tobytes() for row in levels.astype(">u2"))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 7, 5, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in parts:
        data += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    assert np.abs(decoded(data, 3) - wanted).max() <= 1
    np.testing.assert_array_equal(decoded(data, 3), levels >> 8)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_depths_without_an_agreed_range_are_refused(kind: type) -> None:
    data = encoded(Image.fromarray(np.full((5, 7), 0.5 if kind is np.float32 else 70000, dtype=kind)), "TIFF")
    for channels in (1, 3):
        with pytest.raises(BadImageError, match="32-bit and float"):
            images.decode(data, channels)


def test_of_an_animation_the_first_frame_is_used() -> None:
    frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "blue")]
    for format_, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        data = encoded(frames[0], format_, save_all=True, append_images=frames[1:], **options)
        assert (decoded(data) == (255, 0, 0)).all()
        assert images.decode(data, 3)[1].frames == 2
        assert images.decode(encoded(frames[0], format_), 3)[1].frames == 1


def test_the_second_picture_in_a_cameras_file_is_no_frame() -> None:
    frames = [Image.new("RGB", (16, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    pixels, original = images.decode(data, 3)
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 2
    assert original.frames == 1


# --- bad files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"hello, this is no picture", b"\x89PNG\r\n\x1a\n", b"<svg/>", b"\0" * 100])
def test_what_is_no_picture(data: bytes) -> None:
    with pytest.raises(BadImageError):
        images.decode(data, 3)


def test_an_empty_file() -> None:
    with pytest.raises(BadImageError, match="empty file"):
        images.decode(b"", 3)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("format_", FORMATS)
def test_a_truncated_file_is_bad(format_: str, share: float) -> None:
    data = encoded(COLOUR, format_)
    assert decoded(data).shape == COLOUR.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(BadImageError):
            images.decode(data[: int(share * len(data))], 3)


@pytest.mark.parametrize("format_", FORMATS)
def test_damage_gives_a_picture_or_one_error(format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)  # damaged sizes cost no memory
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "hello"
    good = (
        encoded(COLOUR[:8, :6], format_, exif=exif)
        if format_ in ("JPEG", "PNG", "WEBP")
        else encoded(COLOUR[:8, :6], format_)
    )
    chance = random.Random(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for round_ in range(600):
            data = bytearray(good)
            for _ in range(1 + round_ % 3):
                data[chance.randrange(min(len(data), 80) if round_ % 2 else len(data))] = chance.randrange(256)
            try:
                decoded(bytes(data))
            except BadImageError as error:
                assert str(error)  # noqa: PT017


def test_a_decompression_bomb_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("1", (100, 81)))
    assert decoded(data).shape == (81, 100, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with pytest.raises(BadImageError, match="more than 8,000 pixels"):
        images.decode(data, 3)


def test_a_tiff_that_claims_to_be_huge_is_bad() -> None:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "TIFF", tiffinfo=TiffImagePlugin.ImageFileDirectory_v2())
    data = bytearray(buffer.getvalue())
    for tag in (256, 257):  # width and height
        place = data.index(tag.to_bytes(2, "little") + b"\x04\x00")
        data[place + 8 : place + 12] = (200_000).to_bytes(4, "little")
    with pytest.raises(BadImageError):
        images.decode(bytes(data), 1)


@pytest.mark.parametrize("format_", ["EPS", "TGA", "PCX", "ICO", "SGI"])
def test_formats_of_no_use_are_not_even_tried(format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(COLOUR, format_)
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", None)  # called, it would be another error
    with pytest.raises(BadImageError, match="not a picture in a known format"):
        images.decode(data, 3)


def test_reasons_name_no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(f"cannot do\n this with {io.BytesIO()!r}")

    monkeypatch.setattr("PIL.ImageOps.exif_transpose", fail)
    with pytest.raises(BadImageError, match=r"^damaged: cannot do this with the file$"):
        images.decode(encoded(COLOUR), 3)


def test_too_little_memory_is_not_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageOps.exif_transpose", fail)
    with pytest.raises(BadImageError, match=r"^needs more memory than there is$"):
        images.decode(encoded(COLOUR), 3)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "is_one"), [("a.jpg", True), ("A.JPEG", True), ("x.y.Tiff", True), ("a.txt", False), ("png", False)]
)
def test_names_of_pictures(name: str, is_one: bool) -> None:
    assert images.is_picture(Path("folder.png") / name) == is_one


def test_pictures_below_a_folder_are_all_that_are_named_so_whether_they_can_be_read_or_not(tmp_path: Path) -> None:
    there = ["b.png", "a/c.JPG", "a/b/d.gif"]
    for name in (*there, ".hidden.png", ".hidden/e.png", "notes.txt", "elsewhere/f.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    (tmp_path / "in/elsewhere").rename(tmp_path / "elsewhere")
    (tmp_path / "in/folder.png").mkdir()
    (tmp_path / "in/linked.png").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/lost.png").symlink_to("nowhere")
    (tmp_path / "in/circle.png").symlink_to("circle.png")
    found = {path.relative_to(tmp_path / "in").as_posix() for path in images.below(tmp_path / "in")}
    assert found == {*there, "lost.png", "circle.png"}
    assert images.left_out(tmp_path / "in") == {
        "*.txt": "1 file without a picture's suffix left out: notes.txt",
        "linked.png": "a link to a folder is not followed",
    }
    assert images.below(tmp_path / "none") == []
    assert images.left_out(tmp_path / "none") == {}


def test_of_many_files_left_out_ten_are_named(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / f"{number:02d}.avi").touch()
    said = images.left_out(tmp_path)["*.avi"]
    assert said.startswith("25 files without a picture's suffix left out: 00.avi, 01.avi,")
    assert said.endswith("09.avi and 15 more")


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # to open it would wait for ever
    for name, target in {"null.png": "/dev/null", "folder.png": "."}.items():
        (tmp_path / name).symlink_to(target)
    for path in tmp_path.iterdir():
        with pytest.raises(BadImageError, match="not a regular file"):
            images.fetch(path)


def test_names_that_are_not_utf_8_can_be_written() -> None:
    assert images.printable(os.fsdecode(b"a\xe9/\xc3\xa9.png")) == "a\\xe9/é.png"


@pytest.mark.parametrize("suffix", [*LOSSLESS, ".PNG"])
@pytest.mark.parametrize("pixels", [COLOUR, GREY, COLOUR[:1, :1], GREY[:1]], ids=["colour", "grey", "dot", "row"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, suffix: str, pixels: Pixels) -> None:
    path = tmp_path / f"x{suffix}"
    images.write(path, pixels)
    np.testing.assert_array_equal(images.read(path, pixels.shape[2]), pixels)


@pytest.mark.parametrize("suffix", sorted(images.SUFFIXES))
@pytest.mark.parametrize("pixels", [COLOUR, GREY], ids=["colour", "grey"])
def test_every_format_is_written_twice_the_same_and_comes_back_alike(tmp_path: Path, suffix: str, pixels: Pixels) -> None:
    smooth = images.resize(pixels[:3, :3], 24, 20)
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        images.write(path, smooth)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    back = images.read(paths[0], pixels.shape[2]).astype(int)
    assert back.shape == smooth.shape
    assert np.abs(back - smooth).mean() < 6


# --- sizes and ranges -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(7, 9), (12, 10), (24, 40), (50, 3), (1, 1)])
@pytest.mark.parametrize("pixels", [COLOUR, GREY], ids=["colour", "grey"])
def test_resizing_is_pillows_bicubic(pixels: Pixels, size: tuple[int, int]) -> None:
    height, width = size
    resized = images.resize(pixels, height, width)
    assert resized.shape == (height, width, pixels.shape[2])
    for channel in range(pixels.shape[2]):
        wanted = Image.fromarray(pixels[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(resized[..., channel], np.asarray(wanted))


def test_resizing_is_antialiased_and_does_nothing_at_the_same_size() -> None:
    stripes = np.zeros((64, 64, 1), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(images.resize(stripes, 64, 8)[:, 1:-1].astype(int) - 127).max() <= 2
    assert images.resize(COLOUR, 24, 20) is COLOUR


# --- grids ------------------------------------------------------------------------------------------------------------


def cells(canvas: Pixels, rows: int, columns: int, size: tuple[int, int], gap: int, factor: int) -> list[Pixels]:
    """Cut a sheet into its pictures, reduced to their own size."""
    height, width = size
    small = canvas[::factor, ::factor]
    np.testing.assert_array_equal(small.repeat(factor, axis=0).repeat(factor, axis=1), canvas)
    assert small.shape == (gap + rows * (height + gap), gap + columns * (width + gap), 3)
    corners = [(gap + r * (height + gap), gap + c * (width + gap)) for r in range(rows) for c in range(columns)]
    return [small[y : y + height, x : x + width] for y, x in corners]


@pytest.mark.parametrize(("size", "factor"), [((32, 32), 4), ((30, 43), 2), ((20, 128), 1), ((9, 200), 1), ((8, 1), 128)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_holds_the_pictures_in_reading_order(size: tuple[int, int], factor: int, channels: int) -> None:
    pixels = RNG.integers(0, 255, (5, *size, channels), dtype=np.uint8)
    canvas = images.sheet(list(pixels), columns=2, gap=3)
    found = cells(canvas, 3, 2, size, 3, factor)
    for picture, cell in zip(pixels, found[:5], strict=True):
        np.testing.assert_array_equal(cell, np.broadcast_to(picture, (*size, 3)))
    assert (found[5] == 255).all()


def test_a_grid_has_a_column_a_label_and_a_row_an_index() -> None:
    colour = RNG.integers(0, 255, (3, 40, 50, 3), dtype=np.uint8)
    grey = RNG.integers(0, 255, (3, 40, 50, 1), dtype=np.uint8)
    canvas = images.grid({"real": colour, "fake": grey})
    label, rest = canvas[: images.LABEL_HEIGHT], canvas[images.LABEL_HEIGHT :]
    found = cells(rest, 3, 2, (40, 50), 2, 2)
    for row in range(3):
        np.testing.assert_array_equal(found[2 * row], colour[row])
        np.testing.assert_array_equal(found[2 * row + 1], grey[row].repeat(3, axis=2))
    middle = label.shape[1] // 2
    assert label.shape[1] == rest.shape[1]
    assert (label[:, :middle] < 128).any()
    assert (label[:, middle:] < 128).any()
    ink = np.flatnonzero((label[:, :middle] < 128).any(axis=(0, 2)))
    assert abs((ink[0] + ink[-1]) / 2 - (2 + 25) * 2) <= 4  # the label stands over its column's middle


def on_white(pixels: Pixels, side: int) -> Pixels:
    height, width, channels = pixels.shape
    canvas = np.full((side, side, channels), 255, np.uint8)
    canvas[(side - height) // 2 :][:height, (side - width) // 2 :][:, :width] = pixels
    return canvas


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_sizes_fit_into_cells_of_the_largest_centred_on_white(channels: int) -> None:
    pictures = [levels(*size, channels) for size in ((20, 31), (31, 9), (1, 1), (10, 10))]
    for cell, pixels in zip(images.fit(pictures), pictures, strict=True):
        np.testing.assert_array_equal(cell, on_white(pixels, 31))


@pytest.mark.parametrize(
    ("size", "reduced"),
    [
        ((128, 128), (128, 128)),
        ((129, 128), (128, 127)),
        ((256, 256), (128, 128)),
        ((300, 400), (96, 128)),
        ((640, 10), (128, 2)),
        ((5, 2000), (1, 128)),  # never thinner than a pixel
        ((40, 64), (40, 64)),  # none is enlarged, also beside larger ones
    ],
)
def test_pictures_above_the_size_of_a_cell_are_reduced_to_it_with_their_shape_kept(
    size: tuple[int, int], reduced: tuple[int, int]
) -> None:
    pixels = levels(*size, 3)
    cells = images.fit([pixels, levels(130, 130, 3)])
    assert [cell.shape for cell in cells] == [(128, 128, 3)] * 2
    by_pillow = Image.fromarray(pixels).resize(reduced[::-1], Image.Resampling.BICUBIC) if size != reduced else pixels
    np.testing.assert_array_equal(cells[0], on_white(np.asarray(by_pillow), 128))


def test_pictures_of_one_size_below_a_cell_are_stacked_as_they_are() -> None:
    pictures = [levels(36, 36, 3) + np.uint8(shift) for shift in range(3)]
    np.testing.assert_array_equal(images.fit(pictures), pictures)
