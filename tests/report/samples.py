"""Evaluations to make reports of, without a network."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from cyclegan.report.contents import Evaluation, Origin, Row

KEY = "0123456789abcdef" * 4
METRICS = {
    "fid_clean_test": 80.0,
    "kid_x1000_test": 30.0,
    "cycle_l1": 0.04,
    "structure": 0.8,
    "copy_l1": 0.2,
    "pair_l1": 0.1,
}
FACTORS = {"model": 1.0, "copy_input": 1.5, "mean_colour": 4.0, "real_train": 0.1}
SOURCE = {
    "name": "openmoji",
    "domain_A": "line art",
    "domain_B": "coloured emoji",
    "licence": "CC BY-SA 4.0",
    "attribution": "Emoji by OpenMoji, CC BY-SA 4.0",
    "paired_test": True,
}


def scores(n: int, metrics: dict[str, float] = METRICS) -> pd.DataFrame:
    """Rows of scores.csv: the model ahead of the trivial answers, by more than its errors."""
    rows = [
        {
            "direction": direction,
            "subject": subject,
            "metric": name,
            "value": value * factor,
            "se": value * factor * 0.02 if subject != "real_train" else None,
            "low": value * factor * 0.96 if subject == "model" else None,
            "high": value * factor * 1.04 if subject == "model" else None,
            "pictures": n,
        }
        for direction in ("A_to_B", "B_to_A")
        for subject, factor in FACTORS.items()
        for name, value in metrics.items()
    ]
    return pd.DataFrame(rows)


def rows(n: int, *, side: int = 24, channels: int = 3, paired: bool = True, noise: bool = False) -> list[Row]:
    """Pictures of one flat colour each, or of noise; `channels` is the input's, the output has three."""
    rng = np.random.default_rng(n)

    def picture(depth: int) -> Any:
        if noise:
            return rng.integers(0, 256, (side, side, depth), dtype=np.uint8)
        return np.full((side, side, depth), rng.integers(0, 256, depth), dtype=np.uint8)

    return [Row(picture(channels), picture(3), picture(3) if paired else None, picture(channels)) for _ in range(n)]


def per_picture(n: int, *, paired: bool = True) -> pd.DataFrame:
    """Rows of per_picture.csv: picture i of a direction scores (i + 1) / 100, but the order of files is another."""
    table = pd.DataFrame({"file": [f"{(7 * i) % n:03}.png" for i in range(n)]})
    table["cycle_l1"] = [(n - i) / 100 for i in range(n)]
    if paired:
        table["pair_l1"] = [(i + 1) / 100 for i in range(n)]
    return pd.concat([table.assign(direction=direction) for direction in ("A_to_B", "B_to_A")])


def history(length: int = 30) -> pd.DataFrame:
    """Rows of history.csv."""
    steps = np.arange(1, length + 1) * 20
    terms = ("G_AB", "G_BA", "cycle_A", "cycle_B", "idt_A", "idt_B", "D_A", "D_B")
    table = {"step": steps, "epoch": 1 + steps // 100}
    return pd.DataFrame(table | {name: (index + 1) / np.sqrt(steps) for index, name in enumerate(terms)} | {"lr": 2e-4})


def validation() -> pd.DataFrame:
    """Rows of validation.csv: epoch 3 of the averaged weights is the best."""
    rows = [
        {
            "step": 100 * epoch,
            "epoch": epoch,
            "weights": weights,
            "direction": direction,
            "metric": "kid_x1000_val",
            "value": 30.0 + 5 * abs(epoch - 3) + (weights == "raw"),
            "se": 2.0,
        }
        for epoch in range(1, 6)
        for weights in ("raw", "ema")
        for direction in ("A_to_B", "B_to_A")
    ]
    return pd.DataFrame(rows)


BEST = {"epoch": 3, "step": 300, "weights": "ema", "metric": "kid_x1000_val", "value": 30.0, "se": 2.0}
SETTINGS = {"seed": 0, "loss.lambda_A": 10.0, "preprocess.flip": True, "dataset.url": None, "evaluate.batch_size": 8}

HEALTH = {
    "A_to_B": {"colour_agreement": 0.8, "copying": 0.4, "output_variance": 0.9, "hidden_information": 0.001},
    "B_to_A": {"colour_agreement": 0.7, "copying": 0.5, "output_variance": 0.8, "hidden_information": -0.0001},
    "D_A": {"judged_right": 0.9},
    "D_B": {"judged_right": 0.75},
}


def evaluation(n: int = 20, **changes: Any) -> Evaluation:
    """An evaluation of n pictures a direction that has all a report can show."""
    pictures = rows(n)
    whole = Evaluation(
        source=SOURCE,
        scores=scores(n),
        per_picture=per_picture(n),
        pictures={"A_to_B": pictures, "B_to_A": pictures[::-1]},
        history=history(),
        validation=validation(),
        settings=SETTINGS,
        origin=Origin("models/trained", KEY, "best", BEST, "d1ge57", "d1ge57", "7e57d1ge57"),
        health=HEALTH,
    )
    return replace(whole, **changes)
