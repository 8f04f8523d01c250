"""Generator folders: out and in again, the same bytes in every process, and errors that say what is wrong."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import cyclegan
from cyclegan.config import Config, ModelConfig
from cyclegan.errors import UserError
from cyclegan.models import networks
from cyclegan.models.weights import CARD, WEIGHTS, load_generator, load_spec, save_generator, spec_of

CPU = torch.device("cpu")
SAVE = """
import sys, json, pathlib, torch
from cyclegan.config import ModelConfig
from cyclegan.models import networks, weights
model = ModelConfig(**json.loads(sys.argv[1]))
network = networks.build(model, 0, torch.device("cpu")).G_AB
weights.save_generator(pathlib.Path(sys.argv[2]), network, weights.spec_of(model, "G_AB", 32, "key", "ema"))
"""


@pytest.fixture(scope="module")
def model(make_config: Callable[..., Config]) -> ModelConfig:
    return make_config(**{"model.input_nc": 1, "loss.lambda_identity": 0.0}).model


def save(folder: Path, model: ModelConfig) -> networks.Networks:
    built = networks.build(model, 0, CPU)
    save_generator(folder, built.G_AB, spec_of(model, "G_AB", 32, "key", "ema"))
    return built


def test_a_loaded_generator_gives_the_same_outputs_and_says_what_it_is(tmp_path: Path, model: ModelConfig) -> None:
    built = save(tmp_path / "deep" / "G_AB", model)
    network, spec = load_generator(tmp_path / "deep" / "G_AB", CPU)
    x = torch.rand(2, 1, 16, 24) * 2 - 1
    with torch.no_grad():
        assert torch.equal(network(x), built.G_AB(x))
    assert not network.training
    assert (spec.direction, spec.channels_in, spec.channels_out, spec.stride) == ("G_AB", 1, 3, 4)
    assert (spec.netG, spec.ngf, spec.size, spec.train_key, spec.weights) == (model.netG, model.ngf, 32, "key", "ema")
    backwards = spec_of(model, "G_BA", 32, "key", "raw")
    assert (backwards.channels_in, backwards.channels_out) == (3, 1)


def test_bytes_are_the_same_in_another_process(tmp_path: Path, model: ModelConfig) -> None:
    save(tmp_path / "here", model)
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(cyclegan.__file__).parents[1])}
    command = [sys.executable, "-c", SAVE, model.model_dump_json(), str(tmp_path / "there")]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    for name in (WEIGHTS, CARD):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def edit(folder: Path, **changes: Any) -> None:
    path = folder / CARD
    about = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({name: value for name, value in about.items() if value is not None}), encoding="utf-8")


def test_a_folder_without_generator_json_is_no_generator(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"it has no {CARD}"):
        load_generator(tmp_path, CPU)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ngf": None}, "damaged: .*ngf"),
        ({"colour": 1}, "damaged: .*colour"),
        ({"format": 2}, "has format 2 .* update cyclegan"),
        ({"netG": "unet"}, "netG unet, which this version cannot build"),
    ],
)
def test_a_description_that_cannot_be_used_is_an_error(
    tmp_path: Path, model: ModelConfig, changes: dict[str, Any], words: str
) -> None:
    save(tmp_path, model)
    edit(tmp_path, **changes)
    with pytest.raises(UserError, match=words):
        load_spec(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"generator"'])
def test_a_description_that_is_no_json_object_is_an_error(tmp_path: Path, model: ModelConfig, text: str) -> None:
    save(tmp_path, model)
    (tmp_path / CARD).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="is damaged"):
        load_spec(tmp_path)


def test_weights_that_are_missing_damaged_or_of_another_network_are_errors(tmp_path: Path, model: ModelConfig) -> None:
    save(tmp_path, model)
    data = (tmp_path / WEIGHTS).read_bytes()
    for kept in (0, 100, len(data) - 1):
        (tmp_path / WEIGHTS).write_bytes(data[:kept])
        with pytest.raises(UserError, match="does not hold this generator"):
            load_generator(tmp_path, CPU)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(UserError, match=f"has no {WEIGHTS}"):
        load_generator(tmp_path, CPU)
    (tmp_path / WEIGHTS).write_bytes(data)
    load_generator(tmp_path, CPU)
    for changes in (
        {"ngf": model.ngf + 1},
        {"ngf": model.ngf, "netG": "resnet_9blocks"},
        {"netG": model.netG, "channels_in": 3},
    ):
        edit(tmp_path, **changes)
        with pytest.raises(UserError, match="does not hold this generator"):
            load_generator(tmp_path, CPU)
