"""Folders of networks: out and in again, the same bytes in every process, and errors that say what is wrong."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import cyclegan
from cyclegan.config import Config, ModelConfig
from cyclegan.errors import UserError
from cyclegan.models import networks
from cyclegan.models.networks import Networks
from cyclegan.models.specs import DiscriminatorSpec, GeneratorSpec, discriminator_spec, generator_spec, load_spec
from cyclegan.models.weights import RANDOM, load, load_first_weights, load_generator, save

CPU = torch.device("cpu")
SAVE = """
import sys, json, pathlib, torch
from cyclegan.config import ModelConfig
from cyclegan.models import networks, specs, weights
model = ModelConfig(**json.loads(sys.argv[1]))
built, folder = networks.build(model, 0, torch.device("cpu")), pathlib.Path(sys.argv[2])
weights.save(folder, built.G_AB.state_dict(), specs.generator_spec(model, "G_AB", 32, "key", "ema"))
weights.save(folder, built.D_B.state_dict(), specs.discriminator_spec(model, "B", "key"))
"""
MODELS: dict[str, dict[str, Any]] = {
    "as published": {},
    "batch norm and dropout": {"norm": "batch", "dropout": True, "netD": "same_size"},
    "affine, one-px scores": {"norm": "instance_affine", "netD": "pixel"},
    "U-Net without norms": {"netG": "unet_128", "norm": "none", "n_layers_D": 3},
}
KINDS = [("generator", GeneratorSpec), ("discriminator", DiscriminatorSpec)]


@pytest.fixture(scope="module")
def make_model(make_config: Callable[..., Config]) -> Callable[..., ModelConfig]:
    """make_model(netD="pixel"): the tiny model, from grey to colour."""

    def make(**changes: Any) -> ModelConfig:
        sizes = {"preprocess.load_size": 128, "preprocess.crop_size": 128, "loss.lambda_identity": 0.0}
        named = {f"model.{name}": value for name, value in changes.items()}
        return make_config(**sizes, **{"model.input_nc": 1, **named}).model

    return make


@pytest.fixture(scope="module")
def model(make_model: Callable[..., ModelConfig]) -> ModelConfig:
    return make_model()


def describe(model: ModelConfig, name: str) -> GeneratorSpec | DiscriminatorSpec:
    if name.startswith("G"):
        return generator_spec(model, name, 32, "key", "ema")
    return discriminator_spec(model, "A" if name == "D_A" else "B", "key")


def write(folder: Path, model: ModelConfig, *names: str, seed: int = 0) -> Networks:
    """A model folder of the networks by name; their buffers are not the first ones."""
    built = networks.build(model, seed, CPU)
    for name, network in built.items():
        for buffer in network.buffers():
            buffer += 2
        if name in names:
            save(folder / name, network.state_dict(), describe(model, name))
    return built


@pytest.mark.parametrize("name", ["G_AB", "G_BA", "D_A", "D_B"])
@pytest.mark.parametrize("case", MODELS)
def test_a_loaded_network_gives_the_same_outputs_and_says_what_it_is(
    tmp_path: Path, make_model: Callable[..., ModelConfig], case: str, name: str
) -> None:
    model = make_model(**MODELS[case])
    built = getattr(write(tmp_path / "deep", model, name), name)
    kind = GeneratorSpec if name.startswith("G") else DiscriminatorSpec
    network, spec = load(tmp_path / "deep" / name, kind, CPU)
    assert not any(module.training for module in network.modules())
    assert spec == load_spec(tmp_path / "deep" / name, kind) == describe(model, name)
    channels = 1 if name in ("G_AB", "D_A") else 3
    x = torch.rand(2, channels, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        assert torch.equal(network(x), built.eval()(x))
    assert network.state_dict().keys() == built.state_dict().keys()
    assert all(torch.equal(value, built.state_dict()[key]) for key, value in network.state_dict().items())


def test_a_generators_spec_says_all_that_builds_it(make_model: Callable[..., ModelConfig]) -> None:
    model = make_model(netG="resnet_9blocks", norm="batch", dropout=True, ngf=5)
    spec = generator_spec(model, "G_AB", 32, "key", "ema")
    assert asdict(spec) == {
        "direction": "G_AB",
        "netG": "resnet_9blocks",
        "ngf": 5,
        "norm": "batch",
        "dropout": True,
        "channels_in": 1,
        "channels_out": 3,
        "size": 32,
        "train_key": "key",
        "weights": "ema",
        "format": 2,
    }
    backwards = generator_spec(model, "G_BA", 32, "key", "raw")
    assert (backwards.direction, backwards.channels_in, backwards.channels_out) == ("G_BA", 3, 1)
    assert str(spec.build()) == str(networks.build_generator(model, "G_AB"))


@pytest.mark.parametrize(
    ("architecture", "stride", "smallest"),
    [("resnet_6blocks", 4, 8), ("resnet_9blocks", 4, 8), ("unet_128", 128, 128), ("unet_256", 256, 256)],
)
@torch.no_grad()
def test_a_generator_takes_what_its_spec_says_it_takes(
    model: ModelConfig, architecture: str, stride: int, smallest: int
) -> None:
    spec = replace(generator_spec(model, "G_AB", 32, "", "raw"), netG=architecture, ngf=1, norm="none")
    assert (spec.stride, spec.smallest) == (stride, smallest)
    network = spec.build()
    for height, width in ((smallest, smallest), (smallest, smallest + stride)):
        assert network(torch.zeros(1, 1, height, width)).shape == (1, 3, height, width)
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 1, smallest - stride, smallest))


def test_three_n_layers_are_basic(make_model: Callable[..., ModelConfig]) -> None:
    """So that weights of the one can be trained further as the other."""
    basic, layers = (make_model(netD=kind, n_layers_D=3) for kind in ("basic", "n_layers"))
    assert discriminator_spec(layers, "A", "key") == discriminator_spec(basic, "A", "key")
    assert discriminator_spec(make_model(netD="n_layers", n_layers_D=2), "A", "key").netD == "n_layers"


@pytest.mark.parametrize(("netd", "n_layers"), [("basic", 3), ("same_size", 3), ("pixel", 3), ("n_layers", 2)])
def test_a_discriminators_spec_says_all_that_builds_it(
    make_model: Callable[..., ModelConfig], netd: str, n_layers: int
) -> None:
    """n_layers_D is what n_layers only goes by: elsewhere it is recorded as the published 3, and changes nothing."""
    model = make_model(netD=netd, ndf=6, n_layers_D=2, norm="none")
    spec = discriminator_spec(model, "A", "key")
    assert asdict(spec) == {
        "domain": "A",
        "netD": netd,
        "ndf": 6,
        "n_layers": n_layers,
        "norm": "none",
        "channels_in": 1,
        "train_key": "key",
        "format": 2,
    }
    assert discriminator_spec(model, "B", "key").channels_in == 3
    assert str(spec.build()) == str(networks.build_discriminator(model, "A"))


def test_bytes_are_the_same_in_another_process(tmp_path: Path, model: ModelConfig) -> None:
    built = networks.build(model, 0, CPU)
    save(tmp_path / "here", built.G_AB.state_dict(), describe(model, "G_AB"))
    save(tmp_path / "here", built.D_B.state_dict(), describe(model, "D_B"))
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(cyclegan.__file__).parents[1])}
    command = [sys.executable, "-c", SAVE, model.model_dump_json(), str(tmp_path / "there")]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    names = [f"{kind}.{ending}" for kind, _ in KINDS for ending in ("safetensors", "json")]
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == sorted(names)
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def edit(path: Path, **changes: Any) -> None:
    about = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({name: value for name, value in about.items() if value is not None}), encoding="utf-8")


@pytest.mark.parametrize(("kind", "spec"), KINDS)
def test_a_folder_without_a_description_is_none_of_a_network(
    tmp_path: Path, kind: str, spec: type[GeneratorSpec] | type[DiscriminatorSpec]
) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=rf"is no {kind}'s folder: it has no {kind}\.json"):
            load(folder, spec, CPU)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=f"is no {kind}'s folder"):
        load_spec(tmp_path / "file", spec)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("G_AB", {"ngf": None}, r"generator\.json is damaged: .*ngf"),
        ("G_AB", {"colour": 1}, r"generator\.json is damaged: .*colour"),
        ("G_AB", {"format": 1}, r"generator\.json has format 1, and this version reads 2; train or import it again"),
        ("G_AB", {"format": 3}, "has format 3"),
        ("G_AB", {"format": 2.0}, r"has format 2\.0"),
        ("G_AB", {"netG": "unet"}, "netG is 'unet', not one of resnet_6blocks, .*unet_256; restore it"),
        ("G_AB", {"netG": ["resnet_6blocks"]}, "netG is .*, not one of"),
        ("G_AB", {"norm": "typo"}, "norm is 'typo', not one of instance, instance_affine, batch, none"),
        ("G_AB", {"ngf": "4"}, "ngf is '4', not a whole number from 1 to 1024"),
        ("G_AB", {"ngf": 4.0}, r"ngf is 4\.0, not a whole number"),
        ("G_AB", {"ngf": True}, "ngf is True, not a whole number"),
        ("G_AB", {"ngf": 0}, "ngf is 0, not"),
        ("G_AB", {"ngf": 1025}, "ngf is 1025, not"),
        ("G_AB", {"ngf": 10**18}, "ngf is 10{18}, not"),
        ("G_AB", {"size": 0}, "size is 0, not a whole number from 1 to 16384"),
        ("G_AB", {"size": 10**12}, "size is 10{12}, not"),
        ("G_AB", {"dropout": 1}, "dropout is 1, not one of False, True"),
        ("G_AB", {"channels_in": 2}, "channels_in is 2, not one of 1, 3"),
        ("G_AB", {"channels_out": True}, "channels_out is True, not one of 1, 3"),
        ("G_AB", {"direction": "../G_AB"}, "direction is '../G_AB', not one of G_AB, G_BA"),
        ("G_AB", {"weights": "best"}, "weights is 'best', not one of raw, ema"),
        ("G_AB", {"train_key": "../.."}, r"train_key is '\.\./\.\.', not letters and digits"),
        ("G_AB", {"train_key": 5}, "train_key is 5, not letters"),
        ("D_B", {"domain": "C"}, "domain is 'C', not one of A, B"),
        ("D_B", {"netD": "typo"}, "netD is 'typo', not one of"),
        ("D_B", {"norm": "typo"}, "norm is 'typo', not one of"),
        ("D_B", {"n_layers": "2"}, "n_layers is '2', not a whole number from 1 to 6"),
        ("D_B", {"n_layers": 10**9}, "n_layers is 1000000000, not"),
        ("D_B", {"ndf": -4}, "ndf is -4, not a whole number from 1 to 1024"),
        ("G_AB", {"format": None}, "is damaged: 'format'"),
        ("D_B", {"ndf": None}, r"discriminator\.json is damaged: .*ndf"),
        ("D_B", {"ngf": 4}, r"discriminator\.json is damaged: .*ngf"),
        ("D_B", {"format": 1}, r"discriminator\.json has format 1"),
    ],
)
def test_a_description_that_cannot_be_used_is_an_error(
    tmp_path: Path, model: ModelConfig, name: str, changes: dict[str, Any], words: str
) -> None:
    write(tmp_path, model, name)
    kind, spec = KINDS[name.startswith("D")]
    edit(tmp_path / name / f"{kind}.json", **changes)
    with pytest.raises(UserError, match=words):
        load_spec(tmp_path / name, spec)


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'"generator"', b"null", b"\xff\xfe"])
def test_a_description_that_is_no_json_object_is_an_error(tmp_path: Path, model: ModelConfig, text: bytes) -> None:
    write(tmp_path, model, "D_A")
    (tmp_path / "D_A" / "discriminator.json").write_bytes(text)
    with pytest.raises(UserError, match="is damaged"):
        load_spec(tmp_path / "D_A", DiscriminatorSpec)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("G_AB", [{"ngf": 5}, {"ngf": 1024}, {"netG": "resnet_9blocks"}, {"channels_in": 3}, {"norm": "batch"}]),
        ("D_B", [{"ndf": 5}, {"netD": "pixel"}, {"n_layers": 3}, {"channels_in": 1}, {"norm": "none"}]),
    ],
)
def test_weights_that_are_missing_damaged_or_of_another_network_are_errors(
    tmp_path: Path, model: ModelConfig, name: str, others: list[dict[str, Any]]
) -> None:
    write(tmp_path, model, name)
    kind, spec = KINDS[name.startswith("D")]
    path, card = tmp_path / name / f"{kind}.safetensors", tmp_path / name / f"{kind}.json"
    data, text = path.read_bytes(), card.read_bytes()
    for kept in (0, 100, len(data) - 1):
        path.write_bytes(data[:kept])
        with pytest.raises(UserError, match=f"does not hold this {kind}"):
            load(tmp_path / name, spec, CPU)
    path.unlink()
    with pytest.raises(UserError, match=rf"has no {kind}\.safetensors"):
        load(tmp_path / name, spec, CPU)
    path.write_bytes(data)
    load(tmp_path / name, spec, CPU)
    for changes in others:
        card.write_bytes(text)
        edit(card, **changes)
        with pytest.raises(UserError, match=f"does not hold this {kind}"):
            load(tmp_path / name, spec, CPU)


def tensors(networks: Networks) -> dict[str, dict[str, Tensor]]:
    return {name: deepcopy(network.state_dict()) for name, network in networks.items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    "names", [["G_AB", "G_BA", "D_A", "D_B"], ["G_AB", "G_BA"], ["D_B"], ["G_BA", "D_A"]], ids=lambda names: "+".join(names)
)
@pytest.mark.parametrize("case", ["as published", "batch norm and dropout"])
def test_first_weights_are_those_of_the_folder_and_the_others_stay_random(
    tmp_path: Path, make_model: Callable[..., ModelConfig], case: str, names: list[str]
) -> None:
    model = make_model(**MODELS[case])
    there = tensors(write(tmp_path, model, *names, seed=5))
    (tmp_path / "training.json").write_text("{}", encoding="utf-8")
    here = networks.build(model, 0, CPU)
    random = tensors(here)
    assert load_first_weights(here, model, tmp_path) == names
    for name, now in tensors(here).items():
        assert equal(now, there[name] if name in names else random[name]), name
        assert not equal(there[name], random[name])
    for network in vars(here).values():
        assert network.training  # they are about to be trained
        assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_average_beside_a_generator_is_not_what_training_starts_from(tmp_path: Path, model: ModelConfig) -> None:
    write(tmp_path, model, "G_AB")
    shutil.move(tmp_path / "G_AB", tmp_path / "G_AB_ema")
    with pytest.raises(UserError, match="holds none of G_AB, G_BA, D_A, D_B"):
        load_first_weights(networks.build(model, 0, CPU), model, tmp_path)


def test_random_first_weights_stay_as_they_are(tmp_path: Path, model: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies in weights/random."""
    write(tmp_path / RANDOM, model, "G_AB", seed=5)
    monkeypatch.chdir(tmp_path)
    here = networks.build(model, 0, CPU)
    random = tensors(here)
    assert load_first_weights(here, model, Path("weights/random")) == []
    assert all(equal(now, random[name]) for name, now in tensors(here).items())


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_networks_to_start_from_is_an_error(tmp_path: Path, model: ModelConfig, exists: bool) -> None:
    folder = tmp_path / "there"
    if exists:
        folder.mkdir()
    words = r"train\.init_from is .*there.*holds none of G_AB, G_BA, D_A, D_B; .*import-weights.*weights/random"
    with pytest.raises(UserError, match=words):
        load_first_weights(networks.build(model, 0, CPU), model, folder)


@pytest.mark.parametrize(
    ("name", "there", "named", "unnamed"),
    [
        ("G_AB", {"ngf": 5}, ["ngf is 5 there and 4 here"], ["norm", "train_key", "size"]),
        (
            "G_BA",
            {"netG": "resnet_9blocks", "norm": "batch", "dropout": True},
            [
                "netG is resnet_9blocks there and resnet_6blocks here",
                "norm is batch there and instance here",
                "dropout is True there and False here",
            ],
            ["ngf", "weights is", "channels"],
        ),
        ("G_AB", {"input_nc": 3, "output_nc": 1}, ["channels_in is 3 there and 1 here", "channels_out is 1"], ["ngf"]),
        ("D_A", {"netD": "pixel"}, ["netD is pixel there and n_layers here", "n_layers is 3 there and 2 here"], ["ndf"]),
        ("D_B", {"n_layers_D": 1, "ndf": 7}, ["n_layers is 1 there and 2 here", "ndf is 7 there and 4 here"], ["channels"]),
    ],
)
def test_another_network_to_start_from_is_an_error_that_names_what_differs(
    tmp_path: Path,
    make_model: Callable[..., ModelConfig],
    model: ModelConfig,
    name: str,
    there: dict[str, Any],
    named: list[str],
    unnamed: list[str],
) -> None:
    write(tmp_path, make_model(**there), name)
    with pytest.raises(UserError) as caught:
        load_first_weights(networks.build(model, 0, CPU), model, tmp_path)
    message = str(caught.value)
    assert message.startswith(f"train.init_from: {tmp_path / name} is another network than the section model")
    assert all(words in message for words in named)
    assert not any(words in message.split(":", 2)[2] for words in unnamed)


def test_a_network_in_anothers_folder_is_an_error(tmp_path: Path, model: ModelConfig) -> None:
    write(tmp_path, model, "D_B")
    shutil.move(tmp_path / "D_B", tmp_path / "G_AB")
    with pytest.raises(UserError, match=r"G_AB is another network .*netD is n_layers there"):
        load_first_weights(networks.build(model, 0, CPU), model, tmp_path)


@pytest.mark.parametrize("name", ["G_AB", "D_A"])
def test_damaged_networks_to_start_from_are_errors(tmp_path: Path, model: ModelConfig, name: str) -> None:
    write(tmp_path, model, name)
    kind, _ = KINDS[name.startswith("D")]
    (tmp_path / name / f"{kind}.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=f"does not hold this {kind}"):
        load_first_weights(networks.build(model, 0, CPU), model, tmp_path)
    (tmp_path / name / f"{kind}.json").unlink()
    with pytest.raises(UserError, match="folder: it has no"):
        load_first_weights(networks.build(model, 0, CPU), model, tmp_path)


def test_a_generators_folder_is_loaded_as_one(tmp_path: Path, model: ModelConfig) -> None:
    built = write(tmp_path, model, "G_AB")
    network, spec = load_generator(tmp_path / "G_AB", CPU)
    assert spec.direction == "G_AB"
    assert equal(network.state_dict(), built.G_AB.state_dict())
