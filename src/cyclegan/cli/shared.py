"""What several commands share."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

ParamsFile = Annotated[Path, typer.Option(help="The parameter file.")]


def fail(message: str) -> NoReturn:
    """End the command with an error, and status 1."""
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(1)
