"""All commands together."""

from typing import Annotated

import typer

from cyclegan import __version__
from cyclegan.cli import history, pictures, presets, tracking, weights

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Unpaired image-to-image translation.")
app.add_typer(presets.app, name="preset")
for command in (
    pictures.check,
    pictures.show_batch,
    pictures.translate,
    weights.import_weights,
    weights.export_weights,
    history.runs,
    history.verify,
    history.reproduce,
    history.compare,
    history.sweep,
    tracking.ui,
    tracking.sync,
    tracking.register,
):
    app.command()(command)


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Unpaired image-to-image translation. The pipeline itself runs through `dvc repro`."""
    if version:
        print(__version__)
        raise typer.Exit
