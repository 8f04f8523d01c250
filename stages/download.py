"""Stage download: see cyclegan.pipeline.download."""

from pathlib import Path
from typing import Annotated

import typer
from bootstrap import run


def main(params: Annotated[Path, typer.Option(help="the parameter file")] = Path("params.yaml")) -> None:
    """Bring raw pictures of both domains."""
    from cyclegan.pipeline.download import download

    run("download", params, download)


if __name__ == "__main__":
    typer.run(main)
