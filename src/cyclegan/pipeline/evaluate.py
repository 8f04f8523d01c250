"""Stage evaluate: both directions scored on the test split, and shown."""

import shutil
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from cyclegan import images, lineage, tracking
from cyclegan.config import Config
from cyclegan.data.store import Store
from cyclegan.device import choose_device, make_deterministic
from cyclegan.errors import UserError
from cyclegan.evaluation import protocol
from cyclegan.evaluation.features import Inception
from cyclegan.evaluation.gallery import gallery
from cyclegan.models.weights import GeneratorSpec, Weights, load_generator
from cyclegan.pipeline import paths
from cyclegan.pipeline.files import read_json, write_json

DIRECTIONS = {"A_to_B": ("A", "B"), "B_to_A": ("B", "A")}


def evaluate(config: Config) -> None:
    """Score the generators of `evaluate.model`; writes the metrics, a row a test picture, and a gallery a direction.

    Raises:
        UserError: no data, no generators, generators of other channels, or averages asked for where none were kept.
    """
    model = Path(config.evaluate.model)
    train_key = read_json(model / paths.TRAINING)["train_key"]
    if model == paths.TRAINED:  # DVC holds the result now
        shutil.rmtree(lineage.project_root() / paths.CHECKPOINTS / train_key, ignore_errors=True)
    make_deterministic()
    device = choose_device(config.runtime.device)
    store = Store(paths.PREPARED)
    weights = _choose(model, config.evaluate.weights)
    generators = {name: load_generator(paths.generator(model, name, weights), device) for name in ("G_AB", "G_BA")}
    for here, there in DIRECTIONS.values():
        _check_fit(store, model, generators[f"G_{here}{there}"][1], here, there)
    inception = Inception(device)
    batch_size = config.evaluate.batch_size
    domains = {
        name: protocol.load_domain(
            store.open("test", name), store.summary["sets"][f"train{name}"]["mean"], inception, batch_size
        )
        for name in ("A", "B")
    }
    scores: dict[str, Any] = {}
    rows: list[pd.DataFrame] = []
    for direction, (here, there) in DIRECTIONS.items():
        source, target = domains[here], domains[there]
        forth, back = generators[f"G_{here}{there}"][0], generators[f"G_{there}{here}"][0]
        result = protocol.translate(forth, back, source.real, device, batch_size)
        scores[direction], table = protocol.score(
            source, target, result, inception, config.evaluate, config.seed, paired=store.paired_test
        )
        rows.append(table.assign(direction=direction))
        truth = target.real if store.paired_test else None
        sheet = gallery(source.real, result.fake, result.reconstructed, truth, config.evaluate.gallery_size)
        paths.GALLERIES[direction].parent.mkdir(parents=True, exist_ok=True)
        images.write(paths.GALLERIES[direction], sheet)
    counts = {f"test_{name}": len(domain.files) for name, domain in domains.items()}
    write_json(paths.EVALUATE_METRICS, {"weights": weights, "pictures": counts, **scores})
    everything = pd.concat(rows)
    everything.insert(0, "direction", everything.pop("direction"))
    everything.to_csv(paths.PER_PICTURE, index=False, float_format="%.6g", lineterminator="\n")
    _log(config, train_key, store.summary["source"]["name"], scores)
    print(_as_table(scores))


def _choose(model: Path, wanted: Literal["auto", "ema", "raw"]) -> Weights:
    kept = paths.generator(model, "G_AB", "ema").is_dir()
    if wanted == "ema" and not kept:
        raise UserError(f"evaluate.weights is ema in params.yaml, but {model} holds no averages; set it to auto")
    return "raw" if wanted == "raw" or not kept else "ema"


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


def _log(config: Config, train_key: str, dataset: str, scores: dict[str, Any]) -> None:
    run = tracking.find(config.tracking, lineage.project_root(), train_key, f"{dataset} {train_key[:8]}")
    flat = tracking.flatten(scores)
    run.metrics({f"test/{name.replace('.', '/')}": value for name, value in flat.items() if value is not None})
    run.tags({name: str(value) for name, value in tracking.flatten({"evaluate": config.evaluate.model_dump()}).items()})
    for path in (*paths.GALLERIES.values(), paths.PER_PICTURE, paths.EVALUATE_METRICS):
        run.artifact(path, "evaluation")


def _as_table(scores: dict[str, Any]) -> str:
    tables = [pd.DataFrame(columns).rename_axis(direction) for direction, columns in scores.items()]
    return "\n\n".join(table.to_string(float_format=lambda value: f"{value:.4g}", na_rep="-") for table in tables)
