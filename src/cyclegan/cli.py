"""The `cyclegan` command: everything that is not a stage of the pipeline."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cyclegan import __version__
from cyclegan.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Unpaired image-to-image translation.")


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Unpaired image-to-image translation. The pipeline itself runs through `dvc repro`."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def translate(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A picture, or a folder of pictures.")],
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Where to write: the same kind as INPUT.")],
    model: Annotated[Path, typer.Option(help="A generator's folder, such as models/exported/G_AB, or an ONNX file.")],
    resize: Annotated[int | None, typer.Option(min=8, help="Resize the shorter side to so many px first.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
) -> None:
    """Translate pictures to the other domain, keeping their names and sizes."""
    from rich.progress import Progress

    from cyclegan.device import choose_device
    from cyclegan.inference import translator

    try:
        generator = translator.load(model, choose_device(device))
        done, bad = 0, []
        with Progress(transient=True) as bar:
            for path, problem in bar.track(translator.translate_files(generator, source, target, resize)):
                done += problem is None
                bad += [] if problem is None else [f"  {path}: {problem}"]
    except UserError as error:
        _fail(str(error))
    print(f"translated {done} of {done + len(bad)} into {target}")
    if bad:
        _fail(f"{len(bad)} could not be translated:\n" + "\n".join(bad))


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(1)
