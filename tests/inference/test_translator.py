"""Pictures of any size come out with their names and sizes, as the network by hand would make them, or a clear error."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from PIL import Image

from cyclegan import images
from cyclegan.errors import UserError
from cyclegan.export.formats import Shape, export_onnx
from cyclegan.inference import translator
from cyclegan.inference.translator import Translator, translate_files
from cyclegan.models import weights
from cyclegan.models.specs import GeneratorSpec

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
# Without (1, 1): instance norm turns the rounding errors of a picture of one colour into differences that can be seen.
SIZES = [(1, 9), (2, 2), (3, 50), (5, 300), (7, 8), (8, 8), (13, 21), (37, 41), (64, 48)]


def picture(height: int, width: int, channels: int = 3) -> images.Pixels:
    return RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)


def network(channels_in: int, channels_out: int) -> torch.nn.Module:
    return made("resnet_6blocks", channels_in, channels_out)[0]


def made(architecture: str, channels_in: int = 3, channels_out: int = 3) -> tuple[torch.nn.Module, GeneratorSpec]:
    """A generator and its spec, the same each time."""
    spec = GeneratorSpec(
        direction="G_AB",
        netG=architecture,
        ngf=4,
        norm="instance",
        dropout=False,
        channels_in=channels_in,
        channels_out=channels_out,
        size=64,
        train_key="0" * 64,
        weights="raw",
    )
    torch.manual_seed(0)
    return spec.build().eval(), spec


def save(folder: Path, channels_in: int = 3, channels_out: int = 3, architecture: str = "resnet_6blocks") -> Path:
    generator, spec = made(architecture, channels_in, channels_out)
    weights.save(folder, generator.state_dict(), spec)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model") / "G_AB")


@pytest.fixture(scope="module")
def loaded(model: Path) -> Translator:
    return translator.load(model, CPU)


@pytest.fixture(scope="module")
def onnx_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "generator.onnx"
    export_onnx(network(3, 3), Shape(3, 4, 8), 18, path)
    return path


@pytest.fixture(scope="module")
def unets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Translator]:
    """A U-Net as a folder and as ONNX."""
    folder = tmp_path_factory.mktemp("unet")
    generator, spec = made("unet_128")
    export_onnx(generator, Shape(3, spec.stride, spec.smallest), 18, folder / "generator.onnx")
    paths = {"folder": save(folder / "G_AB", architecture="unet_128"), "onnx": folder / "generator.onnx"}
    return {kind: translator.load(path, CPU) for kind, path in paths.items()}


def mirrored(index: int, size: int) -> int:
    """Where reflection without repeating the edge finds the pixel `index` of a row of `size`."""
    if size == 1:
        return 0
    index %= 2 * (size - 1)
    return min(index, 2 * (size - 1) - index)


def by_hand(pixels: images.Pixels, generator: torch.nn.Module, stride: int = 4, smallest: int = 8) -> images.Pixels:
    height, width = pixels.shape[:2]
    rows = [mirrored(y, height) for y in range(max(smallest, (height + stride - 1) // stride * stride))]
    columns = [mirrored(x, width) for x in range(max(smallest, (width + stride - 1) // stride * stride))]
    padded = torch.from_numpy(pixels[rows][:, columns].transpose(2, 0, 1).astype(np.float32)) / 127.5 - 1
    with torch.no_grad():
        output = generator(padded[None])[0, :, :height, :width].numpy().transpose(1, 2, 0)
    return np.round((output + 1) * 127.5).astype(np.uint8)


def results(*arguments: object) -> dict[str, str | None]:
    return {path.name: problem for path, problem in translate_files(*arguments)}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- one picture ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_network_on_a_reflected_picture(loaded: Translator, size: tuple[int, int]) -> None:
    pixels = picture(*size)
    output = loaded(pixels)
    assert output.shape == pixels.shape
    assert output.dtype == np.uint8
    # A memory format or thread count may move a value across a rounding edge, no further.
    assert np.abs(output.astype(int) - by_hand(pixels, network(3, 3))).max() <= 1
    assert (output != by_hand(pixels, network(3, 3))).mean() <= 0.02


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([(4, 8), (4, 4), (1, 1), (16, 16), (2, 6)]))
def test_every_size_is_kept_and_nothing_else_is_resized(height: int, width: int, takes: tuple[int, int]) -> None:
    seen: list[torch.Tensor] = []
    stride, smallest = takes

    def keep(pictures: torch.Tensor) -> torch.Tensor:
        seen.append(pictures)
        return -pictures

    pixels = picture(height, width)
    np.testing.assert_array_equal(Translator(keep, 3, stride, smallest)(pixels), 255 - pixels)
    for got, needed in zip(seen[0].shape[2:], (height, width), strict=True):
        assert got == min(side for side in range(smallest, 99) if side % stride == 0 and side >= needed)


def test_a_single_pixel_stays_one(loaded: Translator) -> None:
    assert loaded(picture(1, 1)).shape == (1, 1, 3)


@pytest.mark.parametrize(("channels_in", "channels_out"), [(1, 1), (1, 3), (3, 1)])
def test_greyscale_generators(tmp_path: Path, channels_in: int, channels_out: int) -> None:
    loaded = translator.load(save(tmp_path / "G", channels_in, channels_out), CPU)
    assert loaded.channels == channels_in
    images.write(tmp_path / "x.png", picture(13, 10))
    assert results(loaded, tmp_path / "x.png", tmp_path / "y.png") == {"x.png": None}
    with Image.open(tmp_path / "y.png") as written:
        assert (written.mode, written.size) == ({1: "L", 3: "RGB"}[channels_out], (10, 13))
    wanted = by_hand(images.read(tmp_path / "x.png", channels_in), network(channels_in, channels_out))
    assert np.abs(images.read(tmp_path / "y.png", channels_out).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("size", SIZES)
def test_onnx_and_folder_agree(loaded: Translator, onnx_model: Path, size: tuple[int, int]) -> None:
    pixels = picture(*size)
    difference = np.abs(translator.load(onnx_model, CPU)(pixels).astype(int) - loaded(pixels))
    assert difference.max() <= 1
    assert difference.mean() <= 0.02


@pytest.mark.parametrize("size", [(50, 70), (128, 128), (129, 31), (1, 9)])
@pytest.mark.parametrize("kind", ["folder", "onnx"])
def test_a_unet_takes_pictures_of_odd_sizes_too(unets: dict[str, Translator], kind: str, size: tuple[int, int]) -> None:
    unet = unets[kind]
    assert (unet.channels, unet.stride, unet.smallest) == (3, 128, 128)
    pixels = picture(*size)
    output = unet(pixels)
    assert output.shape == pixels.shape
    wanted = by_hand(pixels, made("unet_128")[0], stride=128, smallest=128)
    assert np.abs(output.astype(int) - wanted).max() <= 1
    assert (output != wanted).mean() <= 0.02
    assert output.std() > 5  # not all alike


def test_a_resnet_says_what_it_takes(loaded: Translator, onnx_model: Path) -> None:
    for one in (loaded, translator.load(onnx_model, CPU)):
        assert (one.channels, one.stride, one.smallest) == (3, 4, 8)


@pytest.mark.parametrize("lacking", [("stride",), ("smallest",), ("stride", "smallest")])
def test_onnx_that_does_not_say_which_sizes_it_takes_is_refused(
    onnx_model: Path, tmp_path: Path, lacking: tuple[str, ...]
) -> None:
    """As this project's first release wrote it, and any other program."""
    graph = onnx.load(onnx_model)
    kept = {entry.key: entry.value for entry in graph.metadata_props if entry.key not in lacking}
    del graph.metadata_props[:]
    helper.set_model_props(graph, kept)
    onnx.save(graph, tmp_path / "old.onnx")
    with pytest.raises(UserError, match=r"old\.onnx does not say which sizes it takes.*export it again"):
        translator.load(tmp_path / "old.onnx", CPU)


# --- files and folders ------------------------------------------------------------------------------------------------

NESTED = {"a.png": (5, 7), "deep/er/b.bmp": (16, 12), "deep/a.PNG": (9, 30), "c.jpg": (33, 17), "d e é.tiff": (1, 40)}


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    for name, size in NESTED.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, picture(*size))
    (tmp_path / "in" / "notes.txt").write_text("not a picture")
    return tmp_path / "in"


def test_a_folder_keeps_its_structure_names_and_sizes(loaded: Translator, nested: Path, tmp_path: Path) -> None:
    before = tree(nested)
    done = list(translate_files(loaded, nested, tmp_path / "new" / "out"))
    assert sorted(path.relative_to(nested).as_posix() for path, _ in done) == sorted(NESTED)
    assert {problem for _, problem in done} == {None}
    assert set(tree(tmp_path / "new" / "out")) == set(NESTED)
    assert tree(nested) == before
    for name, size in NESTED.items():
        written = images.read(tmp_path / "new" / "out" / name, 3)
        assert written.shape == (*size, 3)
        if not name.endswith(".jpg"):
            np.testing.assert_array_equal(written, loaded(images.read(nested / name, 3)))


def test_a_camera_picture_comes_out_upright(loaded: Translator, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(12, 20)).save(tmp_path / "x.png", exif=exif)
    assert results(loaded, tmp_path / "x.png", tmp_path / "y.png") == {"x.png": None}
    assert images.read(tmp_path / "y.png", 3).shape == (20, 12, 3)


@pytest.mark.parametrize("target", ["y.png", "new/folder/y.jpg", "there"])
def test_one_file_goes_to_a_file_or_into_a_folder(loaded: Translator, tmp_path: Path, target: str) -> None:
    (tmp_path / "there").mkdir()
    images.write(tmp_path / "x.png", picture(6, 9))
    assert results(loaded, tmp_path / "x.png", tmp_path / target) == {"x.png": None}
    place = tmp_path / target / "x.png" if target == "there" else tmp_path / target
    assert images.read(place, 3).shape == (6, 9, 3)


@pytest.mark.parametrize(
    ("size", "short", "wanted"), [((40, 60), 20, (20, 30)), ((90, 30), 10, (30, 10)), ((5, 8), 10, (10, 16))]
)
def test_resizing_is_done_when_asked_for(
    loaded: Translator, tmp_path: Path, size: tuple[int, int], short: int, wanted: tuple[int, int]
) -> None:
    pixels = picture(*size)
    images.write(tmp_path / "x.png", pixels)
    assert results(loaded, tmp_path / "x.png", tmp_path / "y.png", short) == {"x.png": None}
    np.testing.assert_array_equal(images.read(tmp_path / "y.png", 3), loaded(images.resize(pixels, *wanted)))


def test_bad_pictures_are_told_and_the_rest_is_done(loaded: Translator, nested: Path, tmp_path: Path) -> None:
    (nested / "b.png").write_bytes(b"")
    (nested / "deep" / "f.tif").write_bytes((nested / "deep/er/b.bmp").read_bytes()[:100])
    Image.fromarray(np.zeros((9, 9), dtype=np.float32)).save(nested / "float.tif")
    told = results(loaded, nested, tmp_path / "out")
    assert {name: problem for name, problem in told.items() if problem}.keys() == {"b.png", "f.tif", "float.tif"}
    assert told["b.png"] == "empty file"
    assert "32-bit and float" in str(told["float.tif"])
    assert set(tree(tmp_path / "out")) == set(NESTED)


def test_a_place_that_cannot_be_written_is_told_and_the_rest_is_done(
    loaded: Translator, nested: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").write_text("a file where a folder must be")
    told = results(loaded, nested, tmp_path / "out")
    assert {name for name, problem in told.items() if problem} == {"b.bmp", "a.PNG"}
    assert str(tmp_path / "out" / "deep") in str(told["b.bmp"])
    assert {"a.png", "c.jpg", "d e é.tiff"} < set(tree(tmp_path / "out"))


def test_the_output_may_lie_in_the_input_and_is_no_input_itself(loaded: Translator, nested: Path) -> None:
    list(translate_files(loaded, nested, nested / "out"))
    first = tree(nested)
    assert len(list(translate_files(loaded, nested, nested / "out"))) == len(NESTED)
    assert tree(nested) == first
    assert {name for name in first if name.startswith("out/")} == {f"out/{name}" for name in NESTED}


def test_the_output_may_be_the_folder_that_holds_the_input(loaded: Translator, nested: Path) -> None:
    before = tree(nested / "deep")
    told = results(loaded, nested / "deep" / "er", nested / "deep")
    assert told == {"b.bmp": None}
    assert set(tree(nested / "deep")) == {*before, "b.bmp"}
    assert {name: tree(nested / "deep")[name] for name in before} == before


@pytest.mark.parametrize(
    ("source", "target", "word"),
    [
        ("in", "in", "is the input"),
        ("in", "in/deep/..", "is the input"),
        ("in", "link", "is the input"),
        ("in/a.png", "in/a.png", "is the input"),
        ("in/a.png", "in", "is the input"),
        ("in/deep/a.PNG", "link/deep", "is the input"),
        ("in", "in/a.png", "is a file"),
        ("in/a.png", "out.txt", "no suffix of a picture format"),
        ("in/a.png", "out", "no suffix of a picture format"),
        ("nothing", "out", "no picture or folder"),
        ("empty", "out", "no pictures in"),
        ("doubled", ".", "input"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    loaded: Translator, nested: Path, tmp_path: Path, source: str, target: str, word: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(nested)
    (tmp_path / "doubled/doubled").mkdir(parents=True)
    for name in ("doubled/x.png", "doubled/doubled/x.png"):
        images.write(tmp_path / name, picture(4, 4))
    before = tree(tmp_path)
    with pytest.raises(UserError, match=word):
        list(translate_files(loaded, tmp_path / source, tmp_path / target))
    assert tree(tmp_path) == before


# --- models that are none ---------------------------------------------------------------------------------------------


def onnx_file(path: Path, inputs: list[list[object]], output: list[object]) -> Path:
    entries = [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, shape) for i, shape in enumerate(inputs)]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, output)
    flat = len(output) != 4
    node = (
        helper.make_node("ReduceMean", ["x0"], ["y"], axes=[2, 3], keepdims=0)
        if flat
        else helper.make_node("Abs", ["x0"], ["y"])
    )
    graph = helper.make_graph([node], "g", entries, [result])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def copied(model: Path, folder: Path, **changes: object) -> Path:
    shutil.copytree(model, folder)
    card = json.loads((folder / "generator.json").read_text())
    (folder / "generator.json").write_text(json.dumps(card | changes))
    return folder


def without(model: Path, folder: Path, name: str, instead: bytes | None = None) -> Path:
    shutil.copytree(model, folder)
    (folder / name).unlink()
    if instead is not None:
        (folder / name).write_bytes(instead)
    return folder


FREE = ["n", 3, "h", "w"]
NO_MODELS: dict[str, Callable[[Path, Path], Path]] = {
    "nothing": lambda tmp, model: tmp / "nothing",
    "a folder without a card": lambda tmp, model: tmp,
    "the weights in place of their folder": lambda tmp, model: model / "generator.safetensors",
    "a text file": lambda tmp, model: Path(shutil.copy(model / "generator.json", tmp / "x.txt")),
    "no weights": lambda tmp, model: without(model, tmp / "G", "generator.safetensors"),
    "empty weights": lambda tmp, model: without(model, tmp / "G", "generator.safetensors", b""),
    "weights of another network": lambda tmp, model: copied(model, tmp / "G", ngf=8),
    "a damaged card": lambda tmp, model: without(model, tmp / "G", "generator.json", b'{"direction": "G_AB"'),
    "a card in another encoding": lambda tmp, model: without(model, tmp / "G", "generator.json", b"\xff\xfe{}"),
    "a card that is a list": lambda tmp, model: without(model, tmp / "G", "generator.json", b"[1]"),
    "a card of another format": lambda tmp, model: copied(model, tmp / "G", format=1),
    "a card with an unknown network": lambda tmp, model: copied(model, tmp / "G", netG="unet_512"),
    "weights of another architecture": lambda tmp, model: copied(model, tmp / "G", netG="unet_128"),
    "weights of another norm": lambda tmp, model: copied(model, tmp / "G", norm="batch"),
    "a card with an unknown key": lambda tmp, model: copied(model, tmp / "G", colour="red"),
    "an empty ONNX file": lambda tmp, model: _written(tmp / "x.onnx", b""),
    "ONNX that is text": lambda tmp, model: _written(tmp / "x.onnx", b"hello"),
    "ONNX with two inputs": lambda tmp, model: onnx_file(tmp / "x.onnx", [FREE, FREE], FREE),
    "ONNX with five channels": lambda tmp, model: onnx_file(tmp / "x.onnx", [["n", 5, "h", "w"]], ["n", 5, "h", "w"]),
    "ONNX of vectors": lambda tmp, model: onnx_file(tmp / "x.onnx", [["n", 3]], FREE),
    "ONNX that classifies": lambda tmp, model: onnx_file(tmp / "x.onnx", [FREE], ["n", 3]),
    "ONNX of another program": lambda tmp, model: onnx_file(tmp / "x.onnx", [FREE], FREE),
    "ONNX of one fixed size": lambda tmp, model: onnx_file(tmp / "x.onnx", [[1, 3, 64, 64]], [1, 3, 64, 64]),
}


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", NO_MODELS)
def test_what_is_no_model_is_named(model: Path, tmp_path: Path, kind: str) -> None:
    path = NO_MODELS[kind](tmp_path, model)
    with pytest.raises(UserError) as caught:
        translator.load(path, CPU)
    assert str(path) in str(caught.value)
