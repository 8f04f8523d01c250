"""dvc.yaml of a commit as data, with the values of its params.yaml filled in: what each stage should have been run with."""

from dataclasses import dataclass
from posixpath import normpath
from typing import Any

from cyclegan import lineage
from cyclegan.errors import UserError
from cyclegan.history.commits import Tree
from cyclegan.history.lock import PARAMS, PIPELINE, read_yaml


@dataclass(frozen=True)
class DeclaredStage:
    """A stage as declared.

    Attributes:
        params: the values that the parameters it names have in params.yaml, by dotted name.
        outs: every out, metric and plot, and whether DVC keeps it; else git does.
    """

    cmd: str
    deps: list[str]
    params: dict[str, Any]
    outs: dict[str, bool]


def read_declared(tree: Tree) -> dict[str, DeclaredStage]:
    """The stages of a commit's dvc.yaml, by name.

    Raises:
        UserError: it has none, or they are not what this project writes.
    """
    pipeline, params = (read_yaml(tree.read(path) or b"", path.as_posix()) for path in (PIPELINE, PARAMS))
    try:
        return {name: _stage(entry, params) for name, entry in pipeline["stages"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise UserError(f"{PIPELINE} or {PARAMS} of that commit is not what this project has ({problem})") from None


def _stage(entry: dict[str, Any], params: dict[str, Any]) -> DeclaredStage:
    outs: dict[str, bool] = {}
    for kind in ("outs", "metrics", "plots"):
        for each in entry.get(kind, []):
            path, options = next(iter(each.items())) if isinstance(each, dict) else (each, {})
            outs[path] = bool(options.get("cache", True))
    return DeclaredStage(
        _filled(entry["cmd"], params),
        [normpath(_filled(dep, params)) for dep in entry.get("deps", [])],
        {name: _value(params, name) for name in entry.get("params", [])},
        outs,
    )


def _filled(text: str, params: dict[str, Any]) -> str:
    return lineage.TEMPLATE.sub(lambda match: str(_value(params, match[1])), text)


def _value(params: dict[str, Any], name: str) -> Any:
    value: Any = params
    for part in name.split("."):
        value = value[part]
    return value
