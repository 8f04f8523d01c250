"""Stage export: see cyclegan.pipeline.export."""

from pathlib import Path
from typing import Annotated

import typer
from bootstrap import run


def main(params: Annotated[Path, typer.Option(help="the parameter file")] = Path("params.yaml")) -> None:
    """Write each generator in three formats that agree, with a model card."""
    from cyclegan.pipeline.export import export

    run("export", params, export)


if __name__ == "__main__":
    typer.run(main)
