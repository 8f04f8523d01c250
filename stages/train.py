"""Stage train: see cyclegan.pipeline.train."""

from pathlib import Path
from typing import Annotated

import typer
from bootstrap import accompany, run


def main(params: Annotated[Path, typer.Option(help="the parameter file")] = Path("params.yaml")) -> None:
    """Train both directions under one MLflow run, resumably."""
    from cyclegan.pipeline.train import follow, train
    from cyclegan.training.parallel import rank

    if rank() == 0:
        run("train", params, train)
    else:
        accompany("train", follow)


if __name__ == "__main__":
    typer.run(main)
