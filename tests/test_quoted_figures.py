"""Figures that README and docs/validation.md quote are those of the committed default run and benchmark."""

import json
import re
from typing import Any

import pandas as pd
from project import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SCORES = pd.read_csv(ROOT / "reports/scores.csv").set_index(["direction", "subject", "metric"])
ROWS = {"colour -> line art": "B_to_A", "line art -> colour": "A_to_B"}


def score(direction: str, subject: str, metric: str) -> Any:
    return SCORES.loc[direction, subject, metric]


def test_the_table_of_pair_scores() -> None:
    for name, direction in ROWS.items():
        ours, copied, flat = (score(direction, subject, "pair_l1") for subject in ("model", "copy_input", "mean_colour"))
        shown = f"**{ours.value:.3f}** [{ours.low:.3f}, {ours.high:.3f}]"
        assert f"| {name} | {shown} | {copied.value:.3f} | {flat.value:.3f} |" in TEXT


def test_how_much_nearer_than_a_copy_the_colours_are() -> None:
    ours, copied = (score("A_to_B", subject, "pair_l1") for subject in ("model", "copy_input"))
    words = re.sub(r"\s+", " ", TEXT)
    assert f"({copied.value - ours.value:.3f} nearer, with a standard error of {copied.se_from_model:.3f})" in words


def test_how_real_the_colours_look() -> None:
    ours, copied, real = (score("A_to_B", subject, "kid_x1000_test") for subject in ("model", "copy_input", "real_train"))
    shown = f"their KID x 1000 is {ours.value:.1f} [{ours.low:.1f}, {ours.high:.1f}], where copying the line art scores"
    words = re.sub(r"\s+", " ", TEXT)
    assert f"{shown} {copied.value:.1f} and real coloured emoji {real.value:.1f}." in words


def test_how_it_was_trained_and_chosen() -> None:
    data, training = (json.loads((ROOT / f"metrics/{name}.json").read_text()) for name in ("dataset", "train"))
    words, best = re.sub(r"\s+", " ", TEXT), training["best"]
    pictures = [data[name]["pictures"] for name in ("trainA", "trainB", "valA", "testA")]
    assert f"{pictures[0]} and {pictures[1]} training pictures of 64 px, {training['steps']:,} steps" in words
    weights = {"ema": "averages", "raw": "weights"}[best["weights"]]
    assert f"{pictures[2]} further pairs that chose the best generators (the {weights} of epoch {best['epoch']} of" in words
    assert f"{pictures[3]} held-out pairs" in words


def test_the_tables_of_the_choice_by_validation() -> None:
    page = (ROOT / "docs/validation.md").read_text(encoding="utf-8")
    rows = json.loads((ROOT / "benchmarks/results/choice.json").read_text())["tables"]["choice"]
    assert len(rows) == 12
    for row in rows:
        digits = {"pair_l1": 3, "kid_x1000_test": 0}[row["score"]]
        values = [f"{row[subject]:.{digits}f}" for subject in ("best", "last", "last_ema")]
        leads = [lead_of(row, subject, digits + 1) for subject in ("last", "last_ema")]
        cells = [f"`{row['source']}`", str(row["seed"]), row["chosen"], *values, *leads]
        assert f"| {' | '.join(cells)} |" in page


def lead_of(row: dict[str, Any], subject: str, digits: int) -> str:
    lead, error = row[f"lead_on_{subject}"], row[f"lead_on_{subject}_se"]
    return f"{lead:+.{digits}f} ± {error:.{digits}f}" if error else "the same weights"
