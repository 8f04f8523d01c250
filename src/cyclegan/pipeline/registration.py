"""Exported generators go to MLflow's model registry, and the best ones so far are its champion."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cyclegan import lineage, tracking
from cyclegan.config import Config
from cyclegan.errors import UserError
from cyclegan.evaluation import champion, outcome
from cyclegan.evaluation.certainty import Score, with_error
from cyclegan.evaluation.outcome import DIRECTIONS, Outcome
from cyclegan.export.formats import shape_of
from cyclegan.models.specs import GeneratorSpec, load_spec
from cyclegan.pipeline import paths
from cyclegan.pipeline.files import read_json
from cyclegan.pipeline.trained import read_training

NAMES = ("G_AB", "G_BA")
WEIGHTS = "generator.safetensors"
ERROR = "_se"  # what the tag of a standard error ends in
REMEDY = "set export.champion_metric in params.yaml to another, or give --metric"


def register(
    config: Config, folder: Path = paths.EXPORTED, name: str | None = None, metric: str | None = None
) -> list[str]:
    """Register the pair of generators in a folder with the scores in metrics/evaluate.json; returns lines that say how.

    Args:
        folder: as the export stage writes it.
        name: of the pair; None for `export.registered_model`, or the name of the data.
        metric: the score that decides; None for `export.champion_metric`.

    Raises:
        UserError: no generators, or the scores are of others or lack the one that decides.
        AwayError: the store cannot be reached or used.
    """
    metric = metric or config.export.champion_metric
    training, evaluate = read_training(Path(config.evaluate.model)), read_json(paths.EVALUATE_METRICS)
    specs = {each: load_spec(folder / each, GeneratorSpec) for each in NAMES}
    digests = _digests(folder)
    scored = {each: paths.generator(Path(config.evaluate.model), each, evaluate["weights"]) / WEIGHTS for each in NAMES}
    if any(not file.is_file() or _sha256(file) != digests[each] for each, file in scored.items()):
        raise UserError(
            f"{paths.EVALUATE_METRICS} holds the scores of other generators than {folder} does; run `dvc repro`, which "
            f"scores and exports the same ones"
        )
    result = read_outcome(config, evaluate)
    check_metric(result, metric)
    root, key = lineage.project_root(), training["train_key"]
    name = name or config.export.registered_model or _plain(training["source"]["name"])

    def decide(present: tracking.Present | None) -> tracking.Verdict:
        return _decide(result, present, metric)

    done = tracking.register(
        tracking.store_of(config.tracking, root),
        root,
        key,
        name,
        {each: folder / each for each in NAMES},
        shape_of(specs["G_AB"]).example_side,
        _tags(result, digests, metric, key, root),
        decide,
    )
    return _lines(done)


def read_outcome(config: Config, evaluate: Mapping[str, Any]) -> Outcome:
    """The outcome of the evaluation in this folder.

    Raises:
        UserError: its files are not what the evaluate stage writes.
    """
    table = paths.SCORES.read_text(encoding="utf-8") if paths.SCORES.is_file() else None
    digest = read_json(paths.DATASET_METRICS)["digest"] if paths.DATASET_METRICS.is_file() else None
    settings = config.evaluate.model_dump(include={"kid_subsets", "kid_subset_size"})
    try:
        return outcome.read(evaluate, table, digest, {f"evaluate.{name}": str(value) for name, value in settings.items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{paths.EVALUATE_METRICS} or {paths.SCORES} is not what the evaluate stage writes ({type(error).__name__} "
            f"{error}); run `dvc repro evaluate`"
        ) from None


def check_metric(result: Outcome, metric: str) -> None:
    """Raise a `UserError` where a score cannot decide which model is better: none of that name, or no better way."""
    there = [name for name in result.scores["A_to_B"] if champion.way(name)]
    if champion.way(metric) is None or champion.mean_of_directions(result, metric) is None:
        raise UserError(
            f"{metric} is no score of this evaluation, in both directions, of which one way is better; {REMEDY}: "
            f"{', '.join(there)}"
        )


def _decide(result: Outcome, present: tracking.Present | None, metric: str) -> tracking.Verdict:
    if present is not None and present.is_this:
        decision = champion.decide(result, None, metric, "")
        reason = f"it is the champion already; {decision.reason.partition(';')[0]}"
        return tracking.Verdict("champion", reason, {"metric": metric})
    before = None if present is None else _from_tags(present.tags)
    champion_is = "" if present is None else f"version {present.version}"
    decision = champion.decide(result, before, metric, champion_is)
    report = {
        "metric": metric,
        "score": vars(decision.score),
        "champion": None if present is None else present.version,
        "champions_score": vars(decision.champions) if decision.champions else None,
        "better_by": decision.better_by,
        "error_of_the_difference": decision.error,
    }
    return tracking.Verdict(decision.alias, decision.reason, report)


def _tags(result: Outcome, digests: Mapping[str, str], metric: str, key: str, root: Path) -> dict[str, str]:
    commit = lineage.first_commit_with(root, key, paths.TRAIN_METRICS)
    tags = {
        "pair": hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest(),
        "train_key": key,
        "commit": commit or "unknown",  # the one that holds the result, where the training's run says no other
        "dirty": "unknown",
        "weights": result.weights,
        "protocol": json.dumps(dict(result.protocol), sort_keys=True),
        "test_digest": result.test_digest or "",
        "data_digest": result.data_digest or "",
        "pictures": json.dumps(dict(result.pictures), sort_keys=True),
        "champion_metric": metric,
    }
    tags |= {f"sha256.{each}": digest for each, digest in digests.items()}
    for direction, scores in result.scores.items():
        for name, score in scores.items():
            tags[f"test/{direction}/{name}"] = repr(score.value)
            if score.se is not None:
                tags[f"test/{direction}/{name}{ERROR}"] = repr(score.se)
    return tags


def _from_tags(tags: Mapping[str, str]) -> Outcome:
    """What `_tags` wrote; of a version that was registered otherwise, what is there of it."""
    scores: dict[str, dict[str, Score]] = {direction: {} for direction in DIRECTIONS}
    for tag, value in tags.items():
        test, _, rest = tag.partition("/")
        direction, _, name = rest.partition("/")
        if test == "test" and direction in scores and tag.removesuffix(ERROR) == tag:
            error = tags.get(tag + ERROR)
            scores[direction][name] = with_error(float(value), float(error) if error else None)
    protocol, pictures = (json.loads(tags.get(name, "{}")) for name in ("protocol", "pictures"))
    test_digest, data_digest = (tags.get(name) or None for name in ("test_digest", "data_digest"))
    return Outcome(scores, protocol, pictures, test_digest, data_digest, tags.get("weights", ""))


def _lines(done: tracking.Registered) -> list[str]:
    which = " and ".join(f"{name} version {version}" for name, version in done.versions.items())
    if done.verdict is None:
        return [f"registered before, with these scores, as {which} ({done.alias}); nothing changed"]
    how = "registered" if done.new else "registered before; its scores are now those of this evaluation:"
    return [f"{how} {which}", f"{done.alias}: {done.verdict.reason}"]


def _digests(folder: Path) -> dict[str, str]:
    missing = [str(folder / each) for each in NAMES if not (folder / each / WEIGHTS).is_file()]
    if missing:
        raise UserError(f"there is no generator in {' and '.join(missing)}; run `dvc repro`, or `dvc checkout`")
    return {each: _sha256(folder / each / WEIGHTS) for each in NAMES}


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _plain(name: str) -> str:
    """As a registered model may be called: MLflow takes no / and no :."""
    return "".join(letter if letter.isalnum() or letter in " ._-" else "-" for letter in name)[:100]
