"""`cyclegan preset ...`."""

from pathlib import Path
from typing import Annotated

import typer

from cyclegan.cli.shared import ParamsFile, fail
from cyclegan.errors import UserError

app = typer.Typer(no_args_is_help=True, help="Named settings for params.yaml, such as those of the paper.")

PresetName = Annotated[str, typer.Argument(metavar="NAME", help="A preset, as `cyclegan preset list` names it.")]


@app.command("list")
def list_all() -> None:
    """List the presets."""
    from cyclegan import presets

    try:
        lines = {name: presets.describe(name) for name in presets.names()}
    except UserError as error:
        fail(str(error))
    width = max(len(name) for name in lines)
    for name, description in lines.items():
        print(f"{name:<{width}}  {description}".rstrip())


@app.command("show")
def show(name: PresetName, params: ParamsFile = Path("params.yaml")) -> None:
    """Print every key that the preset NAME sets, and which of them the parameter file has otherwise."""
    from cyclegan import presets

    try:
        overlay = presets.resolve(name)
        changes = presets.differences(overlay, params)
    except UserError as error:
        fail(str(error))
    for key, value in overlay.items():
        mark = f"  # {params} has {presets.spelled(changes[key][0])}" if key in changes else ""
        print(f"{key}: {presets.spelled(value)}{mark}")
    print(f"{len(changes)} of {len(overlay)} differ from {params}")


@app.command("apply")
def apply(
    name: PresetName,
    params: ParamsFile = Path("params.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Also over edits that git does not have.")] = False,
) -> None:
    """Write the values of the preset NAME into the parameter file, keeping its comments, and print what changed."""
    from cyclegan import lineage, presets

    try:
        overlay = presets.resolve(name)
        changes = presets.differences(overlay, params)
        if changes and not force and lineage.has_uncommitted_edits(params):
            raise UserError(
                f"{params} has edits that git does not have, and the preset {name} would mix with them; keep them "
                f"(`git add {params}`, `git commit`), set them aside (`git stash`), or go on with --force"
            )
        if changes:
            presets.apply(overlay, params)
    except UserError as error:
        fail(str(error))
    for key, (old, new) in changes.items():
        print(f"{key}: {presets.spelled(old)} -> {presets.spelled(new)}")
    if not changes:
        print(f"nothing changed: {params} has every value of the preset {name}")
