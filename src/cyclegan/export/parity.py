"""Do the exported programs compute what the network computes?"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cyclegan.export.formats import INPUT, ONNX_FILE, PROGRAM_FILE

Program = Callable[[Tensor], Tensor]


def load_onnx(path: Path) -> Program:
    """The ONNX program under ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda pictures: torch.from_numpy(np.asarray(session.run(None, {INPUT: pictures.numpy()})[0]))


def load_program(path: Path) -> Program:
    """The torch.export program."""
    module = torch.export.load(path).module()
    return lambda pictures: module(pictures)


LOADERS: dict[str, Callable[[Path], Program]] = {ONNX_FILE: load_onnx, PROGRAM_FILE: load_program}


def sizes(side: int, stride: int, smallest: int) -> list[tuple[int, int, int]]:
    """Batch, height and width to compare at: the training size, a batch of it, a larger wide one and a smaller tall one."""
    return [
        (1, side, side),
        (3, side, side),
        (1, side + stride, side + 2 * stride),
        (2, side, max(smallest, side // 2 // stride * stride)),
    ]


@torch.no_grad()
def largest_difference(network: nn.Module, program: Program, pictures: Tensor) -> float:
    """Max |network(pictures) - program(pictures)|, on outputs in [-1, 1]; infinite where the shapes differ."""
    expected, actual = network(pictures), program(pictures)
    return float((expected - actual).abs().max()) if expected.shape == actual.shape else float("inf")
