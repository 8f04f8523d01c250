"""A generator as ONNX and as a torch.export program, both with batch, height and width free.

The bytes depend on the weights alone: source paths and stack traces, which both exporters record, are left out.
"""

import contextlib
import io
import logging
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.export import Dim

from cyclegan.models.networks import any_size
from cyclegan.models.specs import GeneratorSpec

ONNX_FILE = "generator.onnx"
PROGRAM_FILE = "generator.pt2"
INPUT, OUTPUT = "input", "output"
LARGEST = 4096  # batch, and height and width in strides, that the exported programs accept


@dataclass(frozen=True)
class Shape:
    """What a generator takes: so many channels; height and width multiples of `stride` px, from `smallest` px."""

    channels_in: int
    stride: int
    smallest: int

    @property
    def example_side(self) -> int:
        """A size in the midst of what is allowed, in px: the exporter may take the ends for constants."""
        return max(2 * self.stride, 64)

    @property
    def example(self) -> torch.Tensor:
        """Two pictures of that size; a batch of 1 would be taken for a constant too."""
        return torch.zeros(2, self.channels_in, self.example_side, self.example_side)

    @property
    def free(self) -> dict[int, object]:
        """The axes that stay free, for `torch.export`."""
        batch = Dim("batch", min=1, max=LARGEST)
        rows, columns = (Dim(name, min=self.smallest // self.stride, max=LARGEST) for name in ("rows", "columns"))
        return {0: batch, 2: self.stride * rows, 3: self.stride * columns}


def shape_of(spec: GeneratorSpec) -> Shape:
    """What the generator that a spec describes takes."""
    return Shape(spec.channels_in, spec.stride, spec.smallest)


def export_program(network: nn.Module, shape: Shape, path: Path) -> None:
    """Write `torch.export.save`'s format; `torch.export.load(path).module()` runs it on [N, C, H, W]."""
    with any_size():
        program = torch.export.export(network, (shape.example,), dynamic_shapes=(shape.free,))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    # The exporter fills this from a set, in an order that changes from process to process.
    ordered = sorted(program.range_constraints.items(), key=lambda item: str(item[0]))
    program.range_constraints.clear()
    program.range_constraints.update(ordered)
    whole = io.BytesIO()  # where a file cannot grow, PyTorch's own writer ends the process
    torch.export.save(program, whole)
    path.write_bytes(whole.getvalue())


def export_onnx(network: nn.Module, shape: Shape, opset: int, path: Path) -> None:
    """Write ONNX with input "input" [N, C, H, W] and output "output" [N, C', H, W], float32 in [-1, 1].

    Its metadata say which sides it takes: `stride` and `smallest`, in px.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with any_size(), contextlib.redirect_stdout(io.StringIO()):  # the exporter reports each of its passes
        exported = torch.onnx.export(
            network,
            (shape.example,),
            dynamo=True,
            dynamic_shapes=(shape.free,),
            opset_version=opset,
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    _strip(model)
    onnx.helper.set_model_props(model, {"smallest": str(shape.smallest), "stride": str(shape.stride)})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


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
