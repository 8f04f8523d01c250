"""What a finished training leaves behind: weights, metrics, curves and grids; and how its MLflow run is described."""

from pathlib import Path

import torch
from torch import nn

from cyclegan import images, lineage, tracking
from cyclegan.config import Config
from cyclegan.data.layout import Domain
from cyclegan.data.plan import Plan
from cyclegan.data.store import Store
from cyclegan.errors import UserError
from cyclegan.evaluation.health import Values
from cyclegan.models import weights as model_weights
from cyclegan.models.specs import Weights, discriminator_spec, generator_spec
from cyclegan.pipeline import paths
from cyclegan.pipeline.files import write_json
from cyclegan.pipeline.health import summary
from cyclegan.pipeline.origins import origin_tags
from cyclegan.training.checkpoint import write_state
from cyclegan.training.state import TrainState


def params_of(config: Config) -> dict[str, object]:
    """The parameters that training depends on, by dotted name."""
    return tracking.flatten(lineage.train_params(Path(), config))


def tags_of(config: Config, store: Store, state: TrainState, preset: str | None) -> dict[str, str]:
    """The tags of its MLflow run, as far as they are known when it begins; empty ones are to be taken away."""
    tags = tracking.flatten({"dataset": config.dataset.model_dump(mode="json")}) | {
        "dataset": store.summary["source"]["name"],
        "data_digest": store.digest,
        "preset": preset or "none",
        **state.computed_by,
        **origin_tags(state),
    }
    if state.continued:
        tags |= {f"continued_from.{name}": value for name, value in state.continued.items()}
    return {name: str(value) for name, value in tags.items()}


def write_outputs(
    state: TrainState,
    grids: dict[str, images.Pixels],
    health: Values,
    plan: Plan,
    store: Store,
    config: Config,
    key: str,
) -> None:
    """Write the weights, what is said of them, the curves, which lie beside the weights too, and the sample grids.

    Raises:
        UserError: weights that are not finite.
    """
    trained: dict[Weights, dict[str, nn.Module]] = {"raw": state.networks.generators(), "ema": state.average}
    for weights, generators in trained.items():
        for name, network in generators.items():
            if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
                raise UserError(
                    f"{name} has weights that are not finite after the last step; lower optimizer.lr in params.yaml"
                )
            spec = generator_spec(config.model, name, config.preprocess.crop_size, key, weights)
            model_weights.save(paths.generator(paths.TRAINED, name, weights), network.state_dict(), spec)
    best = state.selection.best
    if best is not None:
        for name, tensors in best.generators.items():
            spec = generator_spec(config.model, name, config.preprocess.crop_size, key, best.weights)
            model_weights.save(paths.generator(paths.TRAINED, name, "best"), tensors, spec)
    judges: dict[Domain, nn.Module] = {"A": state.networks.D_A, "B": state.networks.D_B}
    for domain, network in judges.items():
        about_judge = discriminator_spec(config.model, domain, key)
        model_weights.save(paths.TRAINED / f"D_{domain}", network.state_dict(), about_judge)
    sets = store.summary["sets"].items()
    counts = {name: entry["pictures"] for name, entry in sets if not name.startswith("reference")}
    about = {
        "train_key": key,
        "data": {"digest": store.digest, **counts},
        "source": store.summary["source"],
        "params": params_of(config),
        "health": summary(health),
    }
    if state.continued:
        about["continued_from"] = state.continued
    if best is not None:
        about["best"] = best.reported()
    if config.train.keep_state:
        write_state(state, paths.TRAINED / paths.STATE, {"steps_per_epoch": plan.steps_per_epoch})
    write_json(paths.TRAINED / paths.TRAINING, about)
    for folder in (paths.HISTORY.parent, paths.TRAINED):  # the report of a model shows how it was trained
        state.history.write_csv(folder / paths.HISTORY.name)
        state.selection.write_csv(folder / paths.VALIDATION.name)
    for direction_name, grid in grids.items():
        images.write(paths.SAMPLES[direction_name], grid)
    last = state.history.row(-1)
    losses = {name: float(f"{value:.6g}") for name, value in last.items() if name not in ("step", "epoch", "lr")}
    metrics = {"train_key": key, "steps": state.step, "epochs": int(last["epoch"]), "loss": losses}
    if state.validation:
        cycle_A, cycle_B = state.validation[-1]
        metrics["validation"] = {"cycle_A": float(f"{cycle_A:.6g}"), "cycle_B": float(f"{cycle_B:.6g}")}
    if best is not None:
        metrics["best"] = best.reported()
    if state.selection.stopped:
        metrics["stopped_early"] = state.selection.stopped
    metrics["health"] = about["health"]
    write_json(paths.TRAIN_METRICS, metrics)
