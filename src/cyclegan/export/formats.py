"""A generator as ONNX and as a torch.export program, both with batch, height and width free.

The bytes depend on the weights alone: source paths and stack traces, which both exporters record, are left out.
"""

import contextlib
import io
import logging
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.export import Dim

ONNX_FILE = "generator.onnx"
PROGRAM_FILE = "generator.pt2"
INPUT, OUTPUT = "input", "output"
LARGEST = 4096  # batch, and height and width in strides, that the exported programs accept


def export_program(network: nn.Module, channels_in: int, stride: int, path: Path) -> None:
    """Write `torch.export.save`'s format; `torch.export.load(path).module()` runs it on [N, C, H, W]."""
    program = torch.export.export(network, (_example(channels_in),), dynamic_shapes=(_free(stride),))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    # The exporter fills this from a set, in an order that changes from process to process.
    ordered = sorted(program.range_constraints.items(), key=lambda item: str(item[0]))
    program.range_constraints.clear()
    program.range_constraints.update(ordered)
    torch.export.save(program, path)


def export_onnx(network: nn.Module, channels_in: int, stride: int, opset: int, path: Path) -> None:
    """Write ONNX with input "input" [N, C, H, W] and output "output" [N, C', H, W], float32 in [-1, 1]."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # the exporter reports each of its passes
        exported = torch.onnx.export(
            network,
            (_example(channels_in),),
            dynamo=True,
            dynamic_shapes=(_free(stride),),
            opset_version=opset,
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _example(channels_in: int) -> torch.Tensor:
    return torch.zeros(2, channels_in, 64, 64)  # a size of 1 would be taken for a constant


def _free(stride: int) -> dict[int, object]:
    batch, height, width = (
        Dim(name, min=1 if name == "batch" else 2, max=LARGEST) for name in ("batch", "rows", "columns")
    )
    return {0: batch, 2: stride * height, 3: stride * width}


def _strip(model: onnx.ModelProto) -> None:
    """Remove what names this machine or the exporter's passes; the arithmetic stays."""
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        del graph.metadata_props[:]
        for node in graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
    for entry in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del entry.metadata_props[:]
