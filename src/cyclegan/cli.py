"""The `cyclegan` command: everything that is not a stage of the pipeline."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from cyclegan import __version__
from cyclegan.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Unpaired image-to-image translation.")
NOT_SATISFIED = {"false": 1, "doubt": 3, "missing": 3}  # 2 is typer's own, for a wrong command line
preset = typer.Typer(no_args_is_help=True, help="Named settings for params.yaml, such as those of the paper.")
app.add_typer(preset, name="preset")


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


PresetName = Annotated[str, typer.Argument(metavar="NAME", help="A preset, as `cyclegan preset list` names it.")]
ParamsFile = Annotated[Path, typer.Option(help="The parameter file.")]


@preset.command("list")
def preset_list() -> None:
    """List the presets."""
    from cyclegan import presets

    try:
        lines = {name: presets.describe(name) for name in presets.names()}
    except UserError as error:
        _fail(str(error))
    width = max(len(name) for name in lines)
    for name, description in lines.items():
        print(f"{name:<{width}}  {description}".rstrip())


@preset.command("show")
def preset_show(name: PresetName, params: ParamsFile = Path("params.yaml")) -> None:
    """Print every key that the preset NAME sets, and which of them the parameter file has otherwise."""
    from cyclegan import presets

    try:
        overlay = presets.resolve(name)
        changes = presets.differences(overlay, params)
    except UserError as error:
        _fail(str(error))
    for key, value in overlay.items():
        mark = f"  # {params} has {presets.spelled(changes[key][0])}" if key in changes else ""
        print(f"{key}: {presets.spelled(value)}{mark}")
    print(f"{len(changes)} of {len(overlay)} differ from {params}")


@preset.command("apply")
def preset_apply(
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
        _fail(str(error))
    for key, (old, new) in changes.items():
        print(f"{key}: {presets.spelled(old)} -> {presets.spelled(new)}")
    if not changes:
        print(f"nothing changed: {params} has every value of the preset {name}")


@app.command("import-weights")
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
        _fail(str(error))
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


@app.command("export-weights")
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
        _fail(str(error))
    for network in done:
        print(f"{network}: {network.source} -> {network.target}")
    if any(network.spec.norm == "instance_affine" for network in done):
        print(
            "note: the reference code's InstanceNorm has no scale and shift, so it cannot load norm instance_affine as it "
            "is; its norm_layer must be made with affine=True"
        )


@app.command()
def check(params: ParamsFile = Path("params.yaml")) -> None:
    """Check settings and pictures without training, and estimate memory, disk and time on this machine."""
    from cyclegan import config
    from cyclegan.pipeline import check as checks

    try:
        settings = config.load(params)
        verdict = checks.check(settings)
    except UserError as error:
        _fail(f"{error}\nnot ready: mend the above, and check again")
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}\nnot ready: mend the above, and check again")
    for subject, finding in [("settings", f"{params} is valid"), *verdict.lines]:
        print(f"{subject:<10}{finding}")
    for warning in verdict.warnings:
        print(f"warning: {warning}")
    if verdict.failures:
        _fail("\nerror: ".join(verdict.failures) + f"\nnot ready: {len(verdict.failures)} to mend")
    print("ready: `make repro` or `dvc repro` can run")


@app.command()
def sync() -> None:
    """Send to MLflow what stages could not send, and mark trainings that were killed."""
    from cyclegan import lineage, tracking

    problems = tracking.sync(lineage.project_root())
    if problems:
        _fail("MLflow did not take everything:\n" + "\n".join(f"  {problem}" for problem in problems))
    print("what stages left behind is sent")


@app.command()
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
        _fail(str(error))


@app.command()
def compare(
    names: Annotated[
        list[str],
        typer.Argument(metavar="WHAT WHAT...", help="Commits, branches, tags, experiments, `workspace`, or runs' ids."),
    ],
    html: Annotated[Path | None, typer.Option(help="Write a page with the galleries, too.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Only this score; may be given several times.")] = None,
    direction: Annotated[Literal["A_to_B", "B_to_A"] | None, typer.Option(help="Only this direction.")] = None,
) -> None:
    """Compare commits and MLflow runs: parameters that differ, scores with their errors, galleries (--html)."""
    if len(names) < 2:
        raise typer.BadParameter("give two or more to compare, such as HEAD~1 and HEAD")
    from cyclegan import lineage
    from cyclegan.pipeline.compare import compare_all
    from cyclegan.report import comparison, comparison_screen

    try:
        directions = (direction,) if direction else comparison.DIRECTIONS
        found = compare_all(names, lineage.project_root(), metric or (), directions, pictures=html is not None)
        comparison_screen.show(found)
        if html is not None:
            html.parent.mkdir(parents=True, exist_ok=True)
            html.write_text(comparison.page(found), encoding="utf-8")
            print(f"as a page: {html}")
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"cannot write {html}: {error.strerror}; give another --html")


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(metavar="REV|RUN", help="A commit, branch, tag or experiment, or a run's id.")],
    pull: Annotated[bool, typer.Option("--pull", help="Get data that DVC's cache lacks from a remote.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the folder that it is made in.")] = False,
) -> None:
    """Make a commit's result again, apart from this folder, and compare every byte and number with what it recorded.

    Exit status 0: identical, or identical within the tolerance of docs/reproducing.md, as the last line says; 1: different.
    """
    from cyclegan import lineage
    from cyclegan.history.reproduce import commit_of, reproduce

    root = lineage.project_root()
    try:
        verdict = reproduce(root, commit_of(root, name), lambda line: print(line, flush=True), pull=pull, keep=keep)
    except UserError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted: nothing is compared or logged", file=sys.stderr)
        raise typer.Exit(130) from None
    if verdict.word == "different":
        raise typer.Exit(1)


@app.command()
def runs(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run's id, or its start: which commits hold it?")
    ] = None,
    rev: Annotated[str | None, typer.Option(help="A commit, branch, tag or experiment; without it, HEAD.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every run, and every result without one.")] = False,
) -> None:
    """List the MLflow runs that belong to a commit, or the commits that hold the result of a run."""
    if sum([run is not None, rev is not None, everything]) > 1:
        raise typer.BadParameter("give one of RUN, --rev and --all")
    from cyclegan import lineage
    from cyclegan.history import listing, screen

    root = lineage.project_root()
    try:
        if run is not None:
            found = listing.of_run(root, run)
        else:
            found = listing.of_all(root) if everything else listing.of_revision(root, rev or "HEAD")
        screen.show_listing(found.lines, found.notes)
    except UserError as error:
        _fail(str(error))


@app.command()
def verify(rev: Annotated[str, typer.Argument(help="A commit, branch, tag or experiment.")] = "HEAD") -> None:
    """Say whether a commit's record is true, and whether its run, artifacts and outs are there; computes nothing anew.

    Exit status: 0 all is true and there; 1 something is false, or cannot be read; 3 something is in doubt or missing.
    """
    from cyclegan import lineage
    from cyclegan.history import commits, screen, verification

    root = lineage.project_root()
    try:
        commit = commits.one_commit(root, rev)
        kind = screen.show_findings(f"{rev} is {commit}", verification.verify(root, commit))
    except UserError as error:
        _fail(str(error))
    if kind != "ok":
        raise typer.Exit(NOT_SATISFIED[kind])


@app.command()
def sweep(
    settings: Annotated[
        list[str],
        typer.Option("--set-param", "-S", metavar="KEY=VALUE,VALUE", help="A parameter and its values; repeat for a grid."),
    ],
    html: Annotated[Path | None, typer.Option(help="Write the comparison as a page, too.")] = None,
) -> None:
    """Run a grid of settings as experiments of DVC, one after another, and compare them. The workspace stays as it is."""
    from cyclegan import lineage
    from cyclegan.pipeline import sweep as sweeps

    names: list[str] = []
    try:
        combinations = sweeps.grid(settings)
        for name, chosen in sweeps.sweep(combinations, lineage.project_root()):
            names.append(name)
            told = " ".join(f"{key}={value}" for key, value in chosen.items())
            print(f"[{len(names)}/{len(combinations)}] {name}: {told}", flush=True)
    except UserError as error:
        _fail(str(error))
    compare(names, html=html)
    print(f"keep one: dvc exp branch NAME BRANCH; drop them: dvc exp remove {' '.join(names)}")


@app.command()
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
        _fail(str(error))
    print(*lines, sep="\n")


@app.command("show-batch")
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
        _fail(str(error))
    except OSError as error:
        _fail(f"cannot write {out}: {error.strerror}; give another --out")
    print(f"rows {', '.join(domain for _ in range(sets) for domain in 'AB')} of {cols} pictures each: {out}")


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(1)
