"""Weights of other projects, in and out."""

from pathlib import Path
from typing import Annotated

import typer

from cyclegan.cli.shared import fail
from cyclegan.errors import UserError


def import_weights(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A weights file, or a folder of a project's checkpoints.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The folder to write, such as weights/NAME.")],
    name: Annotated[
        str | None,
        typer.Option("--as", help="What a single file holds, if its name does not tell: G_AB, G_BA, D_A or D_B."),
    ] = None,
    epoch: Annotated[str, typer.Option(help="Of a folder: take the files N_net_* of this epoch.")] = "latest",
    size: Annotated[int, typer.Option(min=1, help="Side of the squares it was trained on, in px.")] = 256,
    dropout: Annotated[
        bool,
        typer.Option(
            "--dropout/--no-dropout",
            help="Whether U-Nets have dropout, which their files do not show. It only matters for training them further.",
        ),
    ] = False,
) -> None:
    """Read weights of the reference PyTorch implementation, the 2017 walkthrough or vintagify.

    A file becomes the folder of one network; a folder of checkpoints becomes a model folder, which evaluate.model and
    train.init_from can name.
    """
    from cyclegan.exchange import files

    try:
        done = files.import_weights(source, target, name=name, epoch=epoch, size=size, dropout=dropout)
    except UserError as error:
        fail(str(error))
    print(*done, sep="\n")
    if any((getattr(network.spec, "netD", ""), network.spec.norm) == ("basic", "instance_affine") for network in done):
        print(
            "note: a file does not show strides; vintagify's discriminators, which look like these, halve pictures once "
            "more and end in a sigmoid: here they are first weights, and no more"
        )
    places = {network.name: network.target for network in done}
    for direction in sorted({"G_AB", "G_BA"} & places.keys()):
        print(f"translate: cyclegan translate --model {places[direction]} INPUT OUTPUT")
    if {"G_AB", "G_BA"} <= places.keys():
        print(f"score and export: evaluate.model: {target} in params.yaml")
    if source.is_dir() or target.name in places:
        model = target if source.is_dir() else target.parent
        print(f"train further: train.init_from: {model} in params.yaml, with its section model as above")


def export_weights(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A network's folder, or a model folder.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The .pth file to write; for a model folder, a folder.")],
    weights: Annotated[
        str | None, typer.Option(help="Of a model folder: best, ema or raw. Without it, the first of these that there is.")
    ] = None,
) -> None:
    """Write weights for the reference PyTorch implementation, under its names: its D_A judges domain B."""
    from cyclegan.exchange import files

    try:
        done = files.export_weights(source, target, weights=weights)
    except UserError as error:
        fail(str(error))
    for network in done:
        print(f"{network}: {network.source} -> {network.target}")
    if any(network.spec.norm == "instance_affine" for network in done):
        print(
            "note: the reference code's InstanceNorm has no scale and shift, so it cannot load norm instance_affine as it "
            "is; its norm_layer must be made with affine=True"
        )
