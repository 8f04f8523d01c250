"""Whether the MLflow run of a commit's result is there, whole, and of the same evaluation."""

from collections.abc import Iterator
from pathlib import Path

from cyclegan import tracking
from cyclegan.errors import UserError
from cyclegan.history.commits import SHORT
from cyclegan.history.findings import Finding
from cyclegan.history.keys import Key
from cyclegan.history.runs import HistoricRun, holds_edits_of, runs_of_key, the_run, workspace_store
from cyclegan.tracking.outbox import left_behind

CURVES = "history.csv"  # among the artifacts of a training
EVALUATED = "evaluation/evaluate.json"  # among those of a run that was evaluated


def check_run(root: Path, commit: str, key: Key, evaluation: bytes | None) -> Iterator[Finding]:
    """Look for the run of the result that a commit holds.

    Args:
        evaluation: the commit's metrics/evaluate.json; None where it has none, or it is of other weights.
    """
    if not key.recorded:
        return
    try:
        store = workspace_store(root)
        runs = runs_of_key(store, key.recorded)
        run = the_run(runs)
        if run is None:
            yield _no_run(root, store, key, runs)
            return
        found = tracking.find_run(store, run.id, [EVALUATED])
        files = tracking.list_files(store, run.id)
    except UserError as error:  # the store is away, or params.yaml of the workspace is wrong
        yield Finding("missing", "run", f"whether it is there cannot be told: {error}", "verify again when that is mended")
        return
    yield _state(run)
    if holds_edits_of(commit, key, run):
        text = f"it was started on {run.commit[:SHORT]} with uncommitted edits; this commit holds them"
        yield Finding("note", "run", text)
    evaluated = None if found is None else found.files.get(EVALUATED)
    lost = [CURVES] if run.kind == "training" and CURVES not in files else []
    lost += [EVALUATED] if evaluation is not None and evaluated is None else []
    if lost:
        text = f"of the run {run.id[:SHORT]}, {' and '.join(lost)} cannot be found"
        yield Finding("missing", "artifacts", text, "`cyclegan sync`; look for mlartifacts/ if the project was moved")
    else:
        yield Finding("ok", "artifacts", f"of the run {run.id[:SHORT]}: {', '.join(sorted(files))}")
    if evaluation is not None and evaluated not in (None, evaluation):
        text = "the run has other scores than the commit: it was evaluated again since, or they were edited"
        yield Finding("note", "artifacts", text, "`cyclegan compare` shows both")


def _state(run: HistoricRun) -> Finding:
    name = f"{run.id[:SHORT]} ({run.entry.name})"
    if run.entry.state != "FINISHED":
        remedy = "`cyclegan sync` sends what waits; `dvc repro` trains on"
        return Finding("missing", "run", f"{name} is {run.entry.state}, not FINISHED", remedy)
    if run.kind == "evaluation":
        return Finding("ok", "run", f"{name} holds the evaluation; the training was logged elsewhere")
    return Finding("ok", "run", f"{name}, FINISHED")


def _no_run(root: Path, store: tracking.Store, key: Key, runs: list[HistoricRun]) -> Finding:
    text = f"there is no run of {key.recorded[:SHORT]} in {store}"
    if any(about.get("train_key") == key.recorded for _, about in left_behind(root)):
        return Finding("missing", "run", f"{text}; its log waits here", "`cyclegan sync`")
    if runs:
        text += f", only {len(runs)} that made its result again"
    remedy = "set tracking.uri to the store that has it; or `dvc repro -sf evaluate` in a checkout logs its evaluation"
    return Finding("missing", "run", text, remedy)
