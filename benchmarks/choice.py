"""Whether the generators that validation chose beat the last ones on the test set: whole trainings, several seeds.

Not part of `make bench`, because it takes long: python benchmarks/choice.py --json FILE. The default run made small, but
with more test pairs: 200 pictures of 32 px a domain, generators of half the width, ten epochs, 120 pairs. Trainings run
side by side, one a core, with one thread each; figures of quality do not depend on that.
"""

import contextlib
import io
import json
import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import Any

import pandas as pd
import torch
from common import ROOT, Options, Row, run
from workspace import workspace

from cyclegan import config as configuration
from cyclegan.config import Config
from cyclegan.evaluation import catalogue
from cyclegan.evaluation.checks import fails
from cyclegan.pipeline import paths
from cyclegan.pipeline.download import download
from cyclegan.pipeline.evaluate import evaluate
from cyclegan.pipeline.preprocess import preprocess
from cyclegan.pipeline.train import train

SOURCES = ("openmoji", "earth")
SEEDS = (0, 1, 2)
SMALL: dict[str, dict[str, Any]] = {  # than the default run: six trainings are to take minutes
    "dataset": {"image_size": 32, "n_train": 200, "n_test": 120},
    "preprocess": {"load_size": 32, "crop_size": 32},
    "model": {"ngf": 16},
}
SCORES = ("pair_l1", "kid_x1000_test")
RIVALS = {"raw": "last", "ema": "last_ema"}  # of the best: how they are asked for, and their names in the result
TINY: dict[str, dict[str, Any]] = {
    "dataset": {"n_train": 6, "n_test": 4, "n_val": 4},
    "model": {"ngf": 4, "ndf": 4},
    "schedule": {"n_epochs": 1, "n_epochs_decay": 1},
}


def measure(options: Options) -> list[Row]:
    """Of each source and seed, and each score: the chosen generators, the last ones and the last averages.

    Each is the mean over both directions. A lead is how much better the chosen ones are, and its `se` the standard error of
    the difference on the same pictures; 0 where the last ones were chosen.
    """
    jobs = [(source, seed, options) for source, seed in product(SOURCES, SEEDS[:1] if options.tiny else SEEDS)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count() or 1, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return [row for rows in pool.map(_trained, *zip(*jobs, strict=True)) for row in rows]


def _trained(source: str, seed: int, options: Options) -> list[Row]:
    settings = _settings(source, seed, options)
    tables = {}
    with workspace(settings), contextlib.redirect_stdout(io.StringIO()):
        for stage in (download, preprocess, train):
            stage(settings, lambda: None)
        trained = json.loads(paths.TRAIN_METRICS.read_text(encoding="utf-8"))
        for weights in RIVALS:
            wanted = settings.evaluate.model_copy(update={"weights": weights})
            evaluate(settings.model_copy(update={"evaluate": wanted}), lambda: None)
            tables[weights] = pd.read_csv(paths.SCORES)
    best = trained["best"]
    failing = [
        f"{who}/{check}" for who, own in trained["health"].items() for check, value in own.items() if fails(check, value)
    ]
    about = {
        "source": source,
        "seed": seed,
        "chosen": f"{best['weights']} of epoch {best['epoch']}",
        "failing_health": ", ".join(failing),
    }
    return [{**about, "score": name, **_leads(tables, name)} for name in SCORES]


def _leads(tables: dict[str, pd.DataFrame], name: str) -> dict[str, float]:
    """How much better the chosen generators are than each rival, by the table in which that one is `model`."""
    row: dict[str, float] = {}
    for weights, rival in RIVALS.items():
        of_score = tables[weights][tables[weights]["metric"] == name].groupby("subject")
        means, errors = of_score["value"].mean(), of_score.get_group("best")["se_from_model"].tolist()
        value, chosen = float(means["model"]), float(means["best"])
        lead = value - chosen if catalogue.metric(name).better == "lower" else chosen - value
        row |= {"best": chosen, rival: value, f"lead_on_{rival}": lead}
        row[f"lead_on_{rival}_se"] = math.hypot(*errors) / len(errors)
    return row


def _settings(source: str, seed: int, options: Options) -> Config:
    """params.yaml with another source and seed."""
    config = configuration.load(ROOT / "params.yaml")
    changes: dict[str, dict[str, Any]] = {
        **SMALL,
        "dataset": {**SMALL["dataset"], "name": source},
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
