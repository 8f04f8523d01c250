"""Commands on commits, experiments and runs of the past."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from cyclegan.cli.shared import fail
from cyclegan.errors import UserError

NOT_SATISFIED = {"false": 1, "doubt": 3, "missing": 3}  # 2 is typer's own, for a wrong command line


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
    from cyclegan.comparison import screen
    from cyclegan.evaluation.outcome import DIRECTIONS
    from cyclegan.pipeline.compare import compare_all

    try:
        directions = (direction,) if direction else DIRECTIONS
        found = compare_all(names, lineage.project_root(), metric or (), directions, pictures=html is not None)
        screen.show(found)
        if html is not None:
            from cyclegan.comparison.page import page  # which knows pictures, and so needs PyTorch

            html.parent.mkdir(parents=True, exist_ok=True)
            html.write_text(page(found), encoding="utf-8")
            print(f"as a page: {html}")
    except UserError as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot write {html}: {error.strerror}; give another --html")


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
        fail(str(error))
    compare(names, html=html)
    print(f"keep one: dvc exp branch NAME BRANCH; drop them: dvc exp remove {' '.join(names)}")


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
        fail(str(error))


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
        fail(str(error))
    if kind != "ok":
        raise typer.Exit(NOT_SATISFIED[kind])


def reproduce(
    name: Annotated[str, typer.Argument(metavar="REV|RUN", help="A commit, branch, tag or experiment, or a run's id.")],
    pull: Annotated[bool, typer.Option("--pull", help="Get data that DVC's cache lacks from a remote.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the folder that it is made in.")] = False,
) -> None:
    """Make a commit's result again, apart from this folder, and compare every byte and number with what it recorded.

    Exit status 0: identical, or identical within the tolerance of docs/reproducing.md, as the last line says; 1: different.
    """
    from cyclegan import lineage
    from cyclegan.history.reproduce import reproduce
    from cyclegan.history.subject import commit_of

    root = lineage.project_root()
    try:
        verdict = reproduce(root, commit_of(root, name), lambda line: print(line, flush=True), pull=pull, keep=keep)
    except UserError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("interrupted: nothing is compared or logged", file=sys.stderr)
        raise typer.Exit(130) from None
    if verdict.word == "different":
        raise typer.Exit(1)
