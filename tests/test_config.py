"""params.yaml is valid and documented, and each mistake in it gives one error that says what, where and how to mend it."""

import copy
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cyclegan.config import STRIDES, Config, DatasetConfig, load, parse, smallest_judged
from cyclegan.errors import UserError
from cyclegan.models.generators import ResnetGenerator
from cyclegan.models.networks import make_discriminator
from cyclegan.sources.catalogue import ARCHIVES, HOST

FILE = Path(__file__).resolve().parents[1] / "params.yaml"
TEXT = FILE.read_text(encoding="utf-8")
RAW = yaml.safe_load(TEXT)


def leaves(section: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every key of the schema, as section.key."""
    names: list[str] = []
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += leaves(inner, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def changed(**changes: object) -> dict[str, Any]:
    """The parameters of params.yaml with other values; a double underscore separates section and key."""
    raw: dict[str, Any] = copy.deepcopy(RAW)
    for path, value in changes.items():
        *sections, key = path.split("__")
        target = raw
        for section in sections:
            target = target[section]
        target[key] = value
    return raw


def complaint(raw: object) -> str:
    with pytest.raises(UserError) as caught:
        parse(raw, "some/params.yaml")
    return str(caught.value)


def complaint_about_text(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


CHOICES = {
    "preprocess.direction": ["AtoB", "BtoA"],
    "preprocess.mode": [
        "resize_and_crop",
        "crop",
        "scale_width",
        "scale_width_and_crop",
        "scale_shortside",
        "scale_shortside_and_crop",
        "none",
    ],
    "model.netG": ["resnet_6blocks", "resnet_9blocks", "unet_128", "unet_256"],
    "model.netD": ["basic", "n_layers", "pixel", "same_size"],
    "model.norm": ["instance", "instance_affine", "batch", "none"],
    "model.init_type": ["normal", "xavier", "kaiming", "orthogonal"],
    "model.init_bias": ["zero", "uniform"],
    "loss.gan_mode": ["lsgan", "vanilla", "hinge", "wgangp"],
    "loss.score_per": ["patch", "picture"],
    "schedule.lr_policy": ["linear", "step", "plateau", "cosine", "constant"],
    "train.epoch_length": ["max", "min"],
    "train.validate_metric": [
        "auto",
        "pair_l1",
        "pair_psnr",
        "pair_ssim",
        "kid_x1000",
        "fid_clean",
        "fid_legacy",
        "cycle_l1",
        "cycle_psnr",
        "cycle_ssim",
    ],
    "evaluate.weights": ["auto", "best", "ema", "raw"],
}


# --- params.yaml itself -----------------------------------------------------------------------------------------------


def test_the_projects_parameters_are_valid_and_complete() -> None:
    assert load(FILE).model_dump() == RAW


def test_every_key_has_a_comment() -> None:
    commented, section, above = [], "", False
    for line in TEXT.splitlines():
        match = re.fullmatch(r"( *)(\w+):(.*)", line)
        if match and not match[3].strip():
            section = match[2]
        elif match:
            key = f"{section}.{match[2]}" if match[1] else match[2]
            remark = match[3].partition(" #")[2]
            assert above or len(remark.split()) >= 2, f"{key} has no comment"
            commented.append(key)
        above = line.strip().startswith("#")
    assert commented == leaves()


# --- what is accepted -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["loss__lambda_A", "loss__lambda_identity", "optimizer__lr", "runtime__checkpoint_every_seconds"]
)
def test_a_whole_number_is_as_good_as_a_decimal_one(key: str) -> None:
    # `dvc exp run -S x=1` writes an integer over 1.0
    whole, decimal = parse(changed(**{key: 1}), "x"), parse(changed(**{key: 1.0}), "x")
    assert whole == decimal
    assert whole.model_dump_json() == decimal.model_dump_json()


def test_a_config_is_frozen() -> None:
    config = load(FILE)
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        config.loss.lambda_A = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("architecture", "n_layers", "smallest"),
    [("basic", 1, 24), ("basic", 5, 24), ("same_size", 5, 16), ("pixel", 5, 8)]
    + [("n_layers", layers, side) for layers, side in enumerate((8, 12, 24, 48, 96, 192), start=1)],
)
def test_the_smallest_crop_is_what_the_networks_can_take(architecture: str, n_layers: int, smallest: int) -> None:
    accepted, sides = [], range(8, 257, 4)
    choice = {"model__netD": architecture, "model__n_layers_D": n_layers, "preprocess__load_size": 256}
    for crop in sides:
        try:
            parse(changed(preprocess__crop_size=crop, **choice), "x")
        except UserError as error:
            assert f"preprocess.crop_size is {crop}, too small" in str(error)  # noqa: PT017
            assert f"model.netD {architecture}" in str(error)  # noqa: PT017
            assert f"model.n_layers_D {n_layers}" in str(error)  # noqa: PT017
        else:
            accepted.append(crop)
    assert accepted == list(range(smallest, 257, 4))
    critic = make_discriminator(architecture, 3, 1, n_layers, "instance").train()
    assert critic(torch.zeros(1, 3, smallest, smallest)).shape[2:].numel() >= 1
    assert ResnetGenerator(3, 3, 1, 1).train()(torch.zeros(1, 3, smallest, smallest)).shape[2:] == (smallest, smallest)
    if smallest > 8:
        with pytest.raises((RuntimeError, ValueError)):
            critic(torch.zeros(1, 3, smallest - 4, smallest - 4))


def test_the_smallest_square_of_each_discriminator_is_exact() -> None:
    for architecture, n_layers in [
        ("pixel", 1),
        ("same_size", 1),
        ("basic", 1),
        *(("n_layers", layers) for layers in range(1, 5)),
    ]:
        smallest = smallest_judged(parse(changed(model__netD=architecture, model__n_layers_D=n_layers), "x").model)
        norm = "none" if architecture == "pixel" else "instance"
        critic = make_discriminator(architecture, 3, 1, n_layers, norm).train()
        assert critic(torch.zeros(1, 3, smallest, smallest)).shape[2:].numel() >= 1
        if smallest > 1:
            with pytest.raises((RuntimeError, ValueError)):
                critic(torch.zeros(1, 3, smallest - 1, smallest - 1))


@pytest.mark.parametrize(
    ("architecture", "stride"), [("resnet_6blocks", 4), ("resnet_9blocks", 4), ("unet_128", 128), ("unet_256", 256)]
)
def test_crops_are_multiples_of_what_the_generator_halves_down_to(architecture: str, stride: int) -> None:
    assert STRIDES[architecture] == stride
    accepted = []
    for crop in range(24, 1025, 4):
        raw = changed(model__netG=architecture, preprocess__crop_size=crop, preprocess__load_size=1024)
        try:
            parse(raw, "x")
        except UserError as error:
            assert f"it must be a multiple of {stride}" in str(error)  # noqa: PT017
        else:
            accepted.append(crop)
    assert accepted == list(range(max(24, stride), 1025, stride))


@pytest.mark.parametrize(
    "change",
    [
        {"preprocess__mode": "crop", "preprocess__load_size": 30, "preprocess__crop_size": 64},  # load_size is not used
        {"preprocess__mode": "none", "preprocess__load_size": 31, "preprocess__crop_size": 64},
        {"preprocess__mode": "scale_width_and_crop", "preprocess__load_size": 286},  # only whole pictures need multiples
        {"preprocess__mode": "resize_and_crop", "preprocess__load_size": 70},
        {"preprocess__mode": "scale_shortside", "preprocess__load_size": 68},
        {"preprocess__crop_size": 64, "preprocess__load_size": 64},
        {"loss__gan_mode": "wgangp", "preprocess__mode": "scale_shortside_and_crop"},
        {"loss__gan_mode": "wgangp", "preprocess__mode": "crop", "loss__lambda_gp": 0.1},
        {"loss__gan_mode": "hinge", "preprocess__mode": "none", "loss__lambda_gp": 0.0},
        {"schedule__lr_policy": "plateau", "dataset__n_val": 9, "loss__lambda_A": 0.0},
        {"schedule__lr_policy": "plateau", "dataset__n_val": 0, "dataset__val_fraction": 0.1, "loss__lambda_A": 0.0},
        {"schedule__lr_policy": "plateau", "dataset__name": "folder", "dataset__val_fraction": 0.0},
        {"dataset__name": "folder", "dataset__n_val": 40, "dataset__val_fraction": 0.1},  # which has no use for the one
        {"train__stop_after_validations": 3, "train__validate_every_epochs": 2},
        {"evaluate__weights": "best", "train__validate_every_epochs": 0, "evaluate__model": "weights/mine"},
        {"evaluate__weights": "best"},
        {"schedule__lr_policy": "plateau", "dataset__n_val": 0, "dataset__val_fraction": 0.1, "loss__lambda_B": 0.0},
        {"schedule__lr_policy": "step", "dataset__val_fraction": 0.0, "loss__lambda_A": 0.0, "loss__lambda_B": 0.0},
        {"evaluate__weights": "raw", "train__ema_decay": 0.0},
        {"evaluate__weights": "auto", "train__ema_decay": 0.0},
        {"model__input_nc": 1, "loss__lambda_identity": 0.0},
        {"model__input_nc": 1, "model__output_nc": 1},
        {"dataset__table_A": ["yes", 1, "-1"], "dataset__table_B": [-5]},
        {"dataset__table_file_column": "file", "dataset__limit": 1},
        {"dataset__url": "file:///tmp/x.zip", "dataset__sha256": "0" * 64},
        {"train__init_from": "weights/horse2zebra", "evaluate__model": "weights/horse2zebra"},
        {"train__launcher": "torchrun --standalone --nproc-per-node 2"},
        {"train__launcher": "srun --ntasks-per-node=1 torchrun --nnodes 2 --rdzv-endpoint $HEAD:29500"},
        {"train__pool_size": 0, "train__epoch_length": "min", "train__serial_batches": True},
        {"optimizer__beta1": 0.0, "runtime__workers": 0, "dataset__n_train": 1},
    ],
    ids=lambda change: ",".join(f"{key.partition('__')[2]}={value}" for key, value in change.items()),
)
def test_what_is_no_contradiction_is_accepted(change: dict[str, object]) -> None:
    config = parse(changed(**change), "x").model_dump()
    for path, value in change.items():
        section, _, key = path.partition("__")
        assert config[section][key] == value
        assert type(config[section][key]) is type(value)


@pytest.mark.parametrize(("key", "values"), CHOICES.items())
def test_the_choices_are_these(key: str, values: list[str]) -> None:
    section, _, name = key.partition(".")
    model = Config.model_fields[section].annotation
    assert list(get_args(model.model_fields[name].annotation)) == values
    lines = iter(TEXT.splitlines())
    about = []  # the key's comments: the lines above it in its section, and its own
    for line in lines:
        if re.fullmatch(rf"  {name}: .*", line):
            about.append(line)
            break
        about = [*about, line] if line.strip().startswith("#") else []
    assert [value for value in values if value not in " ".join(about)] == []


# --- one mistake, one error -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": -1}, ["seed is -1", ">= 0"]),
        ({"seed": 2**32}, ["seed is 4294967296", "<= 4294967295"]),
        ({"seed": 0.5}, ["seed is 0.5", "whole number"]),
        ({"seed": None}, ["seed is None", "whole number"]),
        ({"loss__lambda_A": -1.0}, ["loss.lambda_A is -1.0", ">= 0", "0 switches the term off"]),
        ({"loss__lambda_A": True}, ["loss.lambda_A is True", "must be a number"]),
        ({"loss__lambda_A": float("nan")}, ["loss.lambda_A is nan", "must be a number"]),
        ({"loss__lambda_B": float("inf")}, ["loss.lambda_B is inf", "must be a number"]),
        ({"loss__lambda_B": [1.0]}, ["loss.lambda_B is [1.0]", "must be a number"]),
        ({"loss": 5}, ["loss is 5", "section"]),
        ({"loss": None}, ["loss is None", "section"]),
        ({"optimizer__lr": 0}, ["optimizer.lr is 0", "> 0"]),
        ({"optimizer__beta1": 1.0}, ["optimizer.beta1 is 1.0", "< 1"]),
        ({"train__batch_size": 0}, ["train.batch_size is 0", ">= 1"]),
        ({"train__ema_decay": 1.0}, ["train.ema_decay is 1.0", "< 1", "0 switches the average off"]),
        ({"preprocess__flip": 1}, ["preprocess.flip is 1", "true or false"]),
        ({"preprocess__flip": "yes"}, ["preprocess.flip is 'yes'", "true or false"]),
        ({"preprocess__background": [0, 0]}, ["preprocess.background is [0, 0]", "red, green, blue"]),
        ({"preprocess__background": [0, 0, 256]}, ["preprocess.background.2 is 256", "<= 255"]),
        ({"model__netG": "unet_512"}, ["model.netG is 'unet_512'", "resnet_6blocks", "resnet_9blocks", "unet_256"]),
        ({"model__netG": "9"}, ["model.netG is '9'", "resnet_6blocks", "resnet_9blocks"]),
        ({"model__input_nc": 4}, ["model.input_nc is 4", "1 or 3", "1 greyscale, 3 colour"]),
        ({"dataset__name": "horse2zebr"}, ["dataset.name is 'horse2zebr'", "'horse2zebra'"]),
        ({"dataset__path": 5}, ["dataset.path is 5", "must be text"]),
        ({"dataset__url": "ftp://host/x.zip"}, ["dataset.url is 'ftp://host/x.zip'", "https?|file"]),
        ({"dataset__sha256": "A" * 64}, ["dataset.sha256 is 'AAAA", "[0-9a-f]{64}", "64 hexadecimal digits"]),
        ({"dataset__test_fraction": 1}, ["dataset.test_fraction is 1", "< 1"]),
        ({"runtime__device": "gpu"}, ["runtime.device is 'gpu'", "cuda"]),
        ({"runtime__device": "0"}, ["runtime.device is '0'", "cuda"]),
        ({"export__opset": 17}, ["export.opset is 17", ">= 18"]),
        ({"optimizer__lr": "2e-4"}, ["optimizer.lr is the text '2e-4'", "number", "2.0e-4"]),
        ({"train__batch_size": "4"}, ["train.batch_size is the text '4'", "number", "without quotes"]),
        ({"model__input_nc": "3"}, ["model.input_nc is the text '3'", "number", "without quotes"]),
        ({"loss__lambda": 1.0}, ["loss.lambda", "no parameter", "did you mean loss.lambda_"]),
        ({"loss__lambda_a": 1.0}, ["loss.lambda_a", "no parameter", "did you mean loss.lambda_A?"]),
        ({"model__netg": "resnet_9blocks"}, ["model.netg", "no parameter", "did you mean model.netG?"]),
        ({"train__batchsize": 1}, ["train.batchsize", "no parameter", "did you mean train.batch_size?"]),
        ({"optimizer__weight_decay": 0.1}, ["optimizer.weight_decay", "no parameter", "known here: lr, beta1"]),
        ({"optimiser": {}}, ["optimiser", "no parameter", "did you mean optimizer?"]),
        ({"wandb": {}}, ["wandb", "no parameter", "known here: seed, dataset,"]),
        (
            {"preprocess__crop_size": 128, "preprocess__load_size": 64},
            ["preprocess", "crop_size is 128", "load_size is 64", "lower crop_size or raise load_size"],
        ),
        (
            {"loss__lambda_identity": 0.5, "model__input_nc": 1, "model__output_nc": 3},
            ["loss.lambda_identity is 0.5", "model.input_nc is 1", "model.output_nc is 3", "set loss.lambda_identity to 0"],
        ),
        (
            {"evaluate__weights": "ema", "train__ema_decay": 0},
            ["evaluate.weights is 'ema'", "train.ema_decay is 0", "auto or raw"],
        ),
        (
            {"preprocess__crop_size": 20, "model__n_layers_D": 3},
            ["preprocess.crop_size is 20", "model.n_layers_D 3", "24 px", "raise the one or choose others"],
        ),
        ({"preprocess__mode": "resize"}, ["preprocess.mode is 'resize'", "'resize_and_crop'", "'none'"]),
        ({"preprocess__direction": "BA"}, ["preprocess.direction is 'BA'", "'AtoB' or 'BtoA'"]),
        ({"preprocess__load_size": 16385}, ["preprocess.load_size is 16385", "<= 16384"]),
        ({"preprocess__crop_size": 0}, ["preprocess.crop_size is 0", ">= 4"]),
        ({"preprocess__crop_size": 62}, ["preprocess.crop_size is 62", "resnet_6blocks", "2 times", "multiple of 4"]),
        (
            {"model__netG": "unet_128", "preprocess__crop_size": 64},
            ["preprocess.crop_size is 64", "model.netG unet_128", "halves pictures 7 times", "multiple of 128"],
        ),
        (
            {"model__netG": "unet_256", "preprocess__crop_size": 384, "preprocess__load_size": 400},
            ["preprocess.crop_size is 384", "model.netG unet_256", "halves pictures 8 times", "multiple of 256"],
        ),
        (
            {"preprocess__mode": "scale_width", "preprocess__load_size": 286},
            ["preprocess: load_size is 286", "mode scale_width,", "whole pictures", "make load_size a multiple of 4"],
        ),
        (
            {"preprocess__mode": "scale_shortside", "preprocess__load_size": 66},
            ["preprocess: load_size is 66", "mode scale_shortside,", "make load_size a multiple of 4"],
        ),
        (
            {"preprocess__mode": "scale_shortside", "preprocess__load_size": 60},
            ["preprocess: crop_size is 64", "load_size is 60", "lower crop_size or raise load_size"],
        ),
        (
            {"preprocess__crop_size": 12, "model__netD": "same_size"},
            ["preprocess.crop_size is 12", "model.netD same_size", "16 px", "choose others"],
        ),
        (
            {"preprocess__mode": "none", "preprocess__crop_size": 20, "model__netD": "basic"},
            ["preprocess.crop_size is 20", "model.netD basic", "24 px", "choose others"],
        ),
        ({"model__n_layers_D": 7}, ["model.n_layers_D is 7", "<= 6"]),
        ({"model__init_gain": 0.0}, ["model.init_gain is 0.0", "> 0"]),
        ({"model__dropout": 0.5}, ["model.dropout is 0.5", "true or false"]),
        ({"model__norm": "layer"}, ["model.norm is 'layer'", "'instance_affine'"]),
        ({"model__ngf": 0}, ["model.ngf is 0", ">= 1"]),
        ({"loss__lambda_gp": -1.0}, ["loss.lambda_gp is -1.0", ">= 0", "0 switches the term off"]),
        ({"loss__lambda_A": 1.0e7}, ["loss.lambda_A is 10000000.0", "<= 1000000.0"]),
        (
            {"loss__gan_mode": "wgangp", "loss__lambda_gp": 0.0},
            ["loss: gan_mode is wgangp and lambda_gp is 0", "set lambda_gp above 0", "gan_mode to another"],
        ),
        (
            {"train__batch_size": 6, "train__accumulate": 4},
            ["batch_size is 6", "cannot be split into accumulate = 4 equal parts", "set accumulate to a divisor of it"],
        ),
        (
            {"train__checkpoint_activations": True, "model__norm": "batch"},
            ["train.checkpoint_activations is true", "count each batch twice", "set the one to false"],
        ),
        (
            {
                "train__checkpoint_activations": True,
                "model__netG": "unet_128",
                "preprocess__crop_size": 128,
                "preprocess__load_size": 128,
            },
            ["train.checkpoint_activations is true", "netG unet_128", "or choose a resnet"],
        ),
        (
            {"loss__gan_mode": "wgangp", "preprocess__mode": "scale_width"},
            ["loss.gan_mode is wgangp", "preprocess.mode scale_width trains on whole pictures", "choose a mode that crops"],
        ),
        (
            {"loss__gan_mode": "wgangp", "preprocess__mode": "none"},
            ["loss.gan_mode is wgangp", "preprocess.mode none trains on whole pictures", "choose a mode that crops"],
        ),
        (
            {"schedule__lr_policy": "plateau", "dataset__n_val": 0, "dataset__val_fraction": 0.0},
            ["schedule.lr_policy is plateau", "dataset.val_fraction is 0", "set dataset.val_fraction to 0.1", "to another"],
        ),
        (
            {"schedule__lr_policy": "plateau", "dataset__name": "horse2zebra", "dataset__n_val": 40},
            ["schedule.lr_policy is plateau", "dataset.val_fraction is 0"],
        ),
        (
            {"dataset__n_val": 4, "dataset__val_fraction": 0.1},
            ["dataset: n_val is 4 and val_fraction is 0.1", "set val_fraction to 0, or n_val to 0"],
        ),
        ({"dataset__n_val": -1}, ["dataset.n_val is -1", ">= 0", "0 draws no validation pairs"]),
        (
            {"train__stop_after_validations": 5, "train__validate_every_epochs": 0},
            ["train: stop_after_validations is 5 while validate_every_epochs is 0", "set validate_every_epochs to 1"],
        ),
        (
            {"evaluate__weights": "best", "train__validate_every_epochs": 0},
            ["evaluate.weights is 'best' while train.validate_every_epochs is 0", "set evaluate.weights to auto"],
        ),
        ({"train__validate_metric": "structural"}, ["train.validate_metric is 'structural'", "'pair_l1'"]),
        (
            {
                "schedule__lr_policy": "plateau",
                "dataset__n_val": 0,
                "dataset__val_fraction": 0.1,
                "loss__lambda_A": 0.0,
                "loss__lambda_B": 0.0,
            },
            [
                "schedule.lr_policy is plateau",
                "loss.lambda_A and loss.lambda_B are both 0",
                "set one above 0",
                "to another",
            ],
        ),
        ({"schedule__lr_decay_epochs": 0}, ["schedule.lr_decay_epochs is 0", ">= 1"]),
        ({"schedule__n_epochs": -1}, ["schedule.n_epochs is -1", ">= 0"]),
        ({"optimizer__lr": 1.5}, ["optimizer.lr is 1.5", "<= 1"]),
        *(
            (
                {"train__launcher": launcher},
                [f"train.launcher is {launcher!r}", "(python, or torchrun with its options: torchrun"],
            )
            for launcher in ("", "bash", "mpirun python", "python -O", "torchrun-x", 2, None)
        ),
        ({"train__init_from": ""}, ["train.init_from is ''", "a folder; weights/random holds none"]),
        ({"train__init_from": "models/trained"}, ["train.init_from is models/trained", "copy the folder to weights/NAME"]),
        ({"train__arithmetic": "exact"}, ["train.arithmetic is 'exact'", "'fast' or 'textbook'"]),
        ({"train__init_from": None}, ["train.init_from is None", "must be text"]),
        ({"train__epoch_length": 100}, ["train.epoch_length is 100", "'max' or 'min'"]),
        ({"train__serial_batches": 0}, ["train.serial_batches is 0", "true or false"]),
        ({"train__pool_size": -1}, ["train.pool_size is -1", ">= 0", "0 switches the history pool off"]),
        ({"evaluate__model": ""}, ["evaluate.model is ''", "a folder with generators, such as models/trained"]),
        ({"evaluate__weights": "last"}, ["evaluate.weights is 'last'", "'auto', 'best', 'ema' or 'raw'"]),
        ({"evaluate__protocols": ["fid"]}, ["evaluate.protocols.0 is 'fid'", "'fid_legacy', 'fid_clean' or 'kid'"]),
        ({"evaluate__protocols": ["kid", "kid"]}, ["evaluate.protocols", "names something twice"]),
        ({"evaluate__feature_network": "../x"}, ["evaluate.feature_network is '../x'", "inception_2015"]),
        ({"dataset__limit": 0}, ["dataset.limit is 0", ">= 1"]),
        ({"dataset__val_fraction": 1.0}, ["dataset.val_fraction is 1.0", "< 1", "0 holds no validation pictures out"]),
        ({"dataset__val_fraction": -0.1}, ["dataset.val_fraction is -0.1", ">= 0"]),
        ({"dataset__test_fraction": 0.0}, ["dataset.test_fraction is 0.0", "> 0"]),
        ({"dataset__table_A": []}, ["dataset.table_A is []", "wrong number of entries", "a list such as [1]"]),
        ({"dataset__table_A": 1}, ["dataset.table_A is 1", "list", "a list such as [1]"]),
        ({"dataset__table_B": "x"}, ["dataset.table_B is 'x'", "list", "a list such as [-1]"]),
        ({"dataset__table": ""}, ["dataset.table is ''", "a file below dataset.path"]),
        ({"dataset__table_column": 5}, ["dataset.table_column is 5", "must be text"]),
        ({"dataset__url": "file://"}, ["dataset.url is 'file://'", "https?|file", "an http, https or file address"]),
        ({"dataset__sha256": "0" * 63}, ["dataset.sha256 is '000", "[0-9a-f]{64}"]),
        ({"export__register": "yes"}, ["export.register is 'yes'", "true or false"]),
        ({"export__registered_model": "a/b"}, ["export.registered_model is 'a/b'", "null takes the name of the data"]),
        ({"export__registered_model": ""}, ["export.registered_model is ''", "null takes the name of the data"]),
        ({"export__champion_metric": "KID"}, ["export.champion_metric is 'KID'", "such as kid_x1000_test"]),
        ({"export__champion_metric": None}, ["export.champion_metric is None", "must be text"]),
        ({"runtime__workers": -1}, ["runtime.workers is -1", ">= 0"]),
        ({"runtime__checkpoint_every_seconds": 0}, ["runtime.checkpoint_every_seconds is 0", "> 0"]),
        ({"runtime__device": "cuda:x"}, ["runtime.device is 'cuda:x'", "cuda:N"]),
        (
            {"schedule__n_epochs": 0, "schedule__n_epochs_decay": 0},
            ["schedule", "n_epochs", "n_epochs_decay", "at least one"],
        ),
    ],
    ids=lambda value: ",".join(f"{k}={v!r:.20}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_a_mistake_names_key_value_file_and_remedy(change: dict[str, object], words: list[str]) -> None:
    text = complaint(changed(**change))
    assert [word for word in words if word not in text] == []
    assert text.count("some/params.yaml") == 1
    assert "\n" not in text


@pytest.mark.parametrize("value", [True, 1.0, None, [1], {}], ids=str)
@pytest.mark.parametrize("key", ["table_A", "table_B"])
def test_values_of_a_table_are_text_or_whole_numbers_as_written(key: str, value: object) -> None:
    """A float or a boolean is spelled in more than one way: 1.0, 1.00; true, yes."""
    text = complaint(changed(**{f"dataset__{key}": [1, value]}))
    assert f"dataset.{key}.1" in text
    assert f"{value!r} is neither text nor a whole number; write it as the table spells it" in text
    assert "\n" not in text


def test_identity_loss_needs_equal_channels_either_way() -> None:
    for channels in ({"model__input_nc": 1}, {"model__output_nc": 1}):
        assert "loss.lambda_identity is" in complaint(changed(loss__lambda_identity=0.1, **channels))


@pytest.mark.parametrize("key", leaves())
def test_a_missing_key_is_named_with_the_way_back(key: str) -> None:
    raw = changed()
    *section, name = key.split(".")
    del (raw[section[0]] if section else raw)[name]
    assert complaint(raw) == (
        f"{key} is missing from some/params.yaml; `git checkout some/params.yaml` restores every key with its default"
    )


def test_several_mistakes_are_told_at_once() -> None:
    raw = changed(seed=-1, loss__lambda_A=-2.0, optimizer__lr="2e-4", model__netg="x", dataset__name="cats", tracking=None)
    del raw["export"]["opset"]
    lines = complaint(raw).splitlines()
    wanted = ["seed", "loss.lambda_A", "optimizer.lr", "model.netg", "dataset.name", "tracking", "export.opset"]
    assert sorted(line.split()[0] for line in lines) == sorted(wanted)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(key=st.sampled_from(["seed", "loss", *leaves()]), value=JUNK)
def test_no_value_gives_anything_but_a_config_or_a_user_error(key: str, value: object) -> None:
    try:
        config = parse(changed(**{key.replace(".", "__"): value}), "p")
    except UserError as error:
        assert key.split(".")[0] in str(error)  # noqa: PT017
        assert "p" in str(error)  # noqa: PT017
    else:
        *section, name = key.split(".")
        kept = getattr(getattr(config, section[0]) if section else config, name)
        assert kept == value


@pytest.mark.parametrize("raw", [None, [], "text", 5])
def test_parameters_that_are_no_sections(raw: object) -> None:
    assert "git checkout some/params.yaml" in complaint(raw)


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("seed: 0", "seed: 0\nseed: 1", "'seed' stands here twice"),
        ("loss:\n", "loss:\n  lambda_A: 1.0\n", "'lambda_A' stands here twice"),
        ("loss:\n", "loss:\n\tlambda_A: 1.0\n", "not valid YAML"),
        ("loss:\n", "loss: [\n", "not valid YAML"),
        ("loss:\n", "[1, 2]: 3\nloss:\n", "not valid YAML"),
        ("loss:\n", "{{ lambda }}: 3\nloss:\n", "not valid YAML"),
        ("seed: 0", "seed: 2026-13-45", "params.yaml"),
        ("seed: 0", "seed: 2026-11-20", "seed is datetime.date(2026, 11, 20)"),
        ("seed: 0", "seed: !!python/object/apply:os.getpid []", "not valid YAML"),
        ("seed: 0", "seed: \x07", "not valid YAML"),
        ("seed: 0", "seed: 2e-4", "2.0e-4"),
    ],
)
def test_a_broken_file_is_one_clear_error(tmp_path: Path, old: str, new: str, word: str) -> None:
    text = re.sub(re.escape(old).replace("0", r"\d+"), lambda _: new, TEXT, count=1)
    assert text != TEXT
    assert word in complaint_about_text(tmp_path, text)


def test_a_repeated_key_names_its_line(tmp_path: Path) -> None:
    lines = TEXT.splitlines()
    text = complaint_about_text(tmp_path, TEXT.rstrip() + "\nseed: 3\n")
    assert f"line {len(lines) + 1}" in text


def test_an_empty_file(tmp_path: Path) -> None:
    assert "sections" in complaint_about_text(tmp_path, "")


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    assert "UTF-8" in complaint_about_text(tmp_path, TEXT.encode() + "# façades".encode("latin-1"))


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(TEXT, encoding="utf-8-sig")
    assert load(tmp_path / "params.yaml") == load(FILE)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.yaml", tmp_path):
        with pytest.raises(UserError, match=r"cannot read .*run from the project's folder") as caught:
            load(path)
        assert str(path) in str(caught.value)


# --- the archives -----------------------------------------------------------------------------------------------------

OFFICIAL = {  # bytes and SHA-256 as published
    "apple2orange": (78456409, "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8"),
    "cezanne2photo": (279885071, "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff"),
    "facades": (35135868, "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0"),
    "horse2zebra": (116867962, "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1"),
    "iphone2dslr_flower": (339964458, "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113"),
    "maps": (1476754427, "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e"),
    "monet2photo": (305231073, "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04"),
    "summer2winter_yosemite": (132640856, "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9"),
    "ukiyoe2photo": (292946532, "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08"),
    "vangogh2photo": (306590349, "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff"),
}


def test_the_catalogue_is_as_published() -> None:
    assert {name: (archive.size, archive.sha256) for name, archive in ARCHIVES.items()} == OFFICIAL
    assert HOST == "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets"
    assert all(archive.domain_A != archive.domain_B for archive in ARCHIVES.values())


def test_the_names_to_choose_from_are_the_sources_there_are() -> None:
    names = get_args(DatasetConfig.model_fields["name"].annotation)
    assert list(names) == ["openmoji", "shapes", "earth", "folder", "table", "celeba", *ARCHIVES]
    assert [name for name in names if name not in TEXT] == []
