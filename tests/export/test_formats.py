"""ONNX and torch.export: what the network computes, at any size, from bytes that say nothing of the machine."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

import cyclegan
from cyclegan.config import Config
from cyclegan.export import formats, parity
from cyclegan.export.formats import INPUT, ONNX_FILE, OUTPUT, PROGRAM_FILE, Shape
from cyclegan.models import networks, specs, weights
from cyclegan.models.specs import GeneratorSpec

SOURCE = Path(cyclegan.__file__).parents[1]
FILES = [ONNX_FILE, PROGRAM_FILE]
CPU = torch.device("cpu")
EXPORT = """
import pathlib, sys, torch
from cyclegan.export import formats
from cyclegan.models import specs, weights
torch.set_num_threads(1)
for source, target in zip(sys.argv[1::2], map(pathlib.Path, sys.argv[2::2])):
    network, spec = weights.load_generator(pathlib.Path(source), torch.device("cpu"))
    network.to(memory_format=torch.contiguous_format)
    shape = formats.Shape(spec.channels_in, spec.stride, spec.smallest)
    target.mkdir()
    formats.export_program(network, shape, target / formats.PROGRAM_FILE)
    formats.export_onnx(network, shape, 18, target / formats.ONNX_FILE)
"""
KINDS = {  # from colour to grey
    "resnet": {"model.netG": "resnet_6blocks"},
    "unet": {"model.netG": "unet_128", "model.ngf": 2, "model.norm": "batch", "preprocess.crop_size": 128},
}


@dataclass(frozen=True)
class Exported:
    """One generator, exported by two processes that have nothing in common but the code."""

    network: nn.Module
    spec: GeneratorSpec
    one: Path
    two: Path


@pytest.fixture(scope="module")
def make_generator(make_config: Callable[..., Config]) -> Callable[..., tuple[nn.Module, GeneratorSpec]]:
    """A generator whose outputs vary, and whose BatchNorms have seen pictures, in evaluation mode."""

    def make(**choice: object) -> tuple[nn.Module, GeneratorSpec]:
        general = {"preprocess.load_size": 128, "model.output_nc": 1, "loss.lambda_identity": 0.0, "model.init_gain": 0.2}
        model = make_config(**(general | choice)).model
        network = networks.build(model, 0, CPU).G_AB
        spec = specs.generator_spec(model, "G_AB", 32, "0" * 64, "raw")
        if model.norm == "batch":
            with torch.no_grad():
                for seed in range(20):
                    network.train()(pictures(2, 2 * spec.stride, 2 * spec.stride, seed))
        return network.to(memory_format=torch.contiguous_format).eval(), spec

    return make


@pytest.fixture(scope="module")
def exports(
    make_generator: Callable[..., tuple[nn.Module, GeneratorSpec]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Exported]:
    made = {kind: make_generator(**choice) for kind, choice in KINDS.items()}
    sources = tmp_path_factory.mktemp("sources")
    for kind, (network, spec) in made.items():
        weights.save(sources / kind, network.state_dict(), spec)
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    processes = []
    for seed, folder in zip("17", folders, strict=True):
        work = tmp_path_factory.mktemp(f"work{seed}")
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "ignore"}
        order = list(made) if seed == "1" else list(made)[::-1]  # what was exported before leaves no trace
        arguments = [str(path) for kind in order for path in (sources / kind, folder / kind)]
        command = [sys.executable, "-c", EXPORT, *arguments]
        processes.append(subprocess.Popen(command, env=environment, cwd=work, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    return {kind: Exported(*made[kind], *(folder / kind for folder in folders)) for kind in made}


@pytest.fixture(params=KINDS)
def exported(request: pytest.FixtureRequest, exports: dict[str, Exported]) -> Exported:
    return exports[request.param]


def pictures(batch: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed + height)) * 2 - 1


def shape_of(spec: GeneratorSpec) -> Shape:
    return Shape(spec.channels_in, spec.stride, spec.smallest)


@pytest.mark.parametrize("file", FILES)
def test_agrees_with_the_network_at_every_size(exported: Exported, file: str) -> None:
    """Batch, height and width are free: squares, wide and tall ones, and the smallest there is."""
    program = parity.LOADERS[file](exported.one / file)
    stride, least = exported.spec.stride, exported.spec.smallest
    if stride == 4:
        sizes = [*parity.sizes(32, 4, 8), (1, 8, 8), (5, 8, 60), (2, 44, 12), (1, 100, 64)]
    else:
        sizes = [*parity.sizes(128, 128, 128), (1, 256, 128), (3, 128, 384)]
    assert (1, least, least) in sizes
    assert {height == width for _, height, width in sizes} == {True, False}
    for size in sizes:
        x = pictures(*size)
        assert parity.largest_difference(exported.network, program, x) < 1e-4, size
        assert program(x).shape == (size[0], 1, *size[1:])
    spread = exported.network(pictures(1, least, least)).std()
    assert spread > 0.05, "outputs that are all alike agree whatever is computed"


def test_batch_norm_is_exported_with_its_running_statistics(exports: dict[str, Exported]) -> None:
    """A picture's translation does not depend on what else is in its batch."""
    x = pictures(2, 128, 128)
    for file in FILES:
        program = parity.LOADERS[file](exports["unet"].one / file)
        torch.testing.assert_close(program(x)[1:], program(x[1:]), atol=1e-5, rtol=0)
    trained = [entry for name, entry in exports["unet"].network.named_buffers() if name.endswith("running_mean")]
    assert len(trained) == 11
    assert min(float(mean.abs().max()) for mean in trained) > 0


@pytest.mark.parametrize("choice", [{"model.norm": "batch"}, {"model.dropout": True}], ids=str)
def test_resnets_with_batch_norm_and_with_dropout_agree_too(
    make_generator: Callable[..., tuple[nn.Module, GeneratorSpec]], tmp_path: Path, choice: dict[str, object]
) -> None:
    network, spec = make_generator(**choice)
    assert spec.dropout == any(isinstance(module, nn.Dropout) for module in network.modules())
    assert (spec.norm == "batch") == any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    formats.export_onnx(network, shape_of(spec), 18, tmp_path / ONNX_FILE)
    formats.export_program(network, shape_of(spec), tmp_path / PROGRAM_FILE)
    for file, load in parity.LOADERS.items():
        program = load(tmp_path / file)
        for size in ((1, 8, 8), (3, 12, 20)):
            x = pictures(*size)
            assert parity.largest_difference(network, program, x) < 1e-4
            assert torch.equal(program(x), program(x))  # nothing is dropped out
    assert not network.training


@pytest.mark.parametrize("file", FILES)
def test_bytes_are_the_same_in_another_process(exported: Exported, file: str) -> None:
    assert (exported.one / file).read_bytes() == (exported.two / file).read_bytes()


@pytest.mark.parametrize("file", FILES)
def test_bytes_name_no_path_of_this_machine(exported: Exported, file: str) -> None:
    path = exported.one / file
    contents = [path.read_bytes()]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            contents += [archive.read(name) for name in archive.namelist()]
    for data in contents:
        for known in (SOURCE, Path(sys.prefix), Path(torch.__file__).parent, exported.one.parent, Path.home()):
            assert len(str(known)) < 2 or str(known).encode() not in data
        assert re.search(rb"(/[\w.-]+){2,}\.py", data) is None
        assert b"site-packages" not in data


def test_onnx_has_names_free_axes_and_the_opset_asked_for(exported: Exported) -> None:
    graph = onnx.load(exported.one / ONNX_FILE)
    assert [(entry.domain, entry.version) for entry in graph.opset_import if not entry.domain] == [("", 18)]
    for value, name, channels in ((graph.graph.input[0], INPUT, 3), (graph.graph.output[0], OUTPUT, 1)):
        assert value.name == name
        axes = value.type.tensor_type.shape.dim
        assert axes[1].dim_value == channels
        assert [axis.WhichOneof("value") for axis in (axes[0], axes[2], axes[3])] == ["dim_param"] * 3
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert len(graph.graph.input) == len(graph.graph.output) == 1


def test_onnx_says_which_sides_it_takes_and_nothing_else(exported: Exported) -> None:
    graph = onnx.load(exported.one / ONNX_FILE)
    said = {entry.key: entry.value for entry in graph.metadata_props}
    assert said == {"stride": str(exported.spec.stride), "smallest": str(exported.spec.smallest)}
    assert said == {"stride": "4", "smallest": "8"} or said == {"stride": "128", "smallest": "128"}


def test_a_program_refuses_sides_that_the_network_cannot_halve(exports: dict[str, Exported]) -> None:
    program = parity.load_program(exports["unet"].one / PROGRAM_FILE)
    for size in ((1, 128, 192), (1, 64, 128)):
        with pytest.raises((RuntimeError, AssertionError)):
            program(pictures(*size))


def test_another_opset_is_honoured_and_computes_the_same(exports: dict[str, Exported], tmp_path: Path) -> None:
    network = exports["resnet"].network
    formats.export_onnx(network, Shape(3, 4, 8), 21, tmp_path / ONNX_FILE)
    assert [entry.version for entry in onnx.load(tmp_path / ONNX_FILE).opset_import if not entry.domain] == [21]
    assert parity.largest_difference(network, parity.load_onnx(tmp_path / ONNX_FILE), pictures(2, 12, 20)) < 1e-4


@pytest.mark.parametrize(
    ("side", "stride", "smallest"),
    [(side, 4, 8) for side in (8, 12, 16, 64, 100, 256)]
    + [(128, 128, 128), (256, 128, 128), (384, 128, 128), (512, 256, 256)],
)
def test_sizes_to_compare_at_are_ones_that_the_network_takes(side: int, stride: int, smallest: int) -> None:
    sizes = parity.sizes(side, stride, smallest)
    assert sizes[0] == (1, side, side)
    assert any(height > width for _, height, width in sizes) or side == smallest
    assert any(height < width for _, height, width in sizes)
    assert any(batch > 1 for batch, *_ in sizes)
    assert len({height for _, height, _ in sizes}) > 1
    for _, height, width in sizes:
        assert height % stride == width % stride == 0
        assert min(height, width) >= smallest


@pytest.mark.parametrize(
    ("shape", "side"), [(Shape(3, 4, 8), 64), (Shape(1, 128, 128), 256), (Shape(3, 256, 256), 512), (Shape(1, 2, 4), 64)]
)
def test_the_example_to_trace_has_no_side_or_batch_that_could_be_taken_for_a_constant(shape: Shape, side: int) -> None:
    assert shape.example.shape == (2, shape.channels_in, side, side)
    assert side % shape.stride == 0
    assert side > shape.smallest
    assert side > shape.stride


def test_a_difference_is_the_largest_of_all_and_infinite_between_shapes() -> None:
    network = nn.Identity()
    x = pictures(2, 8, 8)
    changed = x.clone()
    changed[1, 2, 3, 4] += 0.5
    assert parity.largest_difference(network, lambda _: changed, x) == pytest.approx(0.5)
    assert parity.largest_difference(network, lambda given: given, x) == 0
    assert parity.largest_difference(network, lambda given: given[:1], x) == float("inf")
