"""All benchmarks, one after another, each in a process of its own: `python benchmarks`, or `make bench`."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from common import ROOT, Result, markdown, write
from targets import verdicts

ALL = (
    "startup",
    "ceiling",
    "step",
    "agreement",
    "phases",
    "loading",
    "training",
    "log_cost",
    "inference",
    "memory",
    "cores",
)
RESULTS = ROOT / "benchmarks/results"


def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help=f"Of {', '.join(ALL)}; all.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    save: Annotated[str, typer.Option(metavar="NAME", help="Name of the result in benchmarks/results.")] = "latest",
    tiny: Annotated[bool, typer.Option("--tiny", help="In seconds; the figures say nothing.")] = False,
    complete: Annotated[bool, typer.Option("--complete", help="Also what takes many minutes.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Alternations, of which the median counts.")] = 5,
) -> None:
    """Measure this project on this machine; prints tables and writes them as JSON, the ones of earlier runs replaced."""
    unknown = sorted(set(names or ()) - set(ALL))
    if unknown:
        raise typer.BadParameter(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(ALL)}")
    file = RESULTS / f"{save}.json"
    whole: Result = {"machine": {}, "runs": {}, "tables": {}}
    if names and file.exists():  # the other tables stay
        whole = json.loads(file.read_text(encoding="utf-8"))
    flags = [*(["--tiny"] if tiny else []), *(["--complete"] if complete else []), "--rounds", str(rounds)]
    failed = []
    for name in names or ALL:
        print(f"\n## {name}\n", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "result.json"
            script = str(Path(__file__).with_name(f"{name}.py"))
            command = [sys.executable, script, "--device", device, "--json", str(part), *flags]
            if subprocess.run(command, check=False).returncode != 0:
                failed.append(name)
                continue
            result: Result = json.loads(part.read_text(encoding="utf-8"))
        whole = {key: {**whole[key], **result[key]} for key in whole}
        write(whole, file)
    found = verdicts(whole)
    if found:
        print(f"\n## targets\n\n{markdown(found)}")
    print(f"\nwritten: {file.relative_to(ROOT)}")
    if failed:
        print(f"error: {', '.join(failed)} failed, see above", file=sys.stderr)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
