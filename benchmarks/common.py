"""What every benchmark shares: options, fair timing, the machine's description, and results as table and JSON."""

import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import psutil
import torch
import typer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))  # this checkout is measured, not the installed one

from cyclegan.device import choose_device
from cyclegan.errors import UserError

PACKAGES = ("torch", "torchvision", "numpy", "onnxruntime", "mlflow", "dvc")

Row = dict[str, Any]  # str, int, float, bool or None by column; a name says its unit
Result = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        device: on what.
        tiny: in seconds, with networks and counts so small that the figures say nothing: for tests.
        complete: also what takes many minutes.
        rounds: alternations, of which the median counts.
    """

    device: torch.device
    tiny: bool = False
    complete: bool = False
    rounds: int = 5


Measure = Callable[[Options], list[Row]]


def run(measure: Measure) -> None:
    """The command line of one benchmark: prints its table, and writes its result as JSON where that is asked for."""

    def command(
        device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
        tiny: Annotated[bool, typer.Option("--tiny", help="In seconds; the figures say nothing.")] = False,
        complete: Annotated[bool, typer.Option("--complete", help="Also what takes many minutes.")] = False,
        rounds: Annotated[int, typer.Option(min=1, help="Alternations, of which the median counts.")] = 5,
        file: Annotated[Path | None, typer.Option("--json", help="Where to write the result.")] = None,
    ) -> None:
        try:
            options = Options(choose_device(device), tiny, complete, rounds)
            if tiny:
                torch.set_num_threads(1)  # quicker than many, for tiny networks
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        result = _rounded(measured(Path(sys.argv[0]).stem, measure, options))  # printed and written are the same
        print(markdown(next(iter(result["tables"].values()))))
        if file:
            write(result, file)

    typer.run(command)


def measured(name: str, measure: Measure, options: Options) -> Result:
    """The rows of a benchmark with all that they depend on."""
    began, load = time.perf_counter(), os.getloadavg()[0]
    rows = measure(options)
    about = {"seconds": round(time.perf_counter() - began, 1), "rounds": options.rounds, "load_before": round(load, 2)}
    return {"machine": machine(options.device), "runs": {name: about}, "tables": {name: rows}}


def write(result: Result, path: Path) -> None:
    """Write a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    """The same with numbers to six significant digits, and nothing in place of what is not finite."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _rounded(entry) for key, entry in value.items()}
    return [_rounded(entry) for entry in value] if isinstance(value, list) else value


def machine(device: torch.device) -> dict[str, str]:
    """What the figures depend on; nothing that names this very machine."""
    cores, memory = os.cpu_count(), psutil.virtual_memory().total
    about = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": _commit(),
        "device": _gpu(device) if device.type == "cuda" else device.type,
        "processor": f"{_processor()}, {cores} cores, {torch.get_num_threads()} threads, {memory / 1e9:.0f} GB of memory",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "packages": ", ".join(_packages()),
    }
    if device.type == "cpu":
        about["bf16"] = "multiplied by AMX" if torch.cpu._is_amx_tile_supported() else "not multiplied by AMX"  # noqa: SLF001 - as device.py
    return about


def _packages() -> Iterator[str]:
    for name in PACKAGES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"no {name}"


def _processor() -> str:
    """Its model, or where that is kept secret what the system says."""
    info = Path("/proc/cpuinfo")
    fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line) if info.exists() else {}
    names = {key.strip(): value.strip() for key, value in fields.items()}
    return names.get("model name") or platform.processor() or platform.machine()


def _gpu(device: torch.device) -> str:
    about = torch.cuda.get_device_properties(device)
    return f"{about.name}, {about.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + (" and uncommitted changes" if git("status", "--porcelain") else "")


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def alternate(
    work: Mapping[str, Callable[[], object]], device: torch.device, rounds: int, block_seconds: float = 0.5
) -> dict[str, list[float]]:
    """Time several things side by side: one block of each in turn, `rounds` times, so that a drifting clock hits all alike.

    Args:
        work: what to time, by name; called twice before it counts.
        device: what it may leave running.
        rounds: how many blocks of each.
        block_seconds: a block is as many calls as take about so long, at least one.

    Returns:
        seconds a call, a number a block.
    """
    calls = {}
    for name, function in work.items():
        function()
        seconds = _seconds(function, 1, device)
        calls[name] = max(1, round(block_seconds / max(seconds, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, function in work.items():
            times[name].append(_seconds(function, calls[name], device))
    return times


def _seconds(function: Callable[[], object], calls: int, device: torch.device) -> float:
    synchronize(device)
    started = time.perf_counter()
    for _ in range(calls):
        function()
    synchronize(device)
    return (time.perf_counter() - started) / calls


def spread(seconds: Sequence[float]) -> Row:
    """The columns of a timing: median, fastest and slowest block."""
    return {"seconds": statistics.median(seconds), "fastest": min(seconds), "slowest": max(seconds)}


@dataclass
class Usage:
    """Wall-clock time of a piece of work, and the cores it used.

    Attributes:
        seconds: as a clock on the wall has it.
        cores: how many it kept busy on average, of those that other work left it.
        most_cores: processor time of all threads over that of the calling one: no more cores than that can be kept busy,
            however many there are. Other work on the machine hardly changes it.
    """

    seconds: float = 0.0
    cores: float = 0.0
    most_cores: float = 0.0


@contextmanager
def usage() -> Iterator[Usage]:
    """Measure what runs within, over all threads of this process."""
    result, before, own, started = Usage(), _cpu_seconds(), time.thread_time(), time.perf_counter()
    yield result
    result.seconds = time.perf_counter() - started
    used = _cpu_seconds() - before
    result.cores, result.most_cores = used / result.seconds, used / max(time.thread_time() - own, 1e-9)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_bytes(device: torch.device) -> int:
    """The most memory that this process held so far: on the device, or where that is the processor, resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def markdown(rows: Sequence[Row]) -> str:
    """Rows as a table of Markdown, which can be read as it is too; numbers to three significant digits."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[name.replace("_", " ") for name in columns], *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(3, *(len(line[index]) for line in cells)) for index in range(len(columns))]
    numeric = [all(not isinstance(row.get(name), str) for row in rows) for name in columns]
    head, *body = (
        "| " + " | ".join(_padded(*cell) for cell in zip(line, widths, numeric, strict=True)) + " |" for line in cells
    )
    rule = "".join(f"| {'-' * (width - 1)}{':' if right else '-'} " for width, right in zip(widths, numeric, strict=True))
    return "\n".join([head, f"{rule}|", *body])


def _padded(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
        case int():
            return f"{value:,}"
    return str(value)
