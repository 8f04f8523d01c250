"""dvc.yaml says of each stage what its code really imports, reads and writes: else DVC takes stale results for current."""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import ROOT
from pydantic import BaseModel

from cyclegan import lineage
from cyclegan.pipeline import paths

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = list(PIPELINE)
FREE = {"tracking", "runtime"}  # sections that cannot change a result


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
def test_every_code_dependency_is_imported(stage: str) -> None:
    files = imported_files(ROOT / f"stages/{stage}.py")
    code = [dep for dep in PIPELINE[stage]["deps"] if dep.startswith(("src", "stages"))]
    assert [dep for dep in code if not any(covers(dep, file) for file in files)] == []


class Recorder:
    """Stands in for a Config and notes which keys are read."""

    def __init__(self, model: BaseModel, prefix: str, reads: set[str]) -> None:
        self._model, self._prefix, self._reads = model, prefix, reads

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._model, name)
        if name not in type(self._model).model_fields:
            return value
        if isinstance(value, BaseModel):
            return Recorder(value, f"{name}.", self._reads)
        self._reads.add(f"{self._prefix}{name}")
        return value


def test_every_parameter_read_is_declared_and_every_declared_section_is_read(workspace: Path) -> None:
    from cyclegan import config
    from cyclegan.pipeline import download, evaluate, export, preprocess, train

    settings = config.load(Path("params.yaml"))
    for stage in STAGES:
        reads: set[str] = set()
        recorder: Any = Recorder(settings, "", reads)
        match stage:
            case "download":
                download.download(recorder)
            case "preprocess":
                preprocess.preprocess(recorder)
            case "train":
                train.train(recorder, Path("params.yaml"))
            case "evaluate":
                evaluate.evaluate(recorder)
            case "export":
                export.export(recorder)
        declared = PIPELINE[stage]["params"]
        relevant = {read for read in reads if read.split(".")[0] not in FREE}
        assert {
            read for read in relevant if not any(read == dep or read.startswith(f"{dep}.") for dep in declared)
        } == set()
        assert [dep for dep in declared if not any(read == dep or read.startswith(f"{dep}.") for read in relevant)] == []


def test_no_stage_depends_on_what_cannot_change_a_result() -> None:
    declared = {name.split(".")[0] for stage in PIPELINE.values() for name in stage["params"]}
    assert declared & FREE == set()
    assert declared | FREE == set(yaml.safe_load((ROOT / "params.yaml").read_text()))


def test_paths_are_those_of_dvc_yaml() -> None:
    named: set[Path] = set()
    for name, value in vars(paths).items():
        if name.isupper() and name not in ("CHECKPOINTS", "DOWNLOADS", "TRAINING"):
            named |= set(value.values()) if isinstance(value, dict) else {value}
    assert named == {Path(path) for path in lineage.outputs(ROOT)}


def test_gitignore_covers_every_output_that_dvc_caches() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for stage in PIPELINE.values():
        for entry in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            path, options = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
            covered = f"/{path}" in ignored or f"/{path.split('/')[0]}/" in ignored
            assert covered == options.get("cache", True)
