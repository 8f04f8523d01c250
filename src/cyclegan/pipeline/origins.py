"""Where a training began and where it went on: commit, what was not committed, and who started it.

It is kept in the checkpoint, for a training that is interrupted may go on from another commit, or without what had not been
committed, as long as nothing that it depends on is another. Its MLflow run says all of it.
"""

from cyclegan import lineage
from cyclegan.training.state import TrainState


def note_origin(state: TrainState, revision: lineage.Revision) -> bool:
    """Add where the training is now to its origins; returns whether that is new: its beginning, or not where it was."""
    here = {
        "commit": revision.commit,
        "branch": revision.branch,
        "dirty": str(revision.dirty).lower(),
        "uncommitted": revision.uncommitted,
        "experiment": lineage.experiment_name() or "",
        "started_by": lineage.started_by(),
    }
    if state.origins and here.items() <= state.origins[-1].items():
        return False
    state.origins.append({"step": str(state.step), **here})
    return True


def origin_tags(state: TrainState) -> dict[str, str]:
    """Tags that say where the training went on last, and `origins` where it was before; empty ones are to be taken away."""
    last = state.origins[-1]
    return {
        "git.commit": last["commit"],
        "git.branch": last["branch"],
        "git.dirty": last["dirty"],
        "git.uncommitted": last["uncommitted"],
        "mlflow.source.git.commit": last["commit"],
        "mlflow.source.git.branch": last["branch"],
        "mlflow.source.name": "stages/train.py",
        "mlflow.source.type": "LOCAL",
        "started_by": last["started_by"],
        "dvc.experiment": last["experiment"],
        "origins": "; ".join(map(_in_words, state.origins)) if len(state.origins) > 1 else "",
    }


def run_names(dataset: str, preset: str | None, key: str, state: TrainState) -> list[str]:
    """What the training's MLflow run is called, after each of its origins; the last is its name now.

    Such as "shapes 3d9660a6", "my-photos reference 3d9660a6" and "shapes softer-cycle 3d9660a6": the data, the preset
    where it has another name, the DVC experiment, and the beginning of the train key.
    """
    named = [dataset, *([preset] if preset and preset != dataset else [])]
    return [" ".join([*named, *filter(None, [origin["experiment"]]), key[:8]]) for origin in state.origins]


def _in_words(origin: dict[str, str]) -> str:
    uncommitted = f" with {origin['uncommitted']}" if origin["uncommitted"] else ""
    experiment = f" ({origin['experiment']})" if origin["experiment"] else ""
    return f"from step {origin['step']}: {origin['commit'][:12]}{uncommitted}, {origin['started_by']}{experiment}"
