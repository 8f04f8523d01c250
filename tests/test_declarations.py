"""dvc.yaml says of each stage what its code really imports, reads and writes: else DVC takes stale results for current."""

import ast
import hashlib
import os
import re
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import ROOT, set_params
from pydantic import BaseModel

from cyclegan import config, lineage
from cyclegan.pipeline import paths
from cyclegan.tracking import imports

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = list(PIPELINE)
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
KINDS = ("outs", "metrics", "plots")
FREE = {"tracking", "runtime"}  # sections that cannot change a result
NAMES = {"presets"}  # tell a run's tag the preset that it follows, and no more
TEMPLATE = re.compile(r"\$\{(\w+)\.(\w+)\}")  # in dvc.yaml: the value of a key of params.yaml


def resolved(dependency: str) -> str:
    return TEMPLATE.sub(lambda match: str(PARAMS[match[1]][match[2]]), dependency)


def keys() -> set[str]:
    """Every key of params.yaml that can change a result, as section.key."""
    found = set()
    for section, value in PARAMS.items():
        if section not in FREE:
            found |= {f"{section}.{key}" for key in value} if isinstance(value, dict) else {section}
    return found


def covered(key: str, declared: Iterable[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in declared)


# --- files ------------------------------------------------------------------------------------------------------------


def imported_files(script: Path) -> set[Path]:
    """Every file of this project that `script` imports, however deep, whether at the top of a file or inside a function."""
    seen: set[Path] = set()
    waiting = [script]
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            waiting += [found for name in names for found in module_files(name)]
    return {file for file in seen if file != ROOT / "src/cyclegan/__init__.py"}


def module_files(name: str) -> list[Path]:
    if name == "bootstrap":
        return [ROOT / "stages/bootstrap.py"]
    base = ROOT / "src" / Path(*name.split("."))
    return [file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()]


def covers(dependency: str, file: Path) -> bool:
    path = ROOT / dependency
    return file == path or path in file.parents


@pytest.mark.parametrize("stage", STAGES)
def test_every_imported_file_is_a_dependency(stage: str) -> None:
    files = imported_files(ROOT / f"stages/{stage}.py")
    assert ROOT / f"src/cyclegan/pipeline/{stage}.py" in files
    missing = {file for file in files if not any(covers(dep, file) for dep in PIPELINE[stage]["deps"])}
    assert missing - {ROOT / "src/cyclegan/pipeline/__init__.py"} == set()


def test_packages_hold_no_code_that_the_walk_over_imports_would_miss() -> None:
    for file in (ROOT / "src/cyclegan").rglob("__init__.py"):
        code = [node for node in ast.parse(file.read_text()).body if not isinstance(node, ast.ImportFrom | ast.Assign)]
        assert len(code) == 1
        assert isinstance(code[0], ast.Expr)  # the docstring


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_its_own_script_and_training_by_what_train_launcher_says(stage: str) -> None:
    launcher = "${train.launcher}" if stage == "train" else "python"
    assert PIPELINE[stage]["cmd"] == f"{launcher} stages/{stage}.py"
    assert PARAMS["train"]["launcher"] == "python"  # a fresh clone needs no more


@pytest.mark.parametrize("stage", STAGES)
def test_every_code_dependency_is_imported(stage: str) -> None:
    files = imported_files(ROOT / f"stages/{stage}.py")
    code = [dep for dep in PIPELINE[stage]["deps"] if dep.startswith(("src", "stages"))]
    assert [dep for dep in code if not any(covers(dep, file) for file in files)] == []


def test_every_other_dependency_is_in_the_repository_or_made_by_an_earlier_stage() -> None:
    made: set[str] = set()
    for stage in PIPELINE.values():
        deps = [resolved(dep) for dep in stage["deps"]]
        assert len(set(deps)) == len(deps)
        assert [dep for dep in deps if dep not in made and not (ROOT / dep).exists()] == []
        for kind in ("outs", "metrics", "plots"):
            made |= {next(iter(entry)) if isinstance(entry, dict) else entry for entry in stage.get(kind, [])}


def test_a_stage_whose_dependency_a_parameter_names_depends_on_that_parameter_too() -> None:
    named = {
        stage: {".".join(match) for dep in entry["deps"] for match in TEMPLATE.findall(dep)}
        for stage, entry in PIPELINE.items()
    }
    assert named == {
        "download": {"dataset.path"},
        "preprocess": set(),
        "train": {"train.init_from"},
        "evaluate": {"evaluate.model", "evaluate.feature_weights"},
        "export": {"evaluate.model"},
    }
    for stage, names in named.items():
        assert all(covered(name, PIPELINE[stage]["params"]) for name in names)


def test_what_identifies_a_training_is_all_that_dvc_says_it_depends_on() -> None:
    """lineage.train_key takes data and first weights by name, and all other dependencies for code."""
    others = [dep for dep in PIPELINE["train"]["deps"] if not dep.startswith(("src/", "stages/"))]
    assert others == [lineage.PREPARED, lineage.FIRST_WEIGHTS]
    names = PIPELINE["train"]["params"]
    values = lineage.declared(config.load(ROOT / "params.yaml"), names)
    assert list(values) == names
    assert values["preprocess.crop_size"] == config.load(ROOT / "params.yaml").preprocess.crop_size
    assert values["loss"]["lambda_A"] == config.load(ROOT / "params.yaml").loss.lambda_A


def test_what_lies_beside_imported_code_is_a_dependency_too() -> None:
    """Templates and styles, which a package reads by its own folder."""
    for stage in STAGES:
        folders = {file.parent for file in imported_files(ROOT / f"stages/{stage}.py")} - {ROOT / "src/cyclegan"}
        beside = {file for folder in folders for file in folder.iterdir() if file.is_file() and file.suffix != ".py"}
        assert {file for file in beside if not any(covers(dep, file) for dep in PIPELINE[stage]["deps"])} == set(), stage
    assert any(file.suffix == ".css" for file in (ROOT / "src/cyclegan/report").iterdir())


def test_code_is_imported_by_statements_alone_which_is_all_that_the_walk_sees() -> None:
    """`tracking.imports` loads modules by name, of MLflow only."""
    by_name = re.compile(r"\bimport_module\(|\b__import__\(|\brunpy\b|\bexec\(")
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").glob("*.py")]
    found = {file.relative_to(ROOT).as_posix() for file in files if by_name.search(file.read_text())}
    assert found == {"src/cyclegan/tracking/imports.py"}
    assert "cyclegan" not in {name.partition(".")[0] for name in imports.MODULES}


# --- parameters -------------------------------------------------------------------------------------------------------


class Recorder:
    """Stands in for a Config and notes which keys are read."""

    def __init__(self, model: BaseModel, prefix: str, reads: set[str]) -> None:
        self._model, self._prefix, self._reads = model, prefix, reads

    def __getattr__(self, name: str) -> Any:
        kind = type(self._model)
        if isinstance(getattr(kind, name, None), property):
            return getattr(kind, name).fget(self)  # reads what it is made of
        value = getattr(self._model, name)
        if name not in kind.model_fields:
            return value
        if isinstance(value, BaseModel):
            return Recorder(value, f"{name}.", self._reads)
        self._reads.add(f"{self._prefix}{name}")
        return value


def unchanged() -> None:
    """Nothing changes while these stages run."""


MEMORY = (".checkpoints", ".features", ".tracking", ".mlflow.lock", "mlflow.db", "mlartifacts")  # keyed by what is declared
opened: set[Path] = set()  # for reading, by this process


def note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str) and arguments[1] in ("r", "rb"):
        opened.add(Path(arguments[0]))


def undeclared(stage: str, files: Iterable[Path]) -> set[str]:
    """Of files that a stage opened, those here that dvc.yaml neither says it depends on nor says it makes."""
    declaration = PIPELINE[stage]
    made = [
        next(iter(entry)) if isinstance(entry, dict) else entry for kind in KINDS for entry in declaration.get(kind, [])
    ]
    known = [*map(resolved, declaration["deps"]), *made, *(f"{path}.partial" for path in made)]
    read = {Path(os.path.relpath(file)) for file in files if file.is_file()}
    within = {path for path in read if path.parts[0] not in ("..", "params.yaml", "dvc.yaml", *NAMES, *MEMORY)}
    return {str(path) for path in within if not any(path == Path(one) or Path(one) in path.parents for one in known)}


def reads_of_download() -> set[str]:
    """What download reads of all sources together: which keys it needs is for dataset.name to say.

    Names are all that it looks at, so files without pictures will do.
    """
    from cyclegan.pipeline import download

    for name in ("own/trainA/1.png", "own/trainB/2.png", "celeba/img_align_celeba/1.jpg", "celeba/img_align_celeba/2.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("own/labels.csv").write_text("file,colour\n1.png,red\n2.png,7\n")
    Path("celeba/list_attr_celeba.txt").write_text("2\nMale\n1.jpg 1\n2.jpg -1\n")
    with zipfile.ZipFile("mirror.zip", "w") as archive:
        for name in ("trainA", "trainB", "testA", "testB"):
            archive.writestr(f"horse2zebra/{name}/1.jpg", name)
    sources: dict[str, dict[str, Any]] = {
        "folder": {"path": "own"},
        "table": {"path": "own", "table": "labels.csv", "table_column": "colour", "table_A": ["red"], "table_B": [7]},
        "celeba": {"path": "celeba", "table_column": "Male", "table_A": [1], "table_B": [-1]},
        "horse2zebra": {
            "url": Path("mirror.zip").absolute().as_uri(),
            "sha256": hashlib.sha256(Path("mirror.zip").read_bytes()).hexdigest(),
        },
        "shapes": {},  # the last: what the next stages use
    }
    raw = yaml.safe_load(Path("params.yaml").read_text())
    together: set[str] = set()
    for source, settings in sources.items():
        reads: set[str] = set()
        changed = raw | {"dataset": raw["dataset"] | settings | {"name": source}}
        recorder: Any = Recorder(config.parse(changed, "params.yaml"), "", reads)
        download.download(recorder, unchanged)
        assert list(paths.RAW.rglob("*.??g"))
        assert "dataset.path" in reads or source not in ("folder", "table", "celeba")
        together |= reads
    return together


FILES_READ = {  # some of which it is known that they must be seen here
    "preprocess": {"source.json"},
    "train": {"dataset.json"},
    "evaluate": {"dataset.json", "training.json", "page.css"},
    "export": {"training.json", "evaluate.json", "scores.csv"},
}


def test_every_parameter_and_file_read_is_declared_and_every_declared_parameter_is_read(workspace: Path) -> None:
    from cyclegan.pipeline import evaluate, export, preprocess, train

    for_keys_of_their_own: dict[str, Any] = {
        "loss.gan_mode": "wgangp",
        "schedule.lr_policy": "step",
    }  # lambda_gp, lr_decay_epochs
    for_keys_of_their_own |= {"export.register": True}  # registered_model, champion_metric
    set_params(workspace, for_keys_of_their_own | {"schedule.n_epochs": 1, "schedule.n_epochs_decay": 0})
    settings = config.load(Path("params.yaml"))
    everything: set[str] = set()
    sys.addaudithook(note_opened)
    for stage in STAGES:
        reads: set[str] = set()
        opened.clear()
        recorder: Any = Recorder(settings, "", reads)
        match stage:
            case "download":
                reads = reads_of_download()
            case "preprocess":
                preprocess.preprocess(recorder, unchanged)
            case "train":
                train.train(recorder, unchanged)
            case "evaluate":
                evaluate.evaluate(recorder, unchanged)
            case "export":
                export.export(recorder, unchanged)
        declared = PIPELINE[stage]["params"]
        relevant = {read for read in reads if read.split(".")[0] not in FREE}
        assert {read for read in relevant if not covered(read, declared)} == set(), stage
        assert [name for name in declared if not any(covered(read, [name]) for read in relevant)] == [], stage
        everything |= relevant
        if stage != "download":  # which was made to read pictures of every source
            assert {path.name for path in opened} & FILES_READ[stage] == FILES_READ[stage], stage
            assert undeclared(stage, opened) == set(), stage
    assert keys() - everything == set()  # so that no parameter is without effect


def test_no_stage_depends_on_what_cannot_change_a_result_and_some_stage_on_each_key_that_can() -> None:
    declared = {name for stage in PIPELINE.values() for name in stage["params"]}
    assert {name.split(".")[0] for name in declared} & FREE == set()
    assert {key for key in keys() if not covered(key, declared)} == set()
    assert {name for name in declared if not any(covered(key, [name]) for key in keys())} == set()


# --- paths ------------------------------------------------------------------------------------------------------------


def test_paths_are_those_of_dvc_yaml() -> None:
    named: set[Path] = set()
    for name, value in vars(paths).items():
        if name.isupper() and name not in ("CHECKPOINTS", "DOWNLOADS", "FEATURES", "TRAINING", "STATE"):
            named |= set(value.values()) if isinstance(value, dict) else {value}
    assert named == {Path(path) for path in lineage.outputs(ROOT)}


def test_gitignore_covers_every_output_that_dvc_caches() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for stage in PIPELINE.values():
        for entry in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            path, options = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
            covered = f"/{path}" in ignored or f"/{path.split('/')[0]}/" in ignored
            assert covered == options.get("cache", True)
