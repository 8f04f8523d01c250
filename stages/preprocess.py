"""Stage preprocess: see cyclegan.pipeline.preprocess."""

from pathlib import Path
from typing import Annotated

import typer
from bootstrap import run


def main(params: Annotated[Path, typer.Option(help="the parameter file")] = Path("params.yaml")) -> None:
    """Judge, decode and resize every picture once, and pack the pixels."""
    from cyclegan.pipeline.preprocess import preprocess

    run("preprocess", params, preprocess)


if __name__ == "__main__":
    typer.run(main)
