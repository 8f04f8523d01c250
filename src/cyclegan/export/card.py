"""The model card: what a person needs to know before using the exported generators."""

import json
from collections.abc import Mapping
from typing import Any

from cyclegan.export.formats import ONNX_FILE, PROGRAM_FILE
from cyclegan.models.specs import GeneratorSpec


def model_card(
    specs: Mapping[str, GeneratorSpec],
    training: Mapping[str, Any],
    scores: Mapping[str, Any],
    meanings: Mapping[str, str],
    parity: Mapping[str, Mapping[str, float]],
    opset: int,
    commit: str | None = None,
) -> str:
    """The card as Markdown; it depends on its arguments alone.

    Args:
        specs: the exported generators by name.
        training: what the train stage, or the import of weights, wrote into training.json.
        scores: the metrics of the evaluate stage.
        meanings: what each score says, by its name.
        parity: largest difference from the eager network, by generator and file.
        opset: of the ONNX files.
        commit: the commit that was checked out. None in a file that DVC records: such a file is committed after it is
            made, so the card can only say how to find its commit.
    """
    spec = next(iter(specs.values()))
    source, data = training["source"], training["data"]
    learnt = (
        f"They were trained without\npairs, on {data['trainA']} and {data['trainB']} pictures"
        if data
        else f"They are {source['name']};\nwhat they were trained on is not recorded"
    )
    held_out = scores["pictures"]
    return f"""\
# CycleGAN generators: {source["name"]}

`G_AB` translates {source["domain_A"]} (A) into {source["domain_B"]} (B); `G_BA` the other way. {learnt}.

## Use

    cyclegan translate --model G_AB INPUT OUTPUT

Input and output are float32 `[N, C, H, W]` in [-1, 1]; H and W are multiples of {spec.stride}. Trained on squares
of {spec.size} px: expect less of other scales. Each folder holds the same network as safetensors weights with
`generator.json`, as ONNX (opset {opset}) and as a `torch.export` program.

| generator | architecture | channels | weights | ONNX differs by | torch.export differs by |
| --- | --- | --- | --- | --- | --- |
{_generator_rows(specs, parity)}

Differences are the largest of any output value from the network run eagerly in float32, over several sizes.

{_choice(training, scores["weights"])}

## Scores

On {held_out["test_A"]} and {held_out["test_B"]} held-out pictures, beside copying the input, answering the mean colour and,
as `real_train`, real training pictures.

{_score_table("A_to_B", scores["A_to_B"], meanings)}

{_score_table("B_to_A", scores["B_to_A"], meanings)}

## Data

- Source: {source["name"]}. {source["attribution"]}.
- Licence of the pictures: {source["licence"]}. Whether it binds the weights and their outputs is for you to judge.
- Digest of the prepared pictures: {f"`{data['digest']}`" if data else "not recorded"}

## Origin

{_origin(training, commit)}

## Limits

A CycleGAN learns to look like the other domain and to be undone; nothing makes it true. It may invent or lose content, and
a good cycle score does not show it. Do not draw medical or other weighty conclusions from its pictures.
"""


def _choice(training: Mapping[str, Any], weights: str) -> str:
    """Which of a training's generators these are, and why."""
    best = training.get("best")
    if weights != "best" or best is None:
        which = {"ema": "the moving averages at the end of the training"}.get(weights, "as the training left them")
        return f"These are the generators {which}; validation did not choose them."
    kind = {"raw": "as trained", "ema": "their moving averages"}[best["weights"]]
    error = "" if best["se"] is None else f" +- {best['se']:.2g}"
    return f"""\
These are the best generators by validation: those after epoch {best["epoch"]} ({kind}), whose {best["metric"]},
the mean of both directions, was {best["value"]:.4g}{error} on pictures held out of training. No test picture
took part in the choice."""


def _origin(training: Mapping[str, Any], commit: str | None) -> str:
    key = training["train_key"]
    if not training["data"]:
        return f"- Import: `{key}`, named by the SHA-256 of the imported files"
    commit_line = f"`{commit}`" if commit else f"the first of `git log --reverse -S {key[:16]} -- metrics/train.json`"
    rows = "\n".join(f"| {name} | {json.dumps(value)} |" for name, value in training["params"].items())
    return f"""\
- Training: `{key}` (the SHA-256 of its parameters, data and code, and a tag of its MLflow run)
- Commit: {commit_line}

| parameter | value |
| --- | --- |
{rows}"""


def _generator_rows(specs: Mapping[str, GeneratorSpec], parity: Mapping[str, Mapping[str, float]]) -> str:
    rows = []
    for name, spec in specs.items():
        architecture = f"{spec.netG}, ngf {spec.ngf}, {spec.norm} norm"
        channels = f"{spec.channels_in} -> {spec.channels_out}"
        differences = " | ".join(f"{parity[name][file]:.1e}" for file in (ONNX_FILE, PROGRAM_FILE))
        rows.append(f"| {name} | {architecture} | {channels} | {spec.weights} | {differences} |")
    return "\n".join(rows)


def _score_table(direction: str, columns: Mapping[str, Mapping[str, float | None]], meanings: Mapping[str, str]) -> str:
    rows = [f"| {direction} | {' | '.join(columns)} | meaning |", "| --- " * (len(columns) + 2) + "|"]
    for name in columns["model"]:
        values = [column.get(name) for column in columns.values()]
        cells = ["-" if value is None else f"{value:.4g}" for value in values]
        rows.append(f"| {name} | {' | '.join(cells)} | {meanings[name]} |")
    return "\n".join(rows)
