"""Commands on pictures: before a training, and with what it made."""

from pathlib import Path
from typing import Annotated

import typer

from cyclegan.cli.shared import ParamsFile, fail
from cyclegan.errors import UserError


def check(params: ParamsFile = Path("params.yaml")) -> None:
    """Check settings and pictures without training, and estimate memory, disk and time on this machine."""
    from cyclegan import config
    from cyclegan.pipeline import check as checks

    try:
        settings = config.load(params)
        verdict = checks.check(settings)
    except UserError as error:
        fail(f"{error}\nnot ready: mend the above, and check again")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}\nnot ready: mend the above, and check again")
    for subject, finding in [("settings", f"{params} is valid"), *verdict.lines]:
        print(f"{subject:<10}{finding}")
    for warning in verdict.warnings:
        print(f"warning: {warning}")
    if verdict.failures:
        fail("\nerror: ".join(verdict.failures) + f"\nnot ready: {len(verdict.failures)} to mend")
    print("ready: `make repro` or `dvc repro` can run")


def show_batch(
    sets: Annotated[int, typer.Option(min=1, help="How many times a row of A and a row of B.")] = 2,
    cols: Annotated[int, typer.Option(min=1, help="Pictures a row.")] = 3,
    out: Annotated[Path, typer.Option(help="Where to write the sheet.")] = Path("batch.png"),
    params: Annotated[Path, typer.Option(help="The parameter file.")] = Path("params.yaml"),
) -> None:
    """Draw what training is shown: unpaired rows of A and of B, scaled, cropped and flipped. Run preprocess first."""
    from cyclegan import config, images
    from cyclegan.pipeline import show

    try:
        pixels = show.show_batch(config.load(params), sets, cols)
        if not images.is_picture(out):
            raise UserError(f"{out} has no suffix of a picture format ({', '.join(sorted(images.SUFFIXES))})")
        out.parent.mkdir(parents=True, exist_ok=True)
        images.write(out, pixels)
    except UserError as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot write {out}: {error.strerror}; give another --out")
    print(f"rows {', '.join(domain for _ in range(sets) for domain in 'AB')} of {cols} pictures each: {out}")


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
        fail(str(error))
    print(f"translated {done} of {done + len(bad)} into {target}")
    if bad:
        fail(f"{len(bad)} could not be translated:\n" + "\n".join(bad))
