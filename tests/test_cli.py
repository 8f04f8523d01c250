"""The `cyclegan` command: what it prints, what it leaves, and its exit status."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cyclegan import images
from cyclegan.cli import app
from cyclegan.models.generators import ResnetGenerator
from cyclegan.models.weights import GeneratorSpec, save_generator


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model") / "G_AB"
    spec = GeneratorSpec("G_AB", "resnet_6blocks", 4, 3, 3, 4, 64, "0" * 64, "ema")
    save_generator(folder, ResnetGenerator(3, 3, 4, 6), spec)
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
    assert "translate" in output
    assert "--version" in output


def test_help_of_translate_names_its_arguments() -> None:
    status, output = run("translate", "--help")
    assert status == 0
    assert all(word in output for word in ("INPUT", "OUTPUT", "--model", "--resize", "--device"))


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
