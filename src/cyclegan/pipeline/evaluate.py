"""Stage evaluate: both directions scored on the test split, and shown."""

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from cyclegan.evaluation.features import feature_network
from cyclegan.evaluation.gallery import gallery
from cyclegan.evaluation.sets import SetScorer
from cyclegan.models.specs import GeneratorSpec
from cyclegan.models.weights import load_generator
from cyclegan.pipeline import paths, report, scores
from cyclegan.pipeline.domains import RealPictures
from cyclegan.pipeline.files import write_json
from cyclegan.pipeline.guard import Unchanged, sole_holder
from cyclegan.pipeline.trained import choose_weights, read_training
from cyclegan.report.contents import Evaluation
from cyclegan.report.description import description
from cyclegan.report.page import page

DIRECTIONS: dict[str, tuple[Domain, Domain]] = {"A_to_B": ("A", "B"), "B_to_A": ("B", "A")}

Pair = dict[str, nn.Module]  # G_AB and G_BA


@dataclass(frozen=True)
class Outcome:
    """What evaluation finds.

    Attributes:
        table: the scores, in the columns of `scores.COLUMNS`.
        rows: a row a test picture, of the generators that are exported.
        sheets: a gallery a direction, of the same.
        shown: what the report chooses its pictures from, by direction.
    """

    table: pd.DataFrame
    rows: pd.DataFrame
    sheets: dict[str, images.Pixels]
    shown: dict[str, report.Shown]


def evaluate(config: Config, unchanged: Unchanged) -> None:
    """Score the generators of `evaluate.model`; writes scores, a row a test picture, a gallery a direction, and the report.

    Raises:
        UserError: no data, no generators, generators of other channels, weights asked for that were not kept, no such
            feature network, too little memory, or params, data or code that changed meanwhile.
    """
    model, root = Path(config.evaluate.model), lineage.project_root()
    revision = lineage.revision(Path())  # often another one than that of the training, which DVC need not run again
    training = read_training(model)
    train_key = training["train_key"]
    if model == paths.TRAINED:  # DVC holds the result now
        _forget_checkpoints(root / paths.CHECKPOINTS / train_key)
    log_store = tracking.store_of(config.tracking, root)
    make_deterministic()
    device = choose_device(config.runtime.device)
    store = Store(paths.PREPARED)
    subjects = _compared(choose_weights(model, config.evaluate.weights))
    generators: dict[str, Pair] = {}
    for subject, weights in subjects.items():
        loaded = {name: load_generator(paths.generator(model, name, weights), device) for name in ("G_AB", "G_BA")}
        for here, there in DIRECTIONS.values():
            _check_fit(store, model, loaded[f"G_{here}{there}"][1], here, there)
        pair = {name: network for name, (network, _) in loaded.items()}
        generators[subject] = next((other for other in generators.values() if _alike(other, pair)), pair)
    network = feature_network(config.evaluate.feature_network, Path(config.evaluate.feature_weights), device)
    sets = SetScorer(config.evaluate.protocols, network)
    side = store.open("test", "A").heights[0]
    with out_of_memory_explained({"evaluate.batch_size": config.evaluate.batch_size, "preprocess.crop_size": side}):
        outcome = _score(store, generators, sets, config, device, root / paths.FEATURES)
    about = report.compose(
        model, training, store.summary, subjects["model"], config.evaluate, outcome.table, outcome.rows, outcome.shown
    )
    unchanged()
    paths.REPORT.parent.mkdir(parents=True, exist_ok=True)
    paths.REPORT.write_text(page(about), encoding="utf-8")
    for direction, sheet in outcome.sheets.items():
        images.write(paths.GALLERIES[direction], sheet)
    made = {
        "weights": subjects["model"],
        "attribution": store.summary["source"]["attribution"],
        "pictures": {f"test_{name}": store.summary["sets"][f"test{name}"]["pictures"] for name in DOMAINS},
        "protocol": {
            "features": config.evaluate.feature_network,
            "features_digest": network.digest,
            "true_pairs": store.paired_test,
            "test_digest": store.test_digest,
        },
    }
    write_json(paths.EVALUATE_METRICS, made | scores.nested(outcome.table))
    scores.write(outcome.table, paths.SCORES)
    outcome.rows.to_csv(paths.PER_PICTURE, index=False, float_format="%.6g", lineterminator="\n")
    _log(config, log_store, train_key, outcome.table, about, revision)
    print(scores.as_text(outcome.table))


def _forget_checkpoints(folder: Path) -> None:
    """Remove what a training that is over needed to go on, unless another process is at the same training."""
    with contextlib.suppress(UserError), sole_holder(folder.with_suffix(".lock"), "evaluation", "here"):
        shutil.rmtree(folder, ignore_errors=True)


def _score(
    store: Store,
    generators: Mapping[str, Pair],
    sets: SetScorer,
    config: Config,
    device: torch.device,
    cache: Path,
) -> Outcome:
    """Both directions; `generators` by subject."""
    batch_size = config.evaluate.batch_size
    pictures = RealPictures(store, sets, batch_size, cache)
    domains = {
        there: pictures.domain(there, len(store.open("test", here)), against_all=config.evaluate.against_all)
        for here, there in DIRECTIONS.values()
    }
    settings = protocol.Settings(sets, batch_size, config.evaluate.bootstrap_samples, config.seed, store.paired_test)
    tables: dict[str, protocol.Table] = {}
    rows: list[pd.DataFrame] = []
    sheets: dict[str, images.Pixels] = {}
    shown: dict[str, report.Shown] = {}
    for direction, (here, there) in DIRECTIONS.items():
        source, target = domains[here], domains[there]
        results: dict[str, protocol.Translated] = {}
        for subject, pair in generators.items():
            same = next((results[other] for other in results if generators[other] is pair), None)
            forth, back = pair[f"G_{here}{there}"], pair[f"G_{there}{here}"]
            results[subject] = same or protocol.translate(forth, back, source.real, device, batch_size)
        tables[direction], of_pictures = protocol.score(source, target, results, settings)
        rows.append(of_pictures.assign(direction=direction))
        truth, model = target.real if store.paired_test else None, results["model"]
        sheets[direction] = gallery(source.real, model.fake, model.reconstructed, truth, config.evaluate.gallery_size)
        shown[direction] = report.Shown(source.real, model.fake, model.reconstructed, truth)
    everything = pd.concat(rows)
    everything.insert(0, "direction", everything.pop("direction"))
    counts = {direction: len(domains[here].real) for direction, (here, _) in DIRECTIONS.items()}
    return Outcome(scores.table(tables, counts), everything, sheets, shown)


def _compared(subjects: dict[str, str]) -> dict[str, str]:
    """Without the last weights where their averages are scored, which would be exported had nothing been chosen.

    Each subject costs its passes through the feature network, which are most of an evaluation without a GPU.
    """
    return {subject: weights for subject, weights in subjects.items() if subject != "last" or "last_ema" not in subjects}


def _alike(one: Pair, other: Pair) -> bool:
    """Whether both have the same weights, as the best and the last have where the last are the best."""
    for name, network in one.items():
        tensors = other[name].state_dict()
        if any(not torch.equal(tensor, tensors[key]) for key, tensor in network.state_dict().items()):
            return False
    return True


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


def _log(
    config: Config,
    log_store: tracking.Store,
    train_key: str,
    table: pd.DataFrame,
    about: Evaluation,
    revision: lineage.Revision,
) -> None:
    commit = tracking.commit_of(log_store, train_key)
    name = f"{about.source['name']} {train_key[:8]}"
    with tracking.add_to(log_store, lineage.project_root(), train_key, name) as log:
        log.metrics({f"test/{name}": value for name, value in scores.flat(table).items()})
        settings: dict[str, Any] = tracking.flatten({"evaluate": config.evaluate.model_dump()})
        settings |= {
            "evaluation.commit": revision.commit,
            "evaluation.dirty": str(revision.dirty).lower(),
            "evaluation.uncommitted": revision.uncommitted,
        }
        if revision.dirty:
            log.text(revision.diff, revision.diff_file, lineage.UNCOMMITTED)
        log.tags({name: str(value) for name, value in settings.items()})
        folder = "artifact:evaluation"
        galleries = {direction: f"{folder}/{path.name}" for direction, path in paths.GALLERIES.items()}
        log.describe(description(about, galleries, f"{folder}/{paths.REPORT.name}"))
        for path in (*paths.GALLERIES.values(), paths.PER_PICTURE, paths.SCORES, paths.EVALUATE_METRICS):
            log.artifact(path, "evaluation")
        log.text(page(about, commit), paths.REPORT.name, "evaluation")
