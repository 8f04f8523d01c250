"""Translating pictures: the generator run by PyTorch as it is, compiled, and as ONNX."""

import statistics
import tempfile
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from common import Options, Row, alternate, run, spread
from subject import TINY_BACKEND, cases, generator
from torch import Tensor

from cyclegan.config import STRIDES, Config, smallest_translated
from cyclegan.export.formats import ONNX_FILE, Shape, export_onnx
from cyclegan.export.parity import load_onnx

BATCHES = (1, 8)


def measure(options: Options) -> list[Row]:
    """A row a way and batch size for each case; float32 in and out. ONNX Runtime runs on the processor, wherever we do."""
    return [row for name, config in cases(options).items() for row in _case(name, config, options)]


@torch.no_grad()
def _case(name: str, config: Config, options: Options) -> list[Row]:
    torch.manual_seed(0)
    network = generator(config, options.device)
    plain = deepcopy(network).cpu().to(memory_format=torch.contiguous_format)
    shape = Shape(config.model.input_nc, STRIDES[config.model.netG], smallest_translated(config.model.netG))
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(plain, shape, config.export.opset, Path(folder) / ONNX_FILE)
        onnx = load_onnx(Path(folder) / ONNX_FILE)
    compiled = torch.compile(network, backend=TINY_BACKEND if options.tiny else "inductor")
    ways: dict[str, Callable[[Tensor], Tensor]] = {"eager": network, "compiled": compiled, "ONNX": onnx}
    rows = []
    for batch_size in BATCHES[:1] if options.tiny else BATCHES:
        side = config.preprocess.crop_size
        pictures = torch.rand(batch_size, config.model.input_nc, side, side) * 2 - 1
        inputs = {way: pictures if way == "ONNX" else pictures.to(options.device) for way in ways}
        work = {way: partial(ways[way], inputs[way]) for way in ways}
        times = alternate(work, options.device, options.rounds, block_seconds=0.01 if options.tiny else 0.5)
        eager = statistics.median(times["eager"])
        expected = network(inputs["eager"]).cpu()
        for way, seconds in times.items():
            timing = spread(seconds)
            row = {"case": name, "way": way, "on": "cpu" if way == "ONNX" else options.device.type, "batch": batch_size}
            speed = {"images_per_second": batch_size / timing["seconds"], "times_eager": eager / timing["seconds"]}
            difference = float((ways[way](inputs[way]).cpu() - expected).abs().max())
            rows.append({**row, **timing, **speed, "largest_difference": difference})
    return rows


if __name__ == "__main__":
    run(measure)
