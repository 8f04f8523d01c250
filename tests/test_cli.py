"""The `cyclegan` command: what it prints, what it leaves, and its exit status."""

import importlib.metadata
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cyclegan import images
from cyclegan.cli import app
from cyclegan.models.specs import DiscriminatorSpec, GeneratorSpec
from cyclegan.models.weights import load_generator, save


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model") / "G_AB"
    spec = GeneratorSpec("G_AB", "resnet_6blocks", 4, "instance", False, 3, 3, 64, "0" * 64, "ema")
    save(folder, spec.build().state_dict(), spec)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "in/deep").mkdir(parents=True)
    for name, size in (("a.png", (9, 14)), ("deep/b.png", (1, 1)), ("c.png", (5, 300))):
        images.write(tmp_path / "in" / name, rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    return tmp_path / "in"


def run(*arguments: object) -> tuple[int, str]:
    """Exit status, and everything printed as one line."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


def test_version() -> None:
    assert run("--version") == (0, importlib.metadata.version("cyclegan"))


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_help_names_the_commands(arguments: list[str]) -> None:
    status, output = run(*arguments)
    assert status in (0, 2)  # Typer exits with 2 where no command is given
    assert all(command in output for command in ("translate", "import-weights", "export-weights"))
    assert "--version" in output


def test_help_of_translate_names_its_arguments() -> None:
    status, output = run("translate", "--help")
    assert status == 0
    assert all(word in output for word in ("INPUT", "OUTPUT", "--model", "--resize", "--device"))


def test_help_of_import_weights_names_its_arguments() -> None:
    status, output = run("import-weights", "--help")
    assert status == 0
    assert all(word in output for word in ("SRC", "DST", "--as", "--epoch", "--size", "--dropout"))


def test_help_answers_at_once() -> None:
    code = "import sys, cyclegan.cli; print({'torch', 'mlflow', 'onnxruntime', 'pandas', 'numpy'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"


def test_a_folder_is_translated(model: Path, pictures: Path, tmp_path: Path) -> None:
    status, output = run("translate", "--model", model, pictures, tmp_path / "out", "--device", "cpu")
    assert status == 0
    assert "translated 3 of 3" in output
    for path in pictures.rglob("*.png"):
        assert images.read(tmp_path / "out" / path.relative_to(pictures), 3).shape == images.read(path, 3).shape


def test_resizing(model: Path, pictures: Path, tmp_path: Path) -> None:
    assert run("translate", "--model", model, pictures / "a.png", tmp_path / "x.png", "--resize", 18)[0] == 0
    assert images.read(tmp_path / "x.png", 3).shape == (18, 28, 3)
    assert run("translate", "--model", model, pictures / "a.png", tmp_path / "y.png", "--resize", 0)[0] == 2
    assert not (tmp_path / "y.png").exists()


def test_bad_pictures_are_listed_the_rest_is_done_and_the_status_tells(model: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "bad.jpg").write_text("no picture")
    (pictures / "deep" / "empty.png").write_bytes(b"")
    status, output = run("translate", "--model", model, pictures, tmp_path / "out")
    assert status == 1
    assert "translated 3 of 5" in output
    assert "error: 2 could not be translated" in output
    assert "bad.jpg: not a picture in a known format" in output
    assert "empty.png: empty file" in output
    assert len(list((tmp_path / "out").rglob("*.png"))) == 3


@pytest.mark.parametrize(
    ("options", "source", "target", "word"),
    [
        (["--model", "nothing"], "in", "out", "no model nothing"),
        (["--model", "MODEL"], "nothing", "out", "no picture or folder"),
        (["--model", "MODEL"], "in", "in", "is the input"),
        (["--model", "MODEL", "--device", "gpu"], "in", "out", "gpu"),
        (["--model", "MODEL", "--device", "xpu"], "in", "out", "xpu"),
        (["--model", "MODEL", "--device", "cuda:99"], "in", "out", "cuda:99"),
    ],
)
def test_a_users_mistake_is_one_line_without_a_traceback(
    model: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    source: str,
    target: str,
    word: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    options = [str(model) if option == "MODEL" else option for option in options]
    status, output = run("translate", *options, source, target)
    assert status == 1
    assert output.startswith("error: ")
    assert word in output
    assert not (tmp_path / "out").exists()


def test_arguments_are_required(model: Path, pictures: Path) -> None:
    assert run("translate", pictures, "out")[0] == 2
    assert run("translate", "--model", model, pictures)[0] == 2


def reference_folder(model: Path, folder: Path) -> Path:
    """The generator in both directions, and a discriminator, in the reference layout."""
    judge = DiscriminatorSpec("B", "basic", 4, 3, "instance_affine", 1, "key")
    save(folder.parent / "model" / "D_B", judge.build().state_dict(), judge)
    for name in ("G_AB", "G_BA"):
        network, spec = load_generator(model, torch.device("cpu"))
        save(folder.parent / "model" / name, network.state_dict(), replace(spec, direction=name))
    assert run("export-weights", folder.parent / "model", folder)[0] == 0
    return folder


def test_weights_are_imported_and_translate(model: Path, pictures: Path, tmp_path: Path) -> None:
    folder = reference_folder(model, tmp_path / "horse2zebra")
    status, output = run("import-weights", folder, tmp_path / "weights/horse", "--size", 64)
    assert status == 0
    described = "resnet_6blocks, ngf 4, instance, 3 -> 3 channels, 31,939 parameters (reference or walkthrough layout)"
    assert f"G_AB: {described} G_BA: {described} D_B: basic, ndf 4, instance_affine, 1 channel, " in output
    assert "note: a file does not show strides; vintagify's discriminators" in output
    for line in (
        f"cyclegan translate --model {tmp_path}/weights/horse/G_AB INPUT OUTPUT",
        f"cyclegan translate --model {tmp_path}/weights/horse/G_BA INPUT OUTPUT",
        f"evaluate.model: {tmp_path}/weights/horse in params.yaml",
        f"train.init_from: {tmp_path}/weights/horse in params.yaml, with its section model as above",
    ):
        assert line in output
    for source, target in ((model, "first"), (tmp_path / "weights/horse/G_AB", "second")):
        assert run("translate", "--model", source, pictures, tmp_path / target, "--device", "cpu")[0] == 0
    for path in pictures.rglob("*.png"):
        name = path.relative_to(pictures)
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_one_file_is_imported_and_says_what_it_can_be_used_for(model: Path, tmp_path: Path) -> None:
    folder = reference_folder(model, tmp_path / "files")
    status, output = run("import-weights", folder / "latest_net_G_B.pth", tmp_path / "x")
    assert status == 0
    assert output.startswith("G_BA: resnet_6blocks, ngf 4")
    assert f"translate --model {tmp_path}/x INPUT" in output
    assert not any(word in output for word in ("evaluate", "train.init_from", "note"))
    status, output = run("import-weights", folder / "latest_net_G_B.pth", tmp_path / "y/G_AB", "--as", "G_AB")
    assert status == 0
    assert f"train.init_from: {tmp_path}/y in params.yaml" in output


def test_exporting_says_where_and_what_the_reference_cannot_load(model: Path, tmp_path: Path) -> None:
    spec = GeneratorSpec("G_BA", "resnet_6blocks", 4, "instance_affine", False, 3, 1, 64, "key", "raw")
    save(tmp_path / "G_BA", spec.build().state_dict(), spec)
    status, output = run("export-weights", tmp_path / "G_BA", tmp_path / "x.pth")
    assert status == 0
    assert f"(reference layout): {tmp_path}/G_BA -> {tmp_path}/x.pth note: the reference code's InstanceNorm" in output
    status, output = run("export-weights", model, tmp_path / "y.pth")
    assert status == 0
    assert "note" not in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import-weights", "nothing", "x"], "there is no nothing"),
        (["import-weights", "weights.pth", "x"], "add --as G_AB"),
        (["import-weights", "weights.pth", "x", "--as", "G_AB"], "weights.pth is damaged"),
        (["import-weights", ".", "x", "--epoch", "9"], "none of 9_net_G_A.pth"),
        (["export-weights", "nothing", "x"], "nothing holds no network"),
        (["export-weights", "nothing", "weights.pth"], "weights.pth exists already"),
    ],
)
def test_a_mistake_in_weights_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pth").write_text("no weights")
    status, output = run(*arguments)
    assert status == 1
    assert output.startswith("error: ")
    assert words in output
    assert not (tmp_path / "x").exists()
