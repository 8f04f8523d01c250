"""Stage train: see cyclegan.pipeline.train."""

from pathlib import Path
from typing import Annotated

import typer
from bootstrap import run


def main(params: Annotated[Path, typer.Option(help="the parameter file")] = Path("params.yaml")) -> None:
    """Train both directions under one MLflow run, resumably."""
    from cyclegan import config
    from cyclegan.pipeline.train import train

    run(lambda: train(config.load(params), params))


if __name__ == "__main__":
    typer.run(main)
