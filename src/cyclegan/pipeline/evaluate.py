"""Stage evaluate: both directions scored on the test split, and shown."""

import contextlib
import shutil
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
import torch
from torch import nn

from cyclegan import images, lineage, tracking
from cyclegan.config import Config
from cyclegan.data.layout import DOMAINS, Domain
from cyclegan.data.store import Store
from cyclegan.device import choose_device, make_deterministic, out_of_memory_explained
from cyclegan.errors import UserError
from cyclegan.evaluation import protocol
from cyclegan.evaluation.features import Inception
from cyclegan.evaluation.gallery import gallery
from cyclegan.models.specs import GeneratorSpec
from cyclegan.models.weights import load_generator
from cyclegan.pipeline import paths
from cyclegan.pipeline.files import write_json
from cyclegan.pipeline.guard import Unchanged, sole_holder
from cyclegan.pipeline.trained import read_training

Choice = Literal["best", "ema", "raw"]  # in the order of preference
DIRECTIONS: dict[str, tuple[Domain, Domain]] = {"A_to_B": ("A", "B"), "B_to_A": ("B", "A")}


def evaluate(config: Config, unchanged: Unchanged) -> None:
    """Score the generators of `evaluate.model`; writes the metrics, a row a test picture, and a gallery a direction.

    Raises:
        UserError: no data, no generators, generators of other channels, averages or best ones asked for where none were
            kept, too little memory, or params, data or code that changed meanwhile.
    """
    model = Path(config.evaluate.model)
    train_key = read_training(model)["train_key"]
    if model == paths.TRAINED:  # DVC holds the result now
        _forget_checkpoints(lineage.project_root() / paths.CHECKPOINTS / train_key)
    log_store = tracking.store_of(config.tracking, lineage.project_root())
    make_deterministic()
    device = choose_device(config.runtime.device)
    store = Store(paths.PREPARED)
    weights = _choose(model, config.evaluate.weights)
    generators = {name: load_generator(paths.generator(model, name, weights), device) for name in ("G_AB", "G_BA")}
    for here, there in DIRECTIONS.values():
        _check_fit(store, model, generators[f"G_{here}{there}"][1], here, there)
    side = store.open("test", "A").heights[0]
    with out_of_memory_explained({"evaluate.batch_size": config.evaluate.batch_size, "preprocess.crop_size": side}):
        scores, table, sheets = _score(store, generators, config, device)
    unchanged()
    for direction, sheet in sheets.items():
        paths.GALLERIES[direction].parent.mkdir(parents=True, exist_ok=True)
        images.write(paths.GALLERIES[direction], sheet)
    counts = {f"test_{name}": store.summary["sets"][f"test{name}"]["pictures"] for name in DOMAINS}
    write_json(paths.EVALUATE_METRICS, {"weights": weights, "pictures": counts, **scores})
    table.to_csv(paths.PER_PICTURE, index=False, float_format="%.6g", lineterminator="\n")
    _log(config, log_store, train_key, store.summary["source"]["name"], scores)
    print(_as_table(scores))


def _forget_checkpoints(folder: Path) -> None:
    """Remove what a training that is over needed to go on, unless another process is at the same training."""
    with contextlib.suppress(UserError), sole_holder(folder.with_suffix(".lock"), "evaluation", "here"):
        shutil.rmtree(folder, ignore_errors=True)


def _score(
    store: Store, generators: dict[str, tuple[nn.Module, GeneratorSpec]], config: Config, device: torch.device
) -> tuple[dict[str, Any], pd.DataFrame, dict[str, images.Pixels]]:
    """Both directions: the scores, a row a test picture, and a gallery each."""
    inception = Inception(device)
    batch_size = config.evaluate.batch_size
    domains = {
        name: protocol.load_domain(
            store.open("test", name), store.summary["sets"][f"train{name}"]["mean"], inception, batch_size
        )
        for name in DOMAINS
    }
    scores: dict[str, Any] = {}
    rows: list[pd.DataFrame] = []
    sheets: dict[str, images.Pixels] = {}
    for direction, (here, there) in DIRECTIONS.items():
        source, target = domains[here], domains[there]
        forth, back = generators[f"G_{here}{there}"][0], generators[f"G_{there}{here}"][0]
        result = protocol.translate(forth, back, source.real, device, batch_size)
        scores[direction], table = protocol.score(
            source, target, result, inception, config.evaluate, config.seed, paired=store.paired_test
        )
        rows.append(table.assign(direction=direction))
        truth = target.real if store.paired_test else None
        sheets[direction] = gallery(source.real, result.fake, result.reconstructed, truth, config.evaluate.gallery_size)
    everything = pd.concat(rows)
    everything.insert(0, "direction", everything.pop("direction"))
    return scores, everything, sheets


def _choose(model: Path, wanted: Literal["auto", "best", "ema", "raw"]) -> Choice:
    """The folders to take: those asked for, or the first of best, ema and raw that there are."""
    kept: list[Choice] = [one for one in get_args(Choice) if one == "raw" or paths.generator(model, "G_AB", one).is_dir()]
    if wanted == "auto":
        return kept[0]
    if wanted not in kept:
        missing = {"best": "no best generators: it was trained without validation", "ema": "no averages"}[wanted]
        raise UserError(f"evaluate.weights is {wanted} in params.yaml, but {model} holds {missing}; set it to auto")
    return wanted


def _check_fit(store: Store, model: Path, spec: GeneratorSpec, here: str, there: str) -> None:
    channels = tuple(store.summary["sets"][f"test{domain}"]["channels"] for domain in (here, there))
    if channels != (spec.channels_in, spec.channels_out):
        raise UserError(
            f"evaluate.model: {model}/{spec.direction} maps {spec.channels_in} channels to {spec.channels_out}, but the "
            f"pictures of {here} and {there} have {channels[0]} and {channels[1]}; set model.input_nc and model.output_nc"
        )
    size = store.open("test", "A" if here == "A" else "B").heights[0]
    if size % spec.stride or size < spec.smallest:
        raise UserError(
            f"evaluate.model: {model}/{spec.direction} is a {spec.netG}, whose sides must be multiples of {spec.stride} "
            f"px, from {spec.smallest} px; test pictures have {size} px: set preprocess.crop_size"
        )


def _log(config: Config, log_store: tracking.Store, train_key: str, dataset: str, scores: dict[str, Any]) -> None:
    with tracking.add_to(log_store, lineage.project_root(), train_key, f"{dataset} {train_key[:8]}") as log:
        flat = tracking.flatten(scores)
        log.metrics({f"test/{name.replace('.', '/')}": value for name, value in flat.items() if value is not None})
        settings = tracking.flatten({"evaluate": config.evaluate.model_dump()})
        log.tags({name: str(value) for name, value in settings.items()})
        for path in (*paths.GALLERIES.values(), paths.PER_PICTURE, paths.EVALUATE_METRICS):
            log.artifact(path, "evaluation")


def _as_table(scores: dict[str, Any]) -> str:
    tables = [pd.DataFrame(columns).rename_axis(direction) for direction, columns in scores.items()]
    return "\n\n".join(table.to_string(float_format=lambda value: f"{value:.4g}", na_rep="-") for table in tables)
