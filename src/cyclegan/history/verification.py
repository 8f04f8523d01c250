"""`cyclegan verify`: is a commit's record true, is its run there, and is what it made at hand? Nothing is computed anew."""

from collections.abc import Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cyclegan import lineage
from cyclegan.history.cache import Storage, storage_of
from cyclegan.history.commits import SHORT, Tree, last_change, tree_of
from cyclegan.history.declared import DeclaredStage, read_declared
from cyclegan.history.findings import Finding
from cyclegan.history.kept_elsewhere import where
from cyclegan.history.keys import DATASET_METRICS, TRAIN_METRICS, Key, key_of
from cyclegan.history.lock import LOCK, LockedStage, Recorded, read_json, read_lock
from cyclegan.history.recorded import check_lock
from cyclegan.history.run_check import check_run

EVALUATE_METRICS = Path("metrics/evaluate.json")
TRAINED = "models/trained"  # imported weights, which may be evaluated instead, have runs of their own
PULL = "`dvc pull` in a checkout of the commit gets them"
ELSEWHERE = "`dvc push` where they were made, to a remote, and `dvc pull` here; or `dvc repro` in a checkout of the commit"
SELF_DESCRIBED = {  # a file in an out that DVC keeps, its key, and the committed file that says the same
    TRAINED: ("training.json", "train_key", TRAIN_METRICS),
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
    evaluation = tree.read(EVALUATE_METRICS) if "evaluate" in declared and TRAINED in declared["evaluate"].deps else None
    findings += check_run(root, commit, key, evaluation)
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
    elif key.result_is_anothers:
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
        place = where(root, lambda: storage, dep)
        if place is not None:
            yield Finding("ok", path, f"as recorded, in {'the workspace' if place == 'workspace' else place}")
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
        there, said = read_json(file.read_bytes()).get(name), read_json(tree.read(committed)).get(name)
        if there != said:
            text = f"{path}/{inside} has the {name} {there}, and {committed} of the commit {said}"
            yield Finding("false", path, text, "restore the commit that made them")
