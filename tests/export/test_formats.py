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
from cyclegan.config import Config, ModelConfig
from cyclegan.export import formats, parity
from cyclegan.export.formats import INPUT, ONNX_FILE, OUTPUT, PROGRAM_FILE
from cyclegan.models import networks

SOURCE = Path(cyclegan.__file__).parents[1]
FILES = [ONNX_FILE, PROGRAM_FILE]
EXPORT = """
import json, pathlib, sys, torch
from cyclegan.config import ModelConfig
from cyclegan.export import formats
from cyclegan.models import networks
torch.set_num_threads(1)
network = networks.build(ModelConfig(**json.loads(sys.argv[1])), 0, torch.device("cpu")).G_AB.eval()
folder = pathlib.Path(sys.argv[2])
formats.export_program(network, 3, 4, folder / formats.PROGRAM_FILE)
formats.export_onnx(network, 3, 4, 18, folder / formats.ONNX_FILE)
"""


@dataclass(frozen=True)
class Exported:
    """One generator from colour to grey, exported by two processes that have nothing in common but the code."""

    network: nn.Module
    one: Path
    two: Path


@pytest.fixture(scope="module")
def model(make_config: Callable[..., Config]) -> ModelConfig:
    return make_config(**{"model.output_nc": 1, "loss.lambda_identity": 0.0, "model.init_gain": 0.2}).model


@pytest.fixture(scope="module")
def network(model: ModelConfig) -> nn.Module:
    return networks.build(model, 0, torch.device("cpu")).G_AB.eval()


@pytest.fixture(scope="module")
def exported(model: ModelConfig, network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "other")]
    processes = []
    for seed, folder in zip("17", folders, strict=True):
        work = tmp_path_factory.mktemp(f"work{seed}")
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-c", EXPORT, model.model_dump_json(), str(folder)]
        processes.append(subprocess.Popen(command, env=environment, cwd=work, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    return Exported(network, *folders)


def pictures(batch: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height)) * 2 - 1


@pytest.mark.parametrize("file", FILES)
def test_agrees_with_the_network_at_every_size(exported: Exported, file: str) -> None:
    """Batch, height and width are free: squares, wide and tall ones, and the smallest there is."""
    program = parity.LOADERS[file](exported.one / file)
    sizes = [*parity.sizes(32, 4), (1, 8, 8), (5, 8, 60), (2, 44, 12), (1, 100, 64)]
    assert {height == width for _, height, width in sizes} == {True, False}
    for size in sizes:
        x = pictures(*size)
        assert parity.largest_difference(exported.network, program, x) < 1e-4, size
        assert program(x).shape == (size[0], 1, *size[1:])
    spread = exported.network(pictures(1, 32, 32)).std()
    assert spread > 0.05, "outputs that are all alike agree whatever is computed"


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


def test_another_opset_is_honoured_and_computes_the_same(network: nn.Module, tmp_path: Path) -> None:
    formats.export_onnx(network, 3, 4, 21, tmp_path / ONNX_FILE)
    assert [entry.version for entry in onnx.load(tmp_path / ONNX_FILE).opset_import if not entry.domain] == [21]
    assert parity.largest_difference(network, parity.load_onnx(tmp_path / ONNX_FILE), pictures(2, 12, 20)) < 1e-4


@pytest.mark.parametrize("side", [8, 12, 16, 64, 100, 256])
def test_sizes_to_compare_at_are_ones_that_the_network_takes(side: int) -> None:
    sizes = parity.sizes(side, 4)
    assert sizes[0] == (1, side, side)
    assert any(height != width for _, height, width in sizes)
    assert any(batch > 1 for batch, *_ in sizes)
    for _, height, width in sizes:
        assert height % 4 == width % 4 == 0
        assert min(height, width) >= 8  # the residual blocks, at a quarter of this, reflect one row of two


def test_a_difference_is_the_largest_of_all_and_infinite_between_shapes() -> None:
    network = nn.Identity()
    x = pictures(2, 8, 8)
    changed = x.clone()
    changed[1, 2, 3, 4] += 0.5
    assert parity.largest_difference(network, lambda _: changed, x) == pytest.approx(0.5)
    assert parity.largest_difference(network, lambda given: given, x) == 0
    assert parity.largest_difference(network, lambda given: given[:1], x) == float("inf")
