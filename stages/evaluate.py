"""Stage evaluate: see cyclegan.pipeline.evaluate."""

from pathlib import Path
from typing import Annotated

import typer
from bootstrap import run


def main(params: Annotated[Path, typer.Option(help="the parameter file")] = Path("params.yaml")) -> None:
    """Score both directions on held-out pictures beside trivial answers."""
    from cyclegan.pipeline.evaluate import evaluate

    run("evaluate", params, evaluate)


if __name__ == "__main__":
    typer.run(main)
