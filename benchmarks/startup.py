"""Start-up: every command's --help, and what `dvc repro` takes beyond DVC's own time when there is nothing to do."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from common import ROOT, Options, Row, run

COMMANDS = ("translate", "preset list", "preset show", "preset apply", "import-weights", "export-weights", "check", "sync")
STAND_IN = """
import pathlib, sys
for name in sys.argv[1:]:
    path = pathlib.Path(name)
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("made")
    else:
        path.mkdir(parents=True, exist_ok=True)
        (path / "file").write_text("made")
"""  # does in no time what a stage does, as far as DVC sees: it makes the outputs


def measure(options: Options) -> list[Row]:
    """A row a command; `seconds` is the median, `beyond` what it takes more than DVC or Python alone."""
    rounds = 1 if options.tiny else options.rounds
    return [*_python(rounds, tiny=options.tiny), *_dvc(rounds)]


def _python(rounds: int, *, tiny: bool) -> Iterator[Row]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = "from cyclegan.cli import app; app()"
    commands: dict[str, Sequence[str]] = {
        "python": ("-c", "pass"),
        "import typer": ("-c", "import typer"),
        "import cyclegan": ("-c", "import cyclegan"),
        "cyclegan --help": ("-c", command, "--help"),
    }
    for name in () if tiny else (*COMMANDS, "show-batch"):
        commands[f"cyclegan {name} --help"] = ("-c", command, *name.split(), "--help")
    for script in sorted((ROOT / "stages").glob("*.py")):
        if script.stem != "bootstrap":
            commands[f"stages/{script.name} --help"] = (str(script), "--help")
    alone = 0.0
    for name, arguments in commands.items():
        seconds = [_seconds([sys.executable, *arguments], ROOT, environment) for _ in range(rounds)]
        alone = alone or statistics.median(seconds)
        yield {"command": name, "seconds": statistics.median(seconds), "beyond": statistics.median(seconds) - alone}


def _dvc(rounds: int) -> Iterator[Row]:
    """Our pipeline, and one of as many stages with one small file each, in turn: nothing to do in either."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "PATH": path}
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    with TemporaryDirectory() as name:
        ours, trivial = Path(name) / "ours", Path(name) / "trivial"
        for folder in (ours, trivial):
            folder.mkdir()
            environment["DVC_SITE_CACHE_DIR"] = str(Path(name) / "site")
            (folder / "stand_in.py").write_text(STAND_IN)
        for part in ("src", "stages", "weights/random", "pictures"):
            shutil.copytree(ROOT / part, ours / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "*.jpg"))
        for part in ("params.yaml", ".dvcignore"):
            shutil.copy(ROOT / part, ours / part)
        own = {name: stage | {"cmd": f"python stand_in.py {' '.join(_outputs(stage))}"} for name, stage in stages.items()}
        small = {
            name: {"cmd": f"python stand_in.py {index}.txt", "outs": [f"{index}.txt"]} for index, name in enumerate(stages)
        }
        for folder, pipeline in ((ours, own), (trivial, small)):
            (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": pipeline}, sort_keys=False))
            _seconds(["dvc", "init", "--no-scm", "--quiet"], folder, environment)
            _seconds(["dvc", "repro", "--quiet"], folder, environment)
        times: dict[Path, list[float]] = {trivial: [], ours: []}
        for _ in range(rounds):
            for folder, seconds in times.items():
                seconds.append(_seconds(["dvc", "repro"], folder, environment, says="up to date"))
    base = statistics.median(times[trivial])
    for what, folder in (("an empty pipeline", trivial), ("ours", ours)):
        seconds_ours = statistics.median(times[folder])
        yield {"command": f"dvc repro, nothing to do: {what}", "seconds": seconds_ours, "beyond": seconds_ours - base}


def _outputs(stage: dict[str, Any]) -> Iterator[str]:
    for kind in ("outs", "metrics", "plots"):
        for entry in stage.get(kind, ()):
            yield entry if isinstance(entry, str) else next(iter(entry))


def _seconds(command: Sequence[str], folder: Path, environment: dict[str, str], says: str = "") -> float:
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    took = time.perf_counter() - started
    if done.returncode != 0 or says not in done.stdout:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-2000:]}")
    return took


if __name__ == "__main__":
    run(measure)
