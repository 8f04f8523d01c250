"""Whether the generators that validation chose beat the last ones on the test set: whole trainings, several seeds.

Not part of `make bench`, because it takes half an hour on two cores: python benchmarks/choice.py --json FILE. Trainings
run side by side, one a core, with one thread each; figures of quality do not depend on that.
"""

import contextlib
import io
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import Any

import torch
from common import ROOT, Options, Row, run
from workspace import workspace

from cyclegan import config as configuration
from cyclegan.config import Config
from cyclegan.evaluation import catalogue
from cyclegan.pipeline import paths
from cyclegan.pipeline.download import download
from cyclegan.pipeline.evaluate import evaluate
from cyclegan.pipeline.preprocess import preprocess
from cyclegan.pipeline.train import train

SOURCES = ("openmoji", "earth")
SEEDS = (0, 1, 2)
N_TRAIN = 400  # pictures a domain
SCORES = ("pair_l1", "kid_x1000_test")
TINY: dict[str, dict[str, Any]] = {
    "dataset": {"image_size": 32, "n_train": 6, "n_test": 4, "n_val": 4},
    "preprocess": {"load_size": 32, "crop_size": 32},
    "model": {"ngf": 4, "ndf": 4},
    "schedule": {"n_epochs": 1, "n_epochs_decay": 1},
}


def measure(options: Options) -> list[Row]:
    """Of each source and seed, and each score: the chosen and the last generators' mean over both directions.

    `lead` is how much better the chosen ones are, and `se` its standard error, as if both had been scored on different
    pictures, which is too large; 0 where the last ones were chosen.
    """
    jobs = [(source, seed, options) for source, seed in product(SOURCES, SEEDS[:1] if options.tiny else SEEDS)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count() or 1, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return [row for rows in pool.map(_trained, *zip(*jobs, strict=True)) for row in rows]


def _trained(source: str, seed: int, options: Options) -> list[Row]:
    settings = _settings(source, seed, options)
    with workspace(settings), contextlib.redirect_stdout(io.StringIO()):
        for stage in (download, preprocess, train, evaluate):
            stage(settings, lambda: None)
        best = json.loads(paths.TRAIN_METRICS.read_text(encoding="utf-8"))["best"]
        scores = json.loads(paths.EVALUATE_METRICS.read_text(encoding="utf-8"))
        table = _errors()
    rows: list[Row] = []
    for name in SCORES:
        chosen, last = (
            sum(scores[direction][subject][name] for direction in ("A_to_B", "B_to_A")) / 2 for subject in ("model", "last")
        )
        lead = last - chosen if catalogue.metric(name).better == "lower" else chosen - last
        about = {"source": source, "seed": seed, "chosen": f"{best['weights']} of epoch {best['epoch']}", "score": name}
        rows.append({**about, "best": chosen, "last": last, "lead": lead, "se": table[name]})
    return rows


def _errors() -> dict[str, float]:
    """The standard error of each score's lead, from scores.csv."""
    import pandas as pd

    table = pd.read_csv(paths.SCORES)
    generators = table[table["subject"].isin(["model", "last"])]
    return {name: float((generators.loc[generators["metric"] == name, "se"] ** 2).sum() ** 0.5 / 2) for name in SCORES}


def _settings(source: str, seed: int, options: Options) -> Config:
    """params.yaml with another source and seed."""
    config = configuration.load(ROOT / "params.yaml")
    changes: dict[str, dict[str, Any]] = {
        "dataset": {"name": source, "n_train": N_TRAIN},
        "evaluate": {"protocols": ["kid"]},
        "tracking": {"uri": None, "system_metrics": False},
        "runtime": {"device": str(options.device)},
    }
    if options.tiny:
        changes = {name: changes.get(name, {}) | TINY.get(name, {}) for name in changes | TINY}
    sections = {name: getattr(config, name).model_copy(update=values) for name, values in changes.items()}
    return config.model_copy(update={**sections, "seed": seed})


if __name__ == "__main__":
    run(measure)
