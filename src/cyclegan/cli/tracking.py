"""Commands on MLflow's runs and models."""

from pathlib import Path
from typing import Annotated

import typer

from cyclegan.cli.shared import ParamsFile, fail
from cyclegan.errors import UserError


def sync() -> None:
    """Send to MLflow what stages could not send, and mark trainings that were killed."""
    from cyclegan import lineage, tracking

    problems = tracking.sync(lineage.project_root())
    if problems:
        fail("MLflow did not take everything:\n" + "\n".join(f"  {problem}" for problem in problems))
    print("what stages left behind is sent")


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the address 127.0.0.1.")] = 5000,
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Browse the runs in MLflow, until Ctrl-C; where they are kept by a server, print its address."""
    from cyclegan import config
    from cyclegan.pipeline import browse

    try:
        browse.browse(config.load(params).tracking, port)
    except UserError as error:
        fail(str(error))


def register(
    model: Annotated[Path, typer.Option(help="The folder of both generators.")] = Path("models/exported"),
    name: Annotated[str | None, typer.Option(help="Instead of export.registered_model.")] = None,
    metric: Annotated[str | None, typer.Option(help="Instead of export.champion_metric.")] = None,
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Register the exported generators in MLflow; the champion is replaced only where the score shows a better one."""
    from cyclegan import config
    from cyclegan.pipeline import registration

    try:
        lines = registration.register(config.load(params), model, name, metric)
    except UserError as error:
        fail(str(error))
    print(*lines, sep="\n")
