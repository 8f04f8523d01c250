"""horse2zebra through the project's own stages, from an archive at hand, in parts as short as a loan of a GPU.

    python benchmarks/horse2zebra.py horse2zebra.zip WORK RESULTS --preset horse2zebra --minutes 9

Called again with the same folder WORK, it goes on where it was, to the same bytes. Its exit status is 0 when all is done,
75 when it is to be called again, 1 after a mistake. It needs no network. Whatever there is by then lies in RESULTS after
every call, at most 64 MB: settings, metrics, curves, scores, galleries, `parts.json` (the machine, and the seconds of every
part), and at the end the report, and both generators in float16, which `cyclegan import-weights` reads. A training is cut
after any step; every other stage begins anew in the next call, which must leave it time enough. Not part of `make bench`.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
import yaml
from common import ROOT, machine
from workspace import copy_project, written

from cyclegan import config as configuration
from cyclegan import presets
from cyclegan.config import Config
from cyclegan.device import choose_device
from cyclegan.errors import UserError
from cyclegan.exchange.files import export_weights
from cyclegan.pipeline import paths

STAGES = ("download", "preprocess", "train", "evaluate", "export")
AGAIN = 75  # EX_TEMPFAIL of sysexits.h
END_SECONDS = 45.0  # of a call, kept for a training to write its checkpoint, and for bringing back
MOST_BYTES = 64_000_000
RESULTS = ("metrics", "reports", "params.yaml", "parts.json")

Part = dict[str, Any]


def main(
    archive: Annotated[Path, typer.Argument(help="A zip with trainA, trainB, testA and testB, such as horse2zebra.zip.")],
    work: Annotated[Path, typer.Argument(help="A folder to work in, which stays between the calls.")],
    results: Annotated[Path, typer.Argument(help="A folder to bring back; results in it are replaced.")],
    preset: Annotated[str, typer.Option(help="Whose settings: horse2zebra, as the paper has them, or horse2zebra-best.")],
    seed: Annotated[int, typer.Option(min=0, help="Of all random draws.")] = 0,
    minutes: Annotated[
        float | None, typer.Option(min=1, help="How long this call may take; without it, as long as it takes.")
    ] = None,
    change: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="On top of the preset.")] = None,
) -> None:
    """Go on with a whole pipeline."""
    deadline = float("inf") if minutes is None else time.monotonic() + 60 * minutes - END_SECONDS
    try:
        _check_results(results)
        config = _settings(archive, preset, seed, change or [])
        _prepare(work, config)
        finished = _go_on(work, config, deadline)
        _bring_back(work, results)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if not finished:
        print("the time is over; call it again to go on")
        raise typer.Exit(AGAIN)


def _check_results(folder: Path) -> None:
    """What is brought back takes the place of what was brought back before, and of nothing else."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / "parts.json").is_file()):
        raise UserError(f"{folder} holds other things than results of this script; give an empty or another folder")


def _settings(archive: Path, preset: str, seed: int, changes: list[str]) -> Config:
    """params.yaml of this checkout with the preset over it, the seed and the archive, and then the changes."""
    try:
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{archive}: {error.strerror}; give the archive, such as horse2zebra.zip") from None
    overlay = presets.resolve(preset, ROOT / "presets")
    overlay |= {"seed": seed, "dataset.url": archive.resolve().as_uri(), "dataset.sha256": digest, "tracking.uri": None}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise UserError(f"--set {change} is not KEY=VALUE; write it as --set schedule.n_epochs=1")
        overlay[name] = yaml.safe_load(value)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for name, value in overlay.items():
        section, _, key = name.rpartition(".")
        (params.setdefault(section, {}) if section else params)[key] = value
    return configuration.parse(params, f"params.yaml with {preset}")


def _prepare(work: Path, config: Config) -> None:
    """Make the project in an empty folder; in one that has one, it must have been made by the same call."""
    text, params = written(config), work / "params.yaml"
    if params.is_file():
        if params.read_text(encoding="utf-8") != text:
            raise UserError(f"{work} was begun with another archive, preset, seed or --set; give those, or an empty folder")
        return
    copy_project(work)
    params.write_text(text, encoding="utf-8")


def _go_on(work: Path, config: Config, deadline: float) -> bool:
    """Run what has not run yet; returns whether all has."""
    file = work / "parts.json"
    record = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"parts": []}
    parts: list[Part] = record["parts"]
    record["machine"] = machine(choose_device(config.runtime.device))
    for stage in STAGES:
        if any(part["stage"] == stage and part["finished"] for part in parts):
            continue
        began = time.monotonic()
        finished = began < deadline and _run(work, stage, deadline)
        parts.append({"stage": stage, "seconds": round(time.monotonic() - began, 1), "finished": finished})
        file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        if not finished:
            return False
    return True


def _run(work: Path, stage: str, deadline: float) -> bool:
    """One stage, asked to end when the time is over, as a training does after a checkpoint; whether it came to its end."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    with subprocess.Popen([sys.executable, f"stages/{stage}.py"], cwd=work, env=surroundings) as process:
        try:
            status = process.wait(None if deadline == float("inf") else max(deadline - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
            return False
    if status != 0:
        raise UserError(f"the stage {stage} ended with status {status}, see above")
    return True


def _bring_back(work: Path, results: Path) -> None:
    """Copy what there is; both generators once they are exported."""
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    for name in RESULTS:
        if (work / name).is_dir():
            shutil.copytree(work / name, results / name)
        elif (work / name).is_file():
            shutil.copy(work / name, results)
    if (work / paths.EXPORT_METRICS).is_file():
        export_weights(work / paths.TRAINED, results / "generators")
        for file in (results / "generators").iterdir():
            if "_net_D_" in file.name:
                file.unlink()
            else:
                weights = torch.load(file, weights_only=True)
                torch.save({name: tensor.half() for name, tensor in weights.items()}, file)
    size = sum(file.stat().st_size for file in results.rglob("*") if file.is_file())
    print(f"{results}: {size / 1e6:.1f} MB")
    if size > MOST_BYTES:
        raise UserError(f"{results} has {size / 1e6:.1f} MB, which is more than {MOST_BYTES / 1e6:.0f}; take less of it")


if __name__ == "__main__":
    typer.run(main)
