"""Whether dvc.lock of a commit is true: its commands, parameters, digests, and that stages fit together."""

from collections.abc import Iterator, Mapping
from typing import Any

from cyclegan.history import digests
from cyclegan.history.commits import Tree
from cyclegan.history.declared import DeclaredStage
from cyclegan.history.findings import Finding
from cyclegan.history.lock import LOCK, PARAMS, LockedStage, Recorded

STALE = "`dvc repro` makes it true: commit what it writes"
LONGEST = 60  # characters of a value that are shown


def check_lock(
    tree: Tree, declared: Mapping[str, DeclaredStage], locked: Mapping[str, LockedStage]
) -> tuple[list[Finding], dict[str, Recorded]]:
    """Compare a commit's dvc.lock with its dvc.yaml, params.yaml and files; nothing but git is read.

    Returns what was found, and the dependencies that git does not keep, which are left to be looked for.
    """
    elsewhere: dict[str, Recorded] = {}
    found = [*_names("", "stage", declared, locked)]
    made = {path: (name, out) for name, stage in locked.items() for path, out in stage.outs.items()}
    wrong_files: dict[tuple[str, str], list[str]] = {}
    for name in [name for name in declared if name in locked]:
        stage, lock = declared[name], locked[name]
        if lock.cmd != stage.cmd:
            found.append(_false(name, f"its command was {lock.cmd!r}, and the commit's is {stage.cmd!r}"))
        found += _names(name, "dependency", stage.deps, lock.deps)
        found += _names(name, "out", stage.outs, lock.outs)
        found += _params(name, stage.params, lock.params)
        for path, dep in lock.deps.items():
            if path in made:
                maker, out = made[path]
                if dep != out:
                    found.append(_false(name, f"{path}: it used {dep}, but {maker} made {out}"))
                continue
            there = digests.in_tree(tree, path)
            if there is None or (there != dep and not _is_code(path)):
                elsewhere[path] = dep
            elif there != dep:
                wrong_files.setdefault((path, f"recorded {dep}, the commit has {there}"), []).append(name)
        found += _outs(tree, name, stage, lock)
    for (path, said), stages in wrong_files.items():
        found.append(_false(", ".join(stages), f"{path}: {said}"))
    if not found:
        found.append(Finding("ok", str(LOCK), _summary(locked)))
    return found, elsewhere


def _is_code(path: str) -> bool:
    """Whether git keeps all of it; folders of data may hold more than git knows."""
    return path.startswith(("src/", "stages/"))


def _names(
    stage: str, kind: str, declared: Mapping[str, object] | list[str], locked: Mapping[str, object]
) -> Iterator[Finding]:
    for name in declared:
        if name not in locked:
            yield _false(stage or name, f"no {kind} {name} is recorded, which dvc.yaml names")
    for name in locked:
        if name not in declared:
            yield _false(stage or name, f"a {kind} {name} is recorded, which dvc.yaml does not name")


def _params(stage: str, declared: Mapping[str, Any], locked: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    recorded = locked.get(PARAMS.as_posix(), {})
    yield from _names(stage, "parameter", declared, recorded)
    for name in [name for name in declared if name in recorded]:
        for key, was, now in _differences(name, recorded[name], declared[name]):
            yield _false(stage, f"{key}: it was run with {_shown(was)}, and {PARAMS} has {_shown(now)}")


def _differences(name: str, recorded: Any, declared: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(recorded, dict) and isinstance(declared, dict):
        for key in dict.fromkeys([*recorded, *declared]):
            yield from _differences(f"{name}.{key}", recorded.get(key), declared.get(key))
    elif recorded != declared:
        yield name, recorded, declared


def _outs(tree: Tree, name: str, stage: DeclaredStage, lock: LockedStage) -> Iterator[Finding]:
    """Those that git keeps."""
    for path in [path for path, cached in stage.outs.items() if not cached and path in lock.outs]:
        there, out = digests.in_tree(tree, path), lock.outs[path]
        if there is None:
            yield Finding("missing", name, f"{path} is not in the commit", f"`git add {path}` where it was made")
        elif there != out:
            yield _false(name, f"{path}: it made {out}, and the commit has {there}")


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _false(stage: str, text: str) -> Finding:
    return Finding("false", stage, text, STALE)


def _summary(locked: Mapping[str, LockedStage]) -> str:
    deps = sum(len(stage.deps) for stage in locked.values())
    outs = sum(len(stage.outs) for stage in locked.values())
    params = sum(len(values) for stage in locked.values() for values in stage.params.values())
    return (
        f"{len(locked)} stages agree with dvc.yaml, {PARAMS} and the commit's files: {deps} dependencies, {params} "
        f"parameters, {outs} outs"
    )
