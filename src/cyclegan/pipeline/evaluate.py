"""Stage evaluate: both directions scored on the test split, and shown."""

import shutil
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
from cyclegan.models.weights import Weights, load_generator
from cyclegan.pipeline import paths
from cyclegan.pipeline.files import read_json, write_json

DIRECTIONS = {"A_to_B": ("A", "B"), "B_to_A": ("B", "A")}


def evaluate(config: Config) -> None:
    """Score models/trained; writes the metrics, a row a test picture, and a gallery a direction.

    Raises:
        UserError: no data, no trained generators, or averages asked for where none were kept.
    """
    train_key = read_json(paths.TRAINING)["train_key"]
    shutil.rmtree(lineage.project_root() / paths.CHECKPOINTS / train_key, ignore_errors=True)  # DVC holds the result now
    make_deterministic()
    device = choose_device(config.runtime.device)
    store = Store(paths.PREPARED)
    weights = _choose(config.evaluate.weights)
    generators = {name: load_generator(paths.trained_generator(name, weights), device) for name in ("G_AB", "G_BA")}
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


def _choose(wanted: Literal["auto", "ema", "raw"]) -> Weights:
    kept = paths.trained_generator("G_AB", "ema").is_dir()
    if wanted == "ema" and not kept:
        raise UserError(f"evaluate.weights is ema in params.yaml, but {paths.TRAINED} holds no averages; set it to auto")
    return "raw" if wanted == "raw" or not kept else "ema"


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
