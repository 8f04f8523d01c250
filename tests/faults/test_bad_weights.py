"""Weights files that attack or are damaged: no code runs, memory is bounded by the file, and one clear error says what."""

import io
import json
import os
import pickle
import re
import resource
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file, save_file
from safetensors.torch import save as as_safetensors
from torch import Tensor
from typer.testing import CliRunner

from cyclegan import images
from cyclegan.cli import app
from cyclegan.config import Config
from cyclegan.errors import UserError
from cyclegan.exchange.files import export_weights, import_weights
from cyclegan.exchange.layouts import write
from cyclegan.inference import translator
from cyclegan.models import networks, weights
from cyclegan.models.specs import GeneratorSpec
from cyclegan.models.weights import load_first_weights, load_generator

CPU = torch.device("cpu")
SPEC = GeneratorSpec("G_AB", "resnet_6blocks", 1, "instance", False, 3, 3, 32, "key", "raw")
MOST_MEMORY = 1 << 30  # bytes beyond what the process has


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Whoever asks for much memory gets an error in place of it."""
    if not Path("/proc/self/statm").exists():  # elsewhere than on Linux
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def state(spec: GeneratorSpec = SPEC) -> dict[str, Tensor]:
    """Weights by the reference's names."""
    torch.manual_seed(0)
    return {key: tensor.clone() for key, tensor in write(spec, spec.build().state_dict()).items()}


STATE = state()
FIRST = "model.1.weight"


def complaint(file: Path) -> str:
    """What is said of a file that cannot be imported; nothing may be left of the attempt."""
    target = file.parent / "imported"
    with pytest.raises(UserError) as caught:
        import_weights(file, target, name="G_AB")
    assert list(file.parent.glob("imported*")) == []
    message = str(caught.value)
    assert message.startswith(str(file))
    assert message.isprintable()
    assert len(message) < 1200 + len(str(file))
    return message


# --- pickles ----------------------------------------------------------------------------------------------------------


class Shell:
    """What runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


class Evaluation(Shell):
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return eval, (f"__import__('os').system({self.command!r})",)


def in_tar(content: bytes) -> bytes:
    """As PyTorch kept weights before it had a format of its own."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def saved(content: object, *, old: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not old)
    return buffer.getvalue()


CODE: dict[str, Callable[[Shell], bytes]] = {
    "beside weights": lambda evil: saved({**STATE, "x": evil}),
    "among weights": lambda evil: saved({"state_dict": STATE, "args": [evil]}),
    "alone": saved,
    "in the old format": lambda evil: saved({**STATE, "x": evil}, old=True),
    "in a tar file": lambda evil: in_tar(pickle.dumps(evil)),
    **{
        f"in a pickle of protocol {protocol}": lambda evil, protocol=protocol: pickle.dumps(evil, protocol=protocol)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
@pytest.mark.parametrize("kind", [Shell, Evaluation])
@pytest.mark.parametrize("place", CODE)
def test_code_in_a_weights_file_does_not_run(tmp_path: Path, place: str, kind: type[Shell], suffix: str) -> None:
    ran = tmp_path / "ran"
    evil = kind(f"touch '{ran}'")
    pickle.loads(pickle.dumps(evil))  # it is live
    assert ran.exists()
    ran.unlink()
    (tmp_path / f"x{suffix}").write_bytes(CODE[place](evil))
    message = complaint(tmp_path / f"x{suffix}")
    assert not ran.exists()
    assert "so it is refused; if you trust it" in message or "is damaged, or no PyTorch weights file" in message
    assert ("is a tar file" in message) is (place == "in a tar file")


def deflated(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))
    return buffer.getvalue()


def unfolding(ngf: int) -> dict[str, Tensor]:
    """A whole network in the right shapes, all of them views of one number."""
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in write(replace(SPEC, ngf=ngf), _meta(ngf)).items()}
    return {key: torch.zeros(1).expand(shape) for key, shape in shapes.items()}


def _meta(ngf: int) -> dict[str, Tensor]:
    with torch.device("meta"):
        return dict(replace(SPEC, ngf=ngf).build().state_dict())


def with_first(tensor: Tensor) -> dict[str, Tensor]:
    return {**STATE, FIRST: tensor}


SHARED = torch.zeros(4 * 4 * 3 * 3 * 64)
ODD: dict[str, tuple[Callable[[], object], str]] = {
    "a network of one number": (lambda: unfolding(1024), "tensors would unfold to [0-9,]{13}; that is no honest"),
    "a first layer of one number": (lambda: with_first(torch.zeros(1).expand(2**40, 3, 7, 7)), "would unfold to"),
    "a size beyond 64 bits": (lambda: with_first(torch.zeros(1).expand(2**55, 3, 1, 1)), "would unfold to"),
    "a sparse tensor": (lambda: with_first(STATE[FIRST].to_sparse()), "model.1.weight as no plain tensor"),
    "complex numbers": (lambda: with_first(STATE[FIRST].to(torch.complex64)), "model.1.weight as no plain tensor"),
    "a tensor without numbers": (lambda: with_first(STATE[FIRST].to("meta")), r"no plain tensor .*meta\); save"),
    "a nested tensor": (
        lambda: with_first(torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])),
        r"holds more than tensors \(torch._utils._rebuild_nested_tensor\)",
    ),
    "whole numbers": (lambda: with_first(STATE[FIRST].to(torch.int8)), "has model.1.weight in int8, such as quantised"),
    "truth values": (lambda: with_first(STATE[FIRST] > 0), "has model.1.weight in bool"),
    "eight bits": (lambda: with_first(STATE[FIRST].to(torch.float8_e4m3fn)), "has model.1.weight in float8_e4m3fn"),
    "NaN": (lambda: with_first(STATE[FIRST] * float("nan")), "values in model.1.weight that are not finite"),
    "more than float32 holds": (lambda: with_first(STATE[FIRST].double() * 1e300), "values in model.1.weight that are not"),
    "another shape": (lambda: with_first(STATE[FIRST][..., :3]), "model.1.weight is 1 x 3 x 7 x 3, not 1 x 3 x 7 x 7"),
    "a missing key": (lambda: {key: value for key, value in STATE.items() if key != FIRST}, "no network that can be"),
    "a further key": (lambda: {**STATE, "model.99.weight": torch.zeros(1)}, "model.99.weight is not part of it"),
    "a name that colours terminals": (lambda: {**STATE, "\x1b[31m\n": torch.zeros(1)}, r"'\\x1b\[31m\\n' is not part"),
    "a very long name": (lambda: {**STATE, "k" * 10**6: torch.zeros(1)}, "k{80}' is not part of it"),
    "names of no encoding": (lambda: {**STATE, "\ud800": torch.zeros(1)}, r"'\\ud800' is not part of it"),
    "many names": (lambda: {**STATE, **{f"k{i}": torch.zeros(1) for i in range(2000)}}, "and 1990 more"),
    "networks of odd names": (lambda: {"a\n": STATE, 3: STATE}, r"several networks: 'a\\n', a key that is no text"),
    "a tensor of many axes": (lambda: with_first(STATE[FIRST].reshape(*[1] * 50, *STATE[FIRST].shape)), "x 1 x ..."),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_odd_tensors_are_one_clear_error(tmp_path: Path, kind: str) -> None:
    make, words = ODD[kind]
    torch.save(make(), tmp_path / "x.pth")
    message = complaint(tmp_path / "x.pth")
    assert re.search(words, message), message


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    data = deflated(saved({"w": torch.zeros(100_000_000, dtype=torch.uint8)}))
    assert len(data) < 1_000_000
    (tmp_path / "x.pth").write_bytes(data)
    assert "is compressed, as PyTorch never writes it" in complaint(tmp_path / "x.pth")


# --- safetensors ------------------------------------------------------------------------------------------------------

GOOD = as_safetensors({key: tensor.contiguous() for key, tensor in STATE.items()})
LENGTH = struct.unpack("<Q", GOOD[:8])[0]
HEADER: dict[str, Any] = json.loads(GOOD[8 : 8 + LENGTH])
DATA = GOOD[8 + LENGTH :]
TWICE = f"{json.dumps(HEADER)[:-1]}, {json.dumps({FIRST: HEADER[FIRST]})[1:]}"


def headed(header: object, data: bytes = DATA, length: int | None = None) -> bytes:
    text = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def lying(**changes: object) -> bytes:
    return headed({**HEADER, FIRST: {**HEADER[FIRST], **changes}})


LIES: dict[str, bytes] = {
    "truncated by a byte": GOOD[:-1],
    "truncated to the header": GOOD[: 8 + LENGTH],
    "truncated within the header": GOOD[: 8 + LENGTH // 2],
    "truncated within the length": GOOD[:5],
    "with bytes behind": GOOD + b"x",
    "a header of 2^63 bytes": headed(HEADER, length=2**63),
    "a header of 99 MB": headed(HEADER, length=99_000_000),
    "a header of no bytes": headed(HEADER, length=0),
    "a header that is no JSON": headed("hello"),
    "a header of brackets": headed('{"a":' + "[" * 100_000),
    "a name that stands twice": headed(TWICE),
    "a negative side": lying(shape=[-1, 3, 7, 7]),
    "sides beyond 64 bits": lying(shape=[2**62, 2**62, 7, 7]),
    "a side that is text": lying(shape=["1", 3, 7, 7]),
    "an offset of 2^64 - 1": lying(data_offsets=[0, 2**64 - 1]),
    "a negative offset": lying(data_offsets=[-4, 0]),
    "offsets in reverse": lying(data_offsets=[588, 0]),
    "overlapping tensors": headed({**HEADER, FIRST: HEADER["model.4.weight"]}),
    "a kind of number that is none": lying(dtype="X"),
    "another kind of number": lying(dtype="F16"),
    "whole numbers": lying(dtype="I32"),
    "complex numbers": lying(dtype="C64", shape=[1, 3, 7, 7], data_offsets=[0, 1176]),
    "another shape": lying(shape=[3, 1, 7, 7]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_safetensors_file_that_lies_is_one_clear_error(tmp_path: Path, lie: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(LIES[lie])
    complaint(tmp_path / "x.safetensors")


def test_the_file_that_the_lies_are_made_of_is_good(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(headed(HEADER))
    import_weights(tmp_path / "x.safetensors", tmp_path / "G", name="G_AB")
    network, _ = load_generator(tmp_path / "G", CPU)
    assert torch.equal(network.state_dict()["stem.0.conv.weight"], STATE[FIRST])


# --- folders of this project ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    weights.save(tmp_path / "G_AB", SPEC.build().state_dict(), SPEC)
    return tmp_path / "G_AB"


def changed(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    path = folder / "generator.safetensors"
    save_file(change(load_file(path)), path)


def refused(folder: Path) -> str:
    """What every way in says of a generator's folder; all say the same."""
    said = set()
    for use in (load_generator, translator.load, lambda path, _: export_weights(path, path.with_name("out.pth"))):
        with pytest.raises(UserError) as caught:
            use(folder, CPU)
        said.add(str(caught.value))
    assert len(said) == 1
    message = said.pop()
    assert message.startswith(str(folder))
    assert message.isprintable()
    assert len(message) < 800 + len(str(folder))
    return message


BAD_WEIGHTS: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "halves": (lambda all_: {key: value.half() for key, value in all_.items()}, r"of float16, not .* of float32.*more"),
    "whole numbers": (lambda all_: {key: value.to(torch.int8) for key, value in all_.items()}, "of int8, not"),
    "NaN": (
        lambda all_: all_ | {"stem.0.conv.bias": torch.full((1,), float("nan"))},
        "stem.0.conv.bias has values that are not finite",
    ),
    "infinity": (
        lambda all_: all_ | {"head.0.conv.bias": torch.full((3,), float("inf"))},
        "head.0.conv.bias has values that are not finite",
    ),
    "one more": (lambda all_: all_ | {"x" * 500: torch.zeros(1)}, "x{80} is not part of it"),
    "one fewer": (lambda all_: {key: all_[key] for key in list(all_)[1:]}, "is missing"),
    "none": (lambda _: {}, "is missing.*, and 31 more"),
    "another shape": (lambda all_: all_ | {"stem.0.conv.bias": torch.zeros(2)}, r"is \[2\] of float32, not \[1\]"),
    "another rank": (lambda all_: all_ | {"stem.0.conv.bias": torch.zeros([1] * 60)}, r"is \[1, 1, .* of float32, not"),
}


@pytest.mark.parametrize("kind", BAD_WEIGHTS)
def test_bad_weights_in_a_folder_are_one_clear_error(folder: Path, kind: str) -> None:
    change, words = BAD_WEIGHTS[kind]
    changed(folder, change)
    message = refused(folder)
    assert "does not hold this generator: " in message
    assert "restore it with `dvc checkout`" in message
    assert re.search(words, message), message


def test_a_description_of_a_huge_network_takes_no_memory(folder: Path) -> None:
    card = folder / "generator.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"ngf": 1024}))
    assert r"is [1, 3, 7, 7] of float32, not [1024, 3, 7, 7] of float32" in refused(folder)


PLACES = ["generator.json", "generator.safetensors"]


@pytest.mark.parametrize("name", PLACES)
def test_what_is_no_file_is_not_read(folder: Path, name: str) -> None:
    """A pipe would be waited for until the end of time."""
    for make in (os.mkdir, os.mkfifo, lambda path: path.symlink_to(path)):
        (folder / name).rename(folder / "kept")
        make(folder / name)
        with pytest.raises(UserError, match=f"has no {name}"):
            load_generator(folder, CPU)
        (folder / name).rmdir() if (folder / name).is_dir() else (folder / name).unlink()
        (folder / "kept").rename(folder / name)
    load_generator(folder, CPU)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"format":' + "[" * 60_000, "generator.json is damaged"),
        (" " * 100_000 + "{}", "is longer than 65,536 bytes"),
        ('{"format": 2' + "0" * 5000 + "}", "generator.json is damaged"),
        ('{"format": NaN}', "has format nan"),
    ],
)
def test_a_description_that_attacks_is_one_clear_error(folder: Path, text: str, words: str) -> None:
    (folder / "generator.json").write_text(text)
    assert words in refused(folder)


@settings(max_examples=150)
@given(place=st.integers(0, 1 << 20), bit=st.integers(0, 7), in_header=st.booleans(), name=st.sampled_from(PLACES))
def test_no_flipped_bit_gives_anything_but_a_network_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int, in_header: bool, name: str
) -> None:
    path = tmp_path_factory.mktemp("flipped") / "G_AB"
    weights.save(path, SPEC.build().state_dict(), SPEC)
    data = bytearray((path / name).read_bytes())
    header = struct.unpack("<Q", data[:8])[0] + 8 if name.endswith("safetensors") else len(data)
    data[place % (header if in_header else len(data))] ^= 1 << bit
    (path / name).write_bytes(data)
    try:
        network, spec = load_generator(path, CPU)
    except UserError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert (spec.netG, spec.ngf, spec.channels_in, spec.channels_out) == ("resnet_6blocks", 1, 3, 3)
        assert all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())


def test_first_weights_that_are_bad_are_one_clear_error(folder: Path, make_config: Callable[..., Config]) -> None:
    model = make_config(**{"model.ngf": 1}).model
    changed(folder, BAD_WEIGHTS["NaN"][0])
    built = networks.build(model, 0, CPU)
    before = {key: value.clone() for key, value in built.G_AB.state_dict().items()}
    with pytest.raises(UserError, match=r"G_AB.generator\.safetensors .* not finite; restore it"):
        load_first_weights(built, model, folder.parent)
    assert all(torch.equal(value, before[key]) for key, value in built.G_AB.state_dict().items())


# --- ONNX -------------------------------------------------------------------------------------------------------------

FREE = ["n", 3, "h", "w"]
SIZES = {"stride": "4", "smallest": "8"}
KEEP = helper.make_node("Neg", ["x"], ["y"])


def onnx_model(*nodes: onnx.NodeProto, constants: tuple[TensorProto, ...] = (), **changes: Any) -> bytes:
    """A model from float32 pictures to float32 pictures, but for `kind` and the metadata `sizes`."""
    kind, sizes = changes.get("kind", TensorProto.FLOAT), changes.get("sizes", SIZES)
    ends = [helper.make_tensor_value_info(name, kind, FREE) for name in "xy"]
    graph = helper.make_graph(list(nodes) or [KEEP], "g", ends[:1], ends[1:], list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, sizes)
    return bytes(model.SerializeToString())


def elsewhere(location: str) -> bytes:
    """A model whose weights lie in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": "0", "length": "4"}.items():
        tensor.external_data.add(key=key, value=value)
    return onnx_model(helper.make_node("Add", ["x", "w"], ["y"]), constants=(tensor,))


def reshaped(*shape: int) -> bytes:
    constant = numpy_helper.from_array(np.array(shape), "s")
    return onnx_model(helper.make_node("Reshape", ["x", "s"], ["y"]), constants=(constant,))


def filled(count: int) -> bytes:
    """A model that makes so many numbers of nothing."""
    ones = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"], value=ones),
        helper.make_node("ReduceSum", ["c"], ["r"], keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    return onnx_model(*nodes, constants=(numpy_helper.from_array(np.array([count]), "s"),))


NO_SIZES = ["four", "", "0", "-4", "4.0", "1e3", " 4", "٤", "10000", "9" * 5000]
BAD_ONNX: dict[str, tuple[bytes, str]] = {
    **{
        f"stride {text[:9]!r}": (onnx_model(sizes=SIZES | {"stride": text}), "says that its stride is") for text in NO_SIZES
    },
    **{
        f"smallest {text[:9]!r}": (onnx_model(sizes=SIZES | {"smallest": text}), "says that its smallest is")
        for text in NO_SIZES
    },
    "double precision": (onnx_model(kind=TensorProto.DOUBLE), r"in tensor\(double\), not .* in float32"),
    "bytes": (onnx_model(helper.make_node("Abs", ["x"], ["y"]), kind=TensorProto.UINT8), r"in tensor\(uint8\), not"),
    "an operator that is none": (onnx_model(helper.make_node("Magic", ["x"], ["y"])), "not a readable ONNX model"),
    "half of it": (onnx_model()[:60], "not a readable ONNX model"),
    "values that are not finite": (
        onnx_model(helper.make_node("Sub", ["x", "x"], ["z"]), helper.make_node("Div", ["z", "z"], ["y"])),
        "gives values that are not finite",
    ),
    "smaller pictures": (
        onnx_model(helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])),
        r"makes \[1, 3, 6, 6\] of \[1, 3, 12, 12\], not pictures of the same size",
    ),
    "more pictures": (onnx_model(helper.make_node("Concat", ["x", "x"], ["y"], axis=0)), r"makes \[2, 3, 12, 12\] of"),
    "a step that cannot be": (reshaped(1, 3, 5, 7), "fails on a picture of 12 x 12 px"),
    "terabytes of ones": (filled(10**12), "fails on a picture of 12 x 12 px"),
    "weights in a file above": (elsewhere("../secret.bin"), "not a readable ONNX model"),
    "weights in a file anywhere": (elsewhere("/etc/hostname"), "not a readable ONNX model"),
    "weights in a file beside it": (elsewhere("beside.bin"), "not a readable ONNX model"),
}


def translated(model: Path) -> None:
    images.write(model.with_name("in.png"), np.zeros((9, 9, 3), np.uint8))
    list(translator.translate_files(translator.load(model, CPU), model.with_name("in.png"), model.with_name("out.png")))


@pytest.mark.parametrize("kind", BAD_ONNX)
def test_a_bad_onnx_file_is_one_clear_error(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deep").mkdir()
    for place in (tmp_path / "secret.bin", tmp_path / "deep" / "beside.bin"):
        place.write_bytes(bytes(4))
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "deep" / "x.onnx"
    data, words = BAD_ONNX[kind]
    model.write_bytes(data)
    with pytest.raises(UserError, match=rf"x\.onnx (?s:.*){words}"):
        translated(model)
    assert not model.with_name("out.png").exists()
    assert capfd.readouterr().err == ""


def test_the_onnx_file_that_the_bad_ones_are_made_of_is_good(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(onnx_model())
    translated(tmp_path / "x.onnx")
    assert images.read(tmp_path / "out.png", 3).min() == 255


def test_a_huge_onnx_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x.onnx").open("wb") as file:
        file.truncate(3 << 30)  # takes no room
    with pytest.raises(UserError, match=r"x\.onnx is not a readable ONNX model: it is larger than the 2,147,483,647 bytes"):
        translator.load(tmp_path / "x.onnx", CPU)


@settings(max_examples=200)
@given(place=st.integers(0, 1 << 20), bit=st.integers(0, 7))
def test_no_flipped_bit_of_an_onnx_file_gives_anything_but_pictures_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    data = bytearray(onnx_model())
    data[place % len(data)] ^= 1 << bit
    path = tmp_path_factory.mktemp("flipped") / "x.onnx"
    path.write_bytes(data)
    try:
        translated(path)
    except UserError as error:
        assert str(path) in str(error)  # noqa: PT017


# --- names, disks and the command line --------------------------------------------------------------------------------

LONG = "a" * 300


@pytest.mark.parametrize("name", [LONG, f"{LONG}.onnx", f"{LONG}/G_AB"])
def test_names_that_no_file_can_have_are_missing_models(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="there is no model"):
        translator.load(tmp_path / name, CPU)
    with pytest.raises(UserError, match=r"cannot read .*: File name too long"):
        load_generator(tmp_path / name, CPU)


@pytest.mark.parametrize(("source", "target"), [(LONG, "new"), ("x.pth", LONG), ("x.pth", "file/new")])
def test_places_that_cannot_be_are_one_clear_error(tmp_path: Path, source: str, target: str) -> None:
    (tmp_path / "x.pth").write_bytes(saved(STATE))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"(cannot read|cannot be written)"):
        import_weights(tmp_path / source, tmp_path / target, name="G_AB")


@pytest.mark.parametrize("size", [16388, 10**12])
def test_no_network_was_trained_on_such_a_size(tmp_path: Path, size: int) -> None:
    (tmp_path / "x.pth").write_bytes(saved(STATE))
    with pytest.raises(UserError, match=f"--size is {size}, .* from 8 to 16384 px"):
        import_weights(tmp_path / "x.pth", tmp_path / "new", name="G_AB", size=size)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """Safetensors has an error of its own for it."""
    (tmp_path / "x.pth").write_bytes(saved(STATE))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(UserError, match=r"new cannot be written: .*too large.*; give another place"):
            import_weights(tmp_path / "x.pth", tmp_path / "new", name="G_AB")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_the_command_line_says_it_in_a_line_and_fails(tmp_path: Path, folder: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "x.pth").write_bytes(saved({**STATE, "x": Shell(f"touch '{ran}'")}))
    (tmp_path / "x.onnx").write_bytes(onnx_model(sizes={"stride": "four", "smallest": "8"}))
    changed(folder, BAD_WEIGHTS["NaN"][0])
    images.write(tmp_path / "in.png", np.zeros((9, 9, 3), np.uint8))
    picture = [str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--device", "cpu", "--model"]
    commands = {
        "holds more than tensors": ["import-weights", str(tmp_path / "x.pth"), str(tmp_path / "new"), "--as", "G_AB"],
        "says that its stride is 'four'": ["translate", *picture, str(tmp_path / "x.onnx")],
        "has values that are not finite": ["translate", *picture, str(folder)],
    }
    for words, command in commands.items():
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 1
        assert isinstance(done.exception, SystemExit)
        assert done.stderr.startswith("error: ")
        assert words in done.stderr
        assert "Traceback" not in done.output
    assert not ran.exists()
