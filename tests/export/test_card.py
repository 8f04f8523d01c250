"""The model card holds what is known, and nothing that is not."""

import json
import re
from typing import Any

import pytest

from cyclegan.export.card import model_card
from cyclegan.export.formats import ONNX_FILE, PROGRAM_FILE
from cyclegan.models.specs import GeneratorSpec

KEY = "0123456789abcdef" * 4
MEANINGS = {"fid_clean_test": "a distance", "cycle_l1": "another", "cycle_psnr": "in dB", "pair_l1": "of pairs"}


def spec(direction: Any, channels_in: int, channels_out: int, architecture: str = "resnet_6blocks") -> GeneratorSpec:
    return GeneratorSpec(
        direction=direction,
        netG=architecture,
        ngf=32,
        norm="instance",
        dropout=False,
        channels_in=channels_in,
        channels_out=channels_out,
        size=64,
        train_key=KEY,
        weights="ema",
    )


def column(start: float) -> dict[str, float | None]:
    return {name: start + index + 0.0625 for index, name in enumerate(MEANINGS)}


SCORES: dict[str, Any] = {
    "weights": "ema",
    "pictures": {"test_A": 17, "test_B": 19},
    "A_to_B": {
        "model": column(10),
        "copy_input": column(30) | {"cycle_psnr": None},
        "mean_colour": column(50),
        "real_train": {"fid_clean_test": 4.25},
    },
    "B_to_A": {"model": column(70), "mean_colour": column(90)},
}
TRAINING: dict[str, Any] = {
    "train_key": KEY,
    "data": {"digest": "d1ge57", "trainA": 418, "trainB": 419},
    "source": {
        "name": "shapes",
        "domain_A": "outlines",
        "domain_B": "fillings",
        "licence": "CC0",
        "attribution": "Shapes drawn by nobody",
    },
    "params": {"loss.lambda_A": 10.0, "preprocess.flip": True, "dataset.url": None, "model.netG": "resnet_6blocks"},
}
PARITY = {"G_AB": {ONNX_FILE: 1.3e-6, PROGRAM_FILE: 0.0}, "G_BA": {ONNX_FILE: 3.5e-6, PROGRAM_FILE: 4.5e-7}}


def make(**changes: Any) -> str:
    arguments: dict[str, Any] = {
        "specs": {"G_AB": spec("G_AB", 3, 1), "G_BA": spec("G_BA", 1, 3)},
        "training": TRAINING,
        "scores": SCORES,
        "meanings": MEANINGS,
        "parity": PARITY,
        "opset": 20,
    }
    return model_card(**(arguments | changes))


def tables(card: str) -> dict[str, list[list[str]]]:
    """The rows of each Markdown table, by the first cell of its head; a | within a cell must be escaped."""
    found: dict[str, list[list[str]]] = {}
    rows: list[list[str]] = []
    for line in card.splitlines():
        if not line.startswith("|"):
            rows = []
            continue
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not rows:
            found[cells[0]] = rows
        rows.append(cells)
    for rows in found.values():
        assert rows[1] == ["---"] * len(rows[0])
        assert {len(row) for row in rows} == {len(rows[0])}
    return found


BEST = {"epoch": 7, "step": 700, "weights": "ema", "metric": "kid_x1000_val", "value": 12.34567, "se": 0.98765}


def test_it_says_which_generators_these_are_and_by_what_they_were_chosen() -> None:
    text = " ".join(make(training=TRAINING | {"best": BEST}, scores=SCORES | {"weights": "best"}).split())
    assert "best generators by validation: those after epoch 7 (their moving averages), whose kid_x1000_val," in text
    assert "was 12.35 +- 0.99 on pictures held out of training. No test picture took part in the choice." in text
    without_error = make(
        training=TRAINING | {"best": BEST | {"se": None, "weights": "raw"}}, scores=SCORES | {"weights": "best"}
    )
    assert "epoch 7 (as trained)" in without_error
    assert "12.35 on pictures" in without_error
    for weights, words in (("ema", "the moving averages at the end of the training"), ("raw", "as the training left them")):
        text = make(training=TRAINING | {"best": BEST}, scores=SCORES | {"weights": weights})
        assert f"These are the generators {words}; validation did not choose them." in text
        assert "epoch 7" not in text


@pytest.mark.parametrize("direction", ["A_to_B", "B_to_A"])
def test_every_score_stands_beside_the_trivial_answers_with_its_meaning(direction: str) -> None:
    head, _, *rows = tables(make())[direction]
    columns = SCORES[direction]
    assert head == [direction, *columns, "meaning"]
    assert [row[0] for row in rows] == list(MEANINGS)
    for name, *values, meaning in rows:
        expected = [columns[one].get(name) for one in columns]
        assert values == ["-" if value is None else f"{value:.4g}" for value in expected]
        assert meaning == MEANINGS[name]


def test_no_number_is_missing_or_infinite() -> None:
    words = make().replace("|", " ").replace(",", " ").split()
    assert not {"nan", "inf", "-inf", "None", "NaN", "Infinity"} & set(words)


def test_generators_are_listed_with_architecture_channels_and_differences() -> None:
    _, _, *rows = tables(make())["generator"]
    assert rows == [
        ["G_AB", "resnet_6blocks, ngf 32, instance norm", "3 -> 1", "ema", "1.3e-06", "0.0e+00"],
        ["G_BA", "resnet_6blocks, ngf 32, instance norm", "1 -> 3", "ema", "3.5e-06", "4.5e-07"],
    ]
    assert "ONNX (opset 20)" in make()


def test_data_licence_and_settings_are_named() -> None:
    card = make()
    for fact in (
        "shapes",
        "outlines (A) into fillings (B)",
        "418 and 419 pictures",
        "17 and 19 held-out pictures",
        "CC0",
        "Shapes drawn by nobody",
        "`d1ge57`",
        f"`{KEY}`",
        "squares\nof 64 px",
        "multiples of 4",
    ):
        assert fact in card
    _, _, *rows = tables(card)["parameter"]
    assert {name: json.loads(value) for name, value in rows} == TRAINING["params"]


def test_the_sides_it_takes_are_those_of_its_architecture() -> None:
    card = make(specs={name: spec(name, 3, 3, "unet_128") for name in ("G_AB", "G_BA")})
    assert "H and W are multiples of 128. " in card
    assert "unet_128, ngf 32" in card


def test_imported_generators_say_where_they_come_from_and_that_their_training_is_not_recorded() -> None:
    imported = {"train_key": f"imported {KEY}", "data": None, "source": TRAINING["source"] | {"name": "weights of others"}}
    card = make(training=imported)
    assert "They are weights of others;\nwhat they were trained on is not recorded." in card
    assert f"- Import: `imported {KEY}`" in card
    assert "Digest of the prepared pictures: not recorded" in card
    assert "17 and 19 held-out pictures" in card
    assert "parameter" not in tables(card)
    assert not {"None", "Commit:", "418"} & set(card.split())


def test_the_commit_is_named_where_it_is_known_and_findable_where_not() -> None:
    assert "Commit: `c0ffee`" in make(commit="c0ffee")
    assert re.search(rf"Commit: .*`git log .*-S {KEY[:16]} -- metrics/train.json`", make())
    assert "None" not in make()


def test_the_card_depends_on_its_arguments_alone() -> None:
    assert make() == make()
    assert make() != make(opset=21)
