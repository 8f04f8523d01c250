"""`cyclegan verify`: is a commit's record true, is its run there, and is what it made at hand? Nothing is computed anew."""

import json
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cyclegan import lineage, tracking
from cyclegan.errors import UserError
from cyclegan.history import digests
from cyclegan.history.cache import Storage, storage_of
from cyclegan.history.commits import SHORT, Tree, last_change, tree_of
from cyclegan.history.declared import DeclaredStage, read_declared
from cyclegan.history.findings import Finding
from cyclegan.history.keys import DATASET_METRICS, TRAIN_METRICS, Key, key_of
from cyclegan.history.lock import LOCK, LockedStage, Recorded, read_lock
from cyclegan.history.recorded import check_lock
from cyclegan.history.runs import HistoricRun, holds_edits_of, runs_of_key, the_run, workspace_store
from cyclegan.tracking.outbox import left_behind

EVALUATE_METRICS = "metrics/evaluate.json"
EVALUATED = "evaluation/evaluate.json"  # among the artifacts of a run that was evaluated
CURVES = "history.csv"  # among those of a training
PULL = "`dvc pull` in a checkout of the commit gets them"
ELSEWHERE = "`dvc push` where they were made, to a remote, and `dvc pull` here; or `dvc repro` in a checkout of the commit"
SELF_DESCRIBED = {  # a file in an out that DVC keeps, its key, and the committed file that says the same
    "models/trained": ("training.json", "train_key", TRAIN_METRICS),
    "data/prepared": ("dataset.json", "digest", DATASET_METRICS),
}


def verify(root: Path, commit: str) -> list[Finding]:
    """All that can be said of a commit, by its full hash, without running a stage.

    Raises:
        UserError: the commit holds no dvc.yaml, or a dvc.lock that cannot be read; this is no project of DVC.
    """
    tree = tree_of(root, commit)
    content = tree.read(LOCK)
    if content is None:
        return [
            Finding("missing", str(LOCK), "the commit has none, so no result", "`dvc repro`, and commit what it writes")
        ]
    with ThreadPoolExecutor() as pool:
        waiting_key, waiting_storage = pool.submit(key_of, root, commit), pool.submit(storage_of, root)
        declared, locked = read_declared(tree), read_lock(content, f"{LOCK} of {commit[:SHORT]}")
        findings, elsewhere = check_lock(tree, declared, locked)
        key, storage = waiting_key.result(), waiting_storage.result()
    if any(finding.kind == "false" for finding in findings):
        findings += _whose(root, commit)
    findings += _check_key(key)
    findings += _check_elsewhere(root, storage, elsewhere)
    findings += _check_outs(storage, declared, locked)
    findings += _check_contents(tree, storage, locked)
    findings += _check_run(root, tree, key)
    return findings


def _whose(root: Path, commit: str) -> Iterator[Finding]:
    made = last_change(root, commit, LOCK)
    if made and made != commit:
        text = f"{LOCK} is that of {made[:SHORT]} ({lineage.subject_line(root, made)}); since then no result was committed"
        yield Finding("note", str(LOCK), text, f"`cyclegan verify {made[:SHORT]}`")


def _check_key(key: Key) -> Iterator[Finding]:
    if not key.recorded:
        remedy = "`dvc repro`, and commit what it writes"
        yield Finding("missing", "train key", f"no {TRAIN_METRICS} with a train key is in the commit", remedy)
    elif key.problem:
        yield Finding("missing", "train key", f"it cannot be computed again: {key.problem}")
    elif key.computed != key.recorded:
        yield Finding(
            "false",
            "train key",
            f"{key.computed[:SHORT]} by the commit's parameters, data, code and first weights, but {TRAIN_METRICS} has "
            f"{key.recorded[:SHORT]}: the result is another training's",
            "`dvc repro` trains this one",
        )
    else:
        yield Finding("ok", "train key", f"{key.computed[:SHORT]}, computed again from the commit's files by its own code")


def _check_elsewhere(root: Path, storage: Storage, elsewhere: Mapping[str, Recorded]) -> Iterator[Finding]:
    """Dependencies that git does not keep, or not all of: your own pictures, weights to start from."""
    for path, dep in elsewhere.items():
        if digests.is_on_disk(root / path, dep):
            yield Finding("ok", path, "as recorded, in the workspace")
        elif not storage.lacking(dep):
            yield Finding("ok", path, "as recorded, in DVC's cache")
        else:
            text = f"recorded {dep}, and neither git, the workspace nor DVC's cache has it so"
            yield Finding("missing", path, text, "put back what it was, or `dvc repro` with what is there")


def _check_outs(
    storage: Storage, declared: Mapping[str, DeclaredStage], locked: Mapping[str, LockedStage]
) -> Iterator[Finding]:
    """Those that DVC keeps."""
    here: list[str] = []
    lost: list[str] = []
    remote: dict[str, list[str]] = {}
    for name, stage in locked.items():
        for path, out in stage.outs.items():
            if name not in declared or not declared[name].outs.get(path, False):
                continue
            lacking = storage.lacking(out)
            there = storage.remote_with(lacking) if lacking else None
            if not lacking:
                here.append(path)
            elif there is not None:
                remote.setdefault(there, []).append(path)
            else:
                lost.append(path if lacking == [out] else f"{path} ({len(lacking)} of {out.nfiles} files)")
    at_hand = {*here, *(path for paths in remote.values() for path in paths)}
    for name, stage in locked.items():
        yield from _check_record(storage, name, stage, at_hand)
    if here:
        yield Finding("ok", "outs", f"in DVC's cache: {', '.join(here)}")
    for there, paths in remote.items():
        yield Finding("ok", "outs", f"in the remote {there}, not in the cache here: {', '.join(paths)}", PULL)
    if lost:
        remedy = f"{PULL}, if the remote {storage.away[0]} has them" if storage.away else ELSEWHERE
        yield Finding("missing", "outs", f"not in DVC's cache: {', '.join(lost)}", remedy)


def _check_record(storage: Storage, name: str, stage: LockedStage, at_hand: Set[str]) -> Iterator[Finding]:
    """What came out of the same command with the same inputs, where that was run on this machine.

    Another machine may make other bytes of the same. Those that it made are to be had where it pushed them; where they
    are, the record is taken for what that machine made.
    """
    records = storage.records(stage)
    if not records or any(all(record.get(path) == out.md5 for path, out in stage.outs.items()) for record in records):
        return
    known = {path: sorted({record[path] for record in records if path in record}) for path in stage.outs}
    other = [path for path, out in stage.outs.items() if out.md5 not in known[path]]
    if other and not at_hand & set(other):
        said = "; ".join(f"{path}: recorded {stage.outs[path].md5}, made here {', '.join(known[path])}" for path in other)
        text = f"this machine made something else of the same: {said}"
        yield Finding("doubt", name, text, "another machine made it, or the record is false: `cyclegan reproduce` tells")


def _check_contents(tree: Tree, storage: Storage, locked: Mapping[str, LockedStage]) -> Iterator[Finding]:
    """What the outs in the cache say of themselves must be what the commit says of them."""
    outs = {path: out for stage in locked.values() for path, out in stage.outs.items()}
    for path, (inside, name, committed) in SELF_DESCRIBED.items():
        file = storage.cache.find(outs[path], inside) if path in outs else None
        if file is None:
            continue
        there, said = _json(file.read_bytes()).get(name), _json(tree.read(committed)).get(name)
        if there != said:
            text = f"{path}/{inside} has the {name} {there}, and {committed} of the commit {said}"
            yield Finding("false", path, text, "restore the commit that made them")


def _check_run(root: Path, tree: Tree, key: Key) -> Iterator[Finding]:
    if not key.best:
        return
    try:
        store = workspace_store(root)
        runs = runs_of_key(store, key.recorded or key.computed)
        run = the_run(runs)
        if run is None:
            yield _no_run(root, store, key, runs)
            return
        files = {*tracking.list_files(store, run.id), *tracking.list_files(store, run.id, "evaluation")}
    except UserError as error:  # the store is away, or params.yaml of the workspace is wrong
        yield Finding("missing", "run", f"whether it is there cannot be told: {error}", "verify again when that is mended")
        return
    yield from _describe_run(tree, key, run)
    expected = [CURVES] if run.kind == "training" else []
    expected += [EVALUATED] if tree.read(Path(EVALUATE_METRICS)) is not None else []
    lost = [name for name in expected if name not in files]
    if lost:
        text = f"of the run {run.id[:SHORT]}, {' and '.join(lost)} cannot be found"
        yield Finding("missing", "artifacts", text, "`cyclegan sync`; look for mlartifacts/ if the project was moved")
    else:
        yield Finding("ok", "artifacts", f"{', '.join(expected)} and {len(files) - len(expected)} more")


def _describe_run(tree: Tree, key: Key, run: HistoricRun) -> Iterator[Finding]:
    name = f"{run.id[:SHORT]} ({run.entry.name})"
    if run.entry.state != "FINISHED":
        remedy = "`cyclegan sync` sends what waits; `dvc repro` trains on"
        yield Finding("missing", "run", f"{name} is {run.entry.state}, not FINISHED", remedy)
    elif run.kind == "evaluation":
        yield Finding("ok", "run", f"{name} holds the evaluation; the training was logged elsewhere")
    else:
        yield Finding("ok", "run", f"{name}, FINISHED")
    if holds_edits_of(tree.commit, key, run):
        text = f"it was started on {run.commit[:SHORT]} with uncommitted edits; this commit holds them"
        yield Finding("note", "run", text)


def _no_run(root: Path, store: tracking.Store, key: Key, runs: list[HistoricRun]) -> Finding:
    text = f"there is no run of {(key.recorded or key.computed)[:SHORT]} in {store}"
    if any(about.get("train_key") == key.recorded for _, about in left_behind(root)):
        return Finding("missing", "run", f"{text}; its log waits here", "`cyclegan sync`")
    if runs:
        text += f", only {len(runs)} that made its result again"
    remedy = "set tracking.uri to the store that has it; or `dvc repro -sf evaluate` in a checkout logs its evaluation"
    return Finding("missing", "run", text, remedy)


def _json(data: bytes | None) -> dict[str, Any]:
    try:
        values = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
