"""Nothing heavy is imported before it is used, so that --help answers at once. `make bench` has the seconds."""

import resource
import statistics
import subprocess
import sys

import pytest
import typer
from project import ROOT, child_environment

from cyclegan.cli import app

HEAVY = {
    "PIL",
    "dvc",
    "imagehash",
    "matplotlib",
    "mlflow",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pandas",
    "requests",
    "scipy",
    "torch",
    "torchmetrics",
    "torchvision",
}
STAGES = ("download", "preprocess", "train", "evaluate", "export")
COMMAND = "from cyclegan.cli import app; app()"
TIMES_TYPER = 6  # a --help may take so many times what `import typer` takes, which is much of it; importing torch takes 40

PATH = "import sys; sys.path[:0] = ['src', 'stages']; "
WATCHED = PATH + "import atexit; atexit.register(lambda: print('loaded:', *{m.partition('.')[0] for m in sys.modules})); "


def commands(group: typer.core.TyperGroup, *before: str) -> list[str]:
    """Every command of a group and of the groups in it, as it is typed."""
    found = []
    for name, command in group.commands.items():
        found.append(" ".join([*before, name]))
        if isinstance(command, typer.core.TyperGroup):
            found += commands(command, *before, name)
    return found


COMMANDS = commands(typer.main.get_command(app))


def python(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=child_environment(ROOT), capture_output=True, text=True, check=True)
    return done.stdout


def loaded(code: str, *arguments: str) -> set[str]:
    """The packages that a process has loaded when it ends."""
    return set(python(WATCHED + code, *arguments).rpartition("loaded:")[2].split())


def of_stage(stage: str) -> str:
    return f"import runpy; runpy.run_path('stages/{stage}.py', run_name='__main__')"


def test_what_is_loaded_is_seen() -> None:
    assert {"cyclegan", "numpy"} <= loaded("import cyclegan.randomness")


def test_importing_cyclegan_loads_nothing_heavy() -> None:
    assert not loaded("import cyclegan") & HEAVY


def test_the_commands_are_found() -> None:
    assert {"translate", "preset", "preset apply", "check"} <= set(COMMANDS)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_of_a_command_loads_nothing_heavy(command: str) -> None:
    assert not loaded(COMMAND, *command.split(), "--help") & HEAVY


@pytest.mark.parametrize("stage", STAGES)
def test_help_of_a_stage_loads_nothing_heavy(stage: str) -> None:
    assert not loaded(of_stage(stage), "--help") & HEAVY


def test_stages_without_networks_do_not_load_pytorch() -> None:
    code = "from cyclegan.pipeline import download, preprocess"
    assert not loaded(code) & {"torch", "torchvision", "torchmetrics", "mlflow", "matplotlib"}


def test_a_training_loads_nothing_of_what_few_trainings_need() -> None:
    found = loaded("from cyclegan.pipeline import train")
    assert "torch" in found
    assert not found & {"torchvision", "torchmetrics", "matplotlib"}


def test_help_takes_little_more_than_its_parser() -> None:
    """In processor time, which other work on the machine hardly changes."""
    work = {
        "typer": ("import typer",),
        "command": (PATH + COMMAND, "--help"),
        "stage": (PATH + of_stage("train"), "--help"),
    }
    times = {name: [seconds(*arguments) for _ in range(3)] for name, arguments in work.items()}
    typical = {name: statistics.median(values) for name, values in times.items()}
    assert max(typical["command"], typical["stage"]) < TIMES_TYPER * typical["typer"]


def seconds(code: str, *arguments: str) -> float:
    """Processor time of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    python(code, *arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
