"""`train.continue_from`: a finished training goes on for more epochs, from the whole of its last state."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from cyclegan import lineage, tracking
from cyclegan.config import Config
from cyclegan.errors import UserError
from cyclegan.pipeline import paths
from cyclegan.pipeline.trained import read_training
from cyclegan.training.checkpoint import DamagedError, load_tensors, read_state, state_tensors
from cyclegan.training.selection import Selection
from cyclegan.training.state import TrainState

REMEDY = "set train.continue_from in params.yaml to another, or to null"


@dataclass(frozen=True)
class _Finished:
    """A finished training: the folder of its model, or what of it is needed; and the commit, if one was named.

    What a new training says of it becomes a result: it may depend on what was named, not on where that was found.
    """

    folder: Path
    commit: str | None


def continue_finished(state: TrainState, config: Config, root: Path, steps_per_epoch: int, total: int) -> str:
    """Load what `train.continue_from` names into `state`, in place; returns a line that says so.

    Args:
        root: the project's folder.
        steps_per_epoch, total: of the training that is to continue it.

    Raises:
        UserError: there is no such training, it kept no state, or its state does not fit this one.
    """
    wanted = str(config.train.continue_from)
    with _find(wanted, config, root) as finished:
        file = finished.folder / paths.STATE
        if not file.is_file():
            raise UserError(
                f"train.continue_from is {wanted}, but that model has no {paths.STATE}: it was imported, or trained with "
                f"train.keep_state false; {REMEDY}"
            )
        try:
            about, tensors = read_state(file)
        except DamagedError as error:
            raise UserError(f"train.continue_from is {wanted}: {paths.STATE} is damaged: {error}; {REMEDY}") from None
        train_key = read_training(finished.folder)["train_key"]
    step = about["step"]
    if about["steps_per_epoch"] != steps_per_epoch:
        raise UserError(
            f"train.continue_from is {wanted}, whose epochs had {about['steps_per_epoch']} steps, while those of the "
            f"present params and data have {steps_per_epoch}; use its data and its train.batch_size, or train.init_from, "
            f"which takes the weights alone"
        )
    if step >= total:
        raise UserError(
            f"train.continue_from is {wanted}, which was trained for {step // steps_per_epoch} epochs, and "
            f"schedule.n_epochs + schedule.n_epochs_decay is {total // steps_per_epoch}; raise one of them to train on"
        )
    there, here = _shapes(tensors), _shapes(state_tensors(state))
    different = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
    if different:
        raise UserError(
            f"train.continue_from is {wanted}, whose networks, averages or pools are other ones than params.yaml asks for "
            f"(the first difference: {different[0]}); use its section model, train.pool_size, train.ema_decay and "
            f"preprocess.crop_size"
        )
    load_tensors(state, tensors)
    state.step = step
    state.selection = Selection.restored(about["selection"], tensors)
    state.selection.stopped = 0
    state.continued = {"from": wanted, "train_key": train_key, "step": str(step)}
    if finished.commit is not None:
        state.continued["commit"] = finished.commit
    return f"continuing the finished training {train_key[:12]} after step {step} (train.continue_from {wanted})"


def _shapes(tensors: dict[str, Tensor]) -> dict[str, list[int]]:
    """Of what is there from the first step on, and stays of one size."""
    return {
        name: list(tensor.shape)
        for name, tensor in tensors.items()
        if not name.startswith(("optimizer/", "history/rows", "validation", "best/"))
    }


@contextmanager
def _find(wanted: str, config: Config, root: Path) -> Iterator[_Finished]:
    if "/" in wanted:
        yield _Finished(Path(wanted), None)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        commit = lineage.full_hash(root, wanted)
        if commit is not None:
            if not _fetch(root, commit, folder, paths.TRAINING):
                raise UserError(
                    f"train.continue_from is the commit {wanted}, but its {paths.TRAINED} is not there; get it with `dvc "
                    f"fetch --all-commits`, if a remote has it, or {REMEDY}"
                )
            _fetch(root, commit, folder, paths.STATE)
            yield _Finished(folder, commit)
            return
        run = tracking.read_entry(tracking.store_of(config.tracking, root), wanted)
        if run is None or tracking.KEY_TAG not in run.tags:
            raise UserError(
                f"train.continue_from is {wanted}, which is neither a commit of this repository nor a training's run "
                f"in MLflow; {REMEDY}"
            )
        key = run.tags[tracking.KEY_TAG]
        present = root / paths.TRAINED
        if (present / paths.TRAINING).is_file() and read_training(present)["train_key"] == key:
            yield _Finished(present, None)
            return
        for commit in lineage.commits_of_results(root, since=run.tags.get("mlflow.source.git.commit", "none")):
            if _fetch(root, commit, folder, paths.TRAINING) and read_training(folder)["train_key"] == key:
                _fetch(root, commit, folder, paths.STATE)
                yield _Finished(folder, None)
                return
        raise UserError(
            f"train.continue_from is the MLflow run {wanted}, but no commit here holds the model it made ({key[:12]}); "
            f"{REMEDY}"
        )


def _fetch(root: Path, commit: str, folder: Path, name: str) -> bool:
    return lineage.fetch(root, commit, paths.TRAINED / name, folder / name)
