"""The most memory that training holds, by the size of its crops; each size in a process of its own."""

import json
import os
import subprocess
import sys
from typing import Annotated, Any

import torch
import typer
from common import ROOT, Options, Row, peak_bytes, run
from subject import FAST, TINY, Ours, configured

from cyclegan import config as configuration
from cyclegan import presets
from cyclegan.device import OUT_OF_MEMORY

KILLED = -9  # by the system, for the memory that it took
STEPS = 2  # the second has all that stays
SAVINGS: tuple[dict[str, Any], ...] = (  # settings of `train` that take less memory, as far as this version has them
    {},
    {"accumulate": 4, "batch_size": 4},
    {"batch_size": 4},
    {"checkpoint_activations": True},
)


def measure(options: Options) -> list[Row]:
    """A row a crop size and saving; `bytes_before` is what the process held before it built the networks."""
    sides = (32,) if options.tiny else (256, 512, 1024) if options.device.type == "cuda" else (64, 128, 256)
    known = configuration.TrainConfig.model_fields
    rows = []
    for side in sides:
        for saving in SAVINGS:
            if known.keys() >= saving.keys():
                named = ", ".join(f"train.{key}: {str(value).lower()}" for key, value in saving.items()) or "-"
                row = {"crop_px": side, "pictures_a_step": saving.get("batch_size", 1), "settings": named}
                rows.append(row | _in_a_process(side, saving, options))
    return rows


def _in_a_process(side: int, saving: dict[str, Any], options: Options) -> Row:
    """Peak and seconds; None for both where there was not enough memory."""
    values = {f"train.{key}": value for key, value in saving.items()}
    size = {"preprocess.load_size": side, "preprocess.crop_size": side}
    base = TINY if options.tiny else presets.resolve("reference", ROOT / "presets") | FAST
    overrides = json.dumps(base | {"train.batch_size": 1} | size | values)
    command = [sys.executable, __file__, "--child", overrides, "--device", str(options.device)]
    environment = os.environ | ({"OMP_NUM_THREADS": "1"} if options.tiny else {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        row: Row = json.loads(done.stdout.splitlines()[-1])
        return row
    if not any(words in done.stderr for words in OUT_OF_MEMORY) and done.returncode != KILLED:
        raise RuntimeError(done.stderr)
    return {"bytes_before": None, "peak_bytes": None, "peak_gb": None}


def child(overrides: Annotated[str, typer.Option("--child")], device: Annotated[str, typer.Option("--device")]) -> None:
    """Train some steps and print what they held."""
    where = torch.device(device)
    before = peak_bytes(where)
    ours = Ours(configured(json.loads(overrides)), where)
    for _ in range(STEPS):
        ours.iterate()
    peak = peak_bytes(where)
    print(json.dumps({"bytes_before": before, "peak_bytes": peak, "peak_gb": peak / 1e9}))


if __name__ == "__main__":
    if "--child" in sys.argv:
        typer.run(child)
    else:
        run(measure)
