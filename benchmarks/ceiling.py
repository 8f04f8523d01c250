"""The device's ceiling: the fastest matrix products that PyTorch makes on it, which no training step can outrun."""

import torch
from common import Options, Row, alternate, run, spread
from torch import Tensor

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


def measure(options: Options) -> list[Row]:
    """A row a type and size of the square matrices; `tflops` are 10^12 operations a second, a product's sum counts too."""
    sizes = (128,) if options.tiny else (4096, 8192, 16384) if options.device.type == "cuda" else (1024, 2048, 4096)
    return [_row(name, size, options) for name in DTYPES for size in sizes]


def tflops(options: Options) -> float:
    """The best of all types and sizes."""
    return max(float(row["tflops"]) for row in measure(options))


def _row(dtype: str, size: int, options: Options) -> Row:
    one, two = (torch.randn(size, size, device=options.device).to(DTYPES[dtype]) for _ in range(2))

    def product() -> Tensor:
        return one @ two

    times = alternate({"product": product}, options.device, options.rounds)["product"]
    timing = spread(times)
    return {"type": dtype, "size": size, **timing, "tflops": 2 * size**3 / timing["fastest"] / 1e12}


if __name__ == "__main__":
    run(measure)
