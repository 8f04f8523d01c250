"""`cyclegan verify`: what is true is found true, every planted lie is found, and what is missing is said."""

import contextlib
import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from history.past import Past, client_of
from project import git_commit, run, set_params
from ruamel.yaml import YAML
from typer.testing import CliRunner

from cyclegan.cli import app
from cyclegan.history import apart, digests, keys, verification
from cyclegan.history.commits import tree_of
from cyclegan.history.declared import read_declared
from cyclegan.history.lock import LOCK, Recorded, read_lock
from cyclegan.history.recorded import check_lock
from cyclegan.pipeline import paths

OTHER = "0123456789abcdef0123456789abcdef"
Lock = dict[str, Any]


def verify(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["verify", *arguments])
    return result.exit_code, result.output


def findings(output: str, kind: str) -> list[str]:
    return [line.removeprefix(kind).strip() for line in output.splitlines() if line.startswith(f"{kind:<8}")]


def entry(stages: Lock, stage: str, kind: str, path: str) -> dict[str, Any]:
    return next(each for each in stages[stage][kind] if each["path"] == path)


@contextlib.contextmanager
def moved(path: Path) -> Iterator[Path]:
    """Away for a while."""
    away = path.with_name(f"{path.name}-away")
    path.rename(away)
    try:
        yield away
    finally:
        if path.exists():
            shutil.rmtree(path)
        away.rename(path)


# --- true -------------------------------------------------------------------------------------------------------------


def test_results_are_true_and_all_of_them_is_there(past: Past) -> None:
    for name, short in (("keen-ape", past.runs[0]), ("HEAD", past.runs[1])):
        status, output = verify(name)
        assert status == 0, output
        said = findings(output, "ok")
        assert said[0].startswith("dvc.lock: 5 stages agree with dvc.yaml, params.yaml and the commit's files: 1")
        outs = "data/raw, data/prepared, reports/problems.csv, models/trained, reports/evaluation.html, "
        assert f"outs: in DVC's cache: {outs}reports/per_picture.csv, models/exported" in said
        assert any(line.startswith(f"run: {short[:8]} (shapes ") and line.endswith("FINISHED") for line in said)
        assert f"artifacts: of the run {short[:8]}: evaluation, export, history.csv, images, " in "\n".join(said)
        assert output.endswith("satisfied: the record is true, and all of it is there\n")
    assert f"note    run: it was started on {past.first[:8]} with uncommitted edits; this commit holds them" in output


def test_digests_are_those_that_dvc_makes(past: Past) -> None:
    locked = read_lock(LOCK.read_bytes(), "dvc.lock")
    for stage in locked.values():
        for path, recorded in (stage.deps | stage.outs).items():
            assert digests.on_disk(Path(path), path) == recorded
            assert digests.is_on_disk(Path(path), recorded)
    raw = locked["download"].outs["data/raw"]
    assert raw.is_folder
    assert raw.nfiles is not None
    assert not digests.is_on_disk(Path("data/raw"), Recorded(raw.path, raw.md5, (raw.size or 0) + 1, raw.nfiles))
    assert not digests.is_on_disk(Path("data/raw"), Recorded(raw.path, OTHER, raw.size, raw.nfiles))
    assert not digests.is_on_disk(Path("nothing"), raw)


def test_names_of_files_are_those_of_the_stages() -> None:
    assert paths.TRAIN_METRICS == keys.TRAIN_METRICS
    assert paths.DATASET_METRICS == keys.DATASET_METRICS
    assert paths.EVALUATE_METRICS == verification.EVALUATE_METRICS
    described = {(paths.TRAINED / paths.TRAINING).as_posix(), (paths.PREPARED / "dataset.json").as_posix()}
    assert Path(apart.DOWNLOADS) == paths.DOWNLOADS
    assert {f"{path}/{inside}" for path, (inside, _, _) in verification.SELF_DESCRIBED.items()} == described


# --- lies -------------------------------------------------------------------------------------------------------------


def edit_command(stages: Lock) -> None:
    stages["train"]["cmd"] = "torchrun --nproc-per-node 2 stages/train.py"


def edit_parameter(stages: Lock) -> None:
    stages["train"]["params"]["params.yaml"]["loss"]["lambda_A"] = 99.0


def edit_single_parameter(stages: Lock) -> None:
    stages["preprocess"]["params"]["params.yaml"]["dataset.val_fraction"] = 0.5


def drop_parameter(stages: Lock) -> None:
    del stages["train"]["params"]["params.yaml"]["seed"]


def drop_key_of_a_section(stages: Lock) -> None:
    del stages["train"]["params"]["params.yaml"]["train"]["batch_size"]


def add_parameter(stages: Lock) -> None:
    stages["train"]["params"]["params.yaml"]["export"] = {}


def edit_code_file(stages: Lock) -> None:
    entry(stages, "train", "deps", "stages/train.py")["md5"] = OTHER


def edit_code_folder(stages: Lock) -> None:
    entry(stages, "evaluate", "deps", "src/cyclegan/report")["md5"] = f"{OTHER}.dir"


def edit_size(stages: Lock) -> None:
    entry(stages, "train", "deps", "src/cyclegan/randomness.py")["size"] += 1


def edit_number_of_files(stages: Lock) -> None:
    entry(stages, "train", "deps", "src/cyclegan/training")["nfiles"] -= 1


def drop_dependency(stages: Lock) -> None:
    stages["export"]["deps"] = stages["export"]["deps"][1:]


def add_dependency(stages: Lock) -> None:
    stages["export"]["deps"].append({"path": "README.md", "md5": OTHER, "size": 1})


def edit_used_data(stages: Lock) -> None:
    entry(stages, "train", "deps", "data/prepared")["md5"] = f"{OTHER}.dir"


def edit_made_model(stages: Lock) -> None:
    entry(stages, "train", "outs", "models/trained")["md5"] = f"{OTHER}.dir"


def edit_metrics(stages: Lock) -> None:
    entry(stages, "train", "outs", "metrics/train.json")["md5"] = OTHER


def edit_plot(stages: Lock) -> None:
    entry(stages, "evaluate", "outs", "reports/gallery_A_to_B.png")["size"] = 3


def drop_out(stages: Lock) -> None:
    stages["train"]["outs"] = [each for each in stages["train"]["outs"] if each["path"] != "models/trained"]


def drop_stage(stages: Lock) -> None:
    del stages["evaluate"]


def add_stage(stages: Lock) -> None:
    stages["deploy"] = {"cmd": "true"}


LIES: dict[Callable[[Lock], None], tuple[str, str]] = {
    edit_command: ("train", "its command was 'torchrun --nproc-per-node 2 stages/train.py', and the commit's is 'python"),
    edit_parameter: ("train", "loss.lambda_A: it was run with 99.0, and params.yaml has 10.0"),
    edit_single_parameter: ("preprocess", "dataset.val_fraction: it was run with 0.5, and params.yaml has 0.0"),
    drop_parameter: ("train", "no parameter seed is recorded, which dvc.yaml names"),
    drop_key_of_a_section: ("train", "train.batch_size: it was run with null, and params.yaml has 2"),
    add_parameter: ("train", "a parameter export is recorded, which dvc.yaml does not name"),
    edit_code_file: ("train", f"stages/train.py: recorded {OTHER} ("),
    edit_code_folder: ("evaluate", f"src/cyclegan/report: recorded {OTHER}.dir ("),
    edit_size: ("train", "src/cyclegan/randomness.py: recorded "),
    edit_number_of_files: ("train", "src/cyclegan/training: recorded "),
    drop_dependency: ("export", "no dependency metrics/dataset.json is recorded, which dvc.yaml names"),
    add_dependency: ("export", "a dependency README.md is recorded, which dvc.yaml does not name"),
    edit_used_data: ("train", f"data/prepared: it used {OTHER}.dir ("),
    edit_made_model: ("evaluate", f"but train made {OTHER}.dir ("),
    edit_metrics: ("train", f"metrics/train.json: it made {OTHER} ("),
    edit_plot: ("evaluate", "reports/gallery_A_to_B.png: it made "),
    drop_out: ("train", "no out models/trained is recorded, which dvc.yaml names"),
    drop_stage: ("evaluate", "no stage evaluate is recorded, which dvc.yaml names"),
    add_stage: ("deploy", "a stage deploy is recorded, which dvc.yaml does not name"),
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_in_the_lock_is_found_by_stage_and_name(past: Past, lie: Callable[[Lock], None]) -> None:
    stage, words = LIES[lie]
    tree = tree_of(past.root, past.second)
    stages = yaml.safe_load(LOCK.read_text())["stages"]
    lie(stages)
    found, _ = check_lock(tree, read_declared(tree), read_lock(yaml.safe_dump({"stages": stages}).encode(), "dvc.lock"))
    said = [finding for finding in found if finding.subject == stage and words in finding.text]
    assert [finding.kind for finding in said] == ["false"]
    assert all(finding.kind == "false" for finding in found)


def rewrite_lock(change: Callable[[Lock], None]) -> None:
    """Edit dvc.lock as DVC writes it."""
    stages = YAML(typ="safe", pure=True).load(LOCK.read_text())
    change(stages["stages"])
    with LOCK.open("w") as file:
        YAML().dump(stages, file)


def record_anew(stages: Lock, path: str) -> None:
    """The lock says of a file what it now is."""
    for stage in stages.values():
        for each in [*stage["deps"], *stage["outs"]]:
            if each["path"] == path:
                each["md5"], each["size"] = digests.md5(Path(path).read_bytes()), Path(path).stat().st_size


def edit_json(path: str, name: str, value: Any) -> None:
    values = json.loads(Path(path).read_text())
    values[name] = value
    Path(path).write_text(json.dumps(values))
    rewrite_lock(lambda stages: record_anew(stages, path))


def lie_of_the_lock_alone(past: Past) -> None:
    rewrite_lock(edit_parameter)


def lie_of_params_and_lock(past: Past) -> None:
    set_params(past.root, {"loss.lambda_A": 99.0})
    rewrite_lock(edit_parameter)


def lie_of_an_out_that_nothing_uses(past: Past) -> None:
    rewrite_lock(lambda stages: entry(stages, "export", "outs", "models/exported").update(md5=f"{OTHER}.dir"))


def lie_of_a_key(past: Past) -> None:
    edit_json("metrics/train.json", "train_key", past.keys[0])


def lie_of_data(past: Past) -> None:
    edit_json("metrics/dataset.json", "digest", "d" * 64)


def lie_of_scores(past: Past) -> None:
    edit_json("metrics/evaluate.json", "weights", "raw")


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (lie_of_the_lock_alone, ["train: loss.lambda_A: it was run with 99.0, and params.yaml has 10.0"]),
        (lie_of_params_and_lock, ["by the commit's parameters, data, code and first weights, but metrics/train.json has"]),
        (
            lie_of_a_key,
            ["the result is another training's", "models/trained: models/trained/training.json has the train_key"],
        ),
        (lie_of_data, ["the result is another training's", "data/prepared: data/prepared/dataset.json has the digest"]),
    ],
)
def test_a_commit_with_a_false_record_is_caught(past: Past, lie: Callable[[Past], None], words: list[str]) -> None:
    lie(past)
    commit = git_commit(past.root, "a lie")
    status, output = verify(commit)
    false = findings(output, "false")
    assert all(any(each in line for line in false) for each in words), output
    assert status == 1
    assert "NOT TRUE: " in output


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (
            lie_of_an_out_that_nothing_uses,
            f"export: this machine made something else of the same: models/exported: recorded {OTHER}",
        ),
        (lie_of_scores, "evaluate: this machine made something else of the same: metrics/evaluate.json: recorded "),
    ],
)
def test_what_agrees_with_itself_is_in_doubt_where_this_machine_made_something_else(
    past: Past, lie: Callable[[Past], None], words: str
) -> None:
    lie(past)
    status, output = verify(git_commit(past.root, "a lie"))
    (line,) = findings(output, "doubt")
    assert line.startswith(words)
    assert ";" not in line, "nothing else is doubted"
    assert findings(output, "false") == []
    assert status == 3
    assert "in doubt: 1" in output
    assert (lie is lie_of_scores) == ("note    artifacts: the run has other scores than the commit" in output)


def test_what_another_machine_made_of_the_same_is_not_in_doubt_where_it_is_at_hand(past: Past) -> None:
    locked = read_lock(LOCK.read_bytes(), "dvc.lock")
    storage = verification.storage_of(past.root)
    made = {path: out.md5 for path, out in locked["evaluate"].outs.items()}
    assert storage.records(locked["evaluate"]) == [made]
    (file,) = [
        each for each in Path(".dvc/cache/runs").glob("*/*/*") if made["reports/evaluation.html"] in each.read_text()
    ]
    ours = file.read_text()
    try:
        file.write_text(ours.replace(made["metrics/evaluate.json"], OTHER))
        assert verify()[0] == 3
        file.write_text(file.read_text().replace(made["reports/evaluation.html"], OTHER))
        assert verify()[0] == 0
        file.write_text("outs: [")
        assert verify()[0] == 0
    finally:
        file.write_text(ours)


def test_edits_after_a_result_are_told_with_the_commit_that_the_result_is_of(past: Past) -> None:
    status, output = verify("stale")
    assert status == 1
    (code, key) = findings(output, "false")
    assert code.startswith("train: src/cyclegan/training: recorded ")
    assert key.startswith("train key: ")
    assert f"dvc.lock is that of {past.second[:8]} (second result); since then no result was committed" in output


# --- missing ----------------------------------------------------------------------------------------------------------


def test_outs_are_looked_for_in_the_cache_and_in_a_remote(past: Past, tmp_path: Path) -> None:
    with moved(past.root / ".dvc/cache") as cache:
        status, output = verify()
        assert status == 3, output
        (line,) = findings(output, "missing")
        assert line.startswith("outs: not in DVC's cache: data/raw, data/prepared, ")
        shutil.copytree(cache / "files", tmp_path / "remote/files")
        run(past.root, "dvc", "remote", "add", "-q", "-d", "shared", str(tmp_path / "remote"))
        status, output = verify()
        assert status == 0, output
        assert "outs: in the remote shared, not in the cache here: data/raw, data/prepared" in output
        trained = read_lock(LOCK.read_bytes(), "dvc.lock")["train"].outs["models/trained"]
        listed = json.loads((tmp_path / f"remote/files/md5/{trained.md5[:2]}/{trained.md5[2:]}").read_text())
        (tmp_path / f"remote/files/md5/{listed[0]['md5'][:2]}/{listed[0]['md5'][2:]}").unlink()
        status, output = verify()
        assert status == 3
        assert findings(output, "missing") == ["outs: not in DVC's cache: models/trained"]
        run(past.root, "dvc", "remote", "modify", "-q", "shared", "url", "s3://bucket/place")
        assert "`dvc pull` in a checkout of the commit gets them, if the remote shared has them" in verify()[1]


def test_one_lost_object_of_a_folder_is_counted(past: Past) -> None:
    trained = read_lock(LOCK.read_bytes(), "dvc.lock")["train"].outs["models/trained"]
    listed = json.loads(Path(f".dvc/cache/files/md5/{trained.md5[:2]}/{trained.md5[2:]}").read_text())
    digest = next(each["md5"] for each in listed if each["relpath"] == "D_A/discriminator.safetensors")
    with moved(Path(f".dvc/cache/files/md5/{digest[:2]}/{digest[2:]}")):
        status, output = verify()
    assert status == 3
    assert findings(output, "missing") == [f"outs: not in DVC's cache: models/trained (1 of {trained.nfiles} files)"]


def test_a_run_that_is_not_there_or_not_whole_is_missing(past: Past) -> None:
    with moved(past.root / "mlflow.db"):
        status, output = verify()
        assert status == 3
        assert findings(output, "missing")[0].startswith(f"run: there is no run of {past.keys[1][:8]} in sqlite:///")
        waiting = past.root / ".tracking/x"
        waiting.mkdir(parents=True)
        (waiting / "about.json").write_text(json.dumps({"training_id": "x", "time": 0, "train_key": past.keys[1]}))
        output = verify()[1]
        assert "its log waits here" in output
        assert "-> `cyclegan sync`" in output
        shutil.rmtree(past.root / ".tracking")
    with moved(past.root / "mlartifacts"):
        status, output = verify()
        assert status == 3
        lost = f"artifacts: of the run {past.runs[1][:8]}, history.csv and evaluation/evaluate.json cannot be found"
        assert findings(output, "missing") == [lost]
    client_of(past.root).set_terminated(past.runs[1], "KILLED")
    status, output = verify()
    client_of(past.root).set_terminated(past.runs[1], "FINISHED")
    assert status == 3
    assert any(line.endswith("is KILLED, not FINISHED") for line in findings(output, "missing"))


def test_a_store_that_is_away_is_said_beside_all_else(past: Past) -> None:
    set_params(past.root, {"tracking.uri": "http://127.0.0.1:1"})
    status, output = verify()
    assert status == 3
    assert len(findings(output, "ok")) == 3
    said = "run: whether it is there cannot be told: MLflow at http://127.0.0.1:1 cannot be used: it does not answer"
    assert findings(output, "missing")[0].startswith(said)


def test_dependencies_outside_git_are_looked_for_where_they_lie(past: Past) -> None:
    tree = tree_of(past.root, past.second)
    stages = yaml.safe_load(LOCK.read_text())["stages"]
    own = Path("pictures/own.png")
    own.write_bytes(b"a picture of one's own, which git ignores")
    now = digests.on_disk(Path("pictures"), "pictures")
    assert now is not None
    entry(stages, "download", "deps", "pictures").update(md5=now.md5, size=now.size, nfiles=now.nfiles)
    lock = yaml.safe_dump({"stages": copy.deepcopy(stages)}).encode()
    found, elsewhere = check_lock(tree, read_declared(tree), read_lock(lock, "dvc.lock"))
    assert ([finding.kind for finding in found], elsewhere) == (["ok"], {"pictures": now})
    storage = verification.storage_of(past.root)
    assert [each.kind for each in verification._check_elsewhere(past.root, storage, elsewhere)] == ["ok"]
    own.unlink()
    (finding,) = verification._check_elsewhere(past.root, storage, elsewhere)
    assert finding.kind == "missing"
    assert finding.text.startswith(f"recorded {now.md5} (")


# --- what cannot be verified ------------------------------------------------------------------------------------------


def test_a_commit_before_any_result_says_how_to_get_one(past: Past) -> None:
    status, output = verify(past.code)
    assert status == 3
    assert findings(output, "missing") == ["dvc.lock: the commit has none, so no result"]
    assert "-> `dvc repro`, and commit what it writes" in output


def test_mistakes_are_one_line(past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LOCK.write_text("<<<<<<< HEAD\nschema: '2.0'\n=======\n")
    broken = git_commit(past.root, "a conflict")
    LOCK.write_text("stages: {train: [1]}\n")
    odd = git_commit(past.root, "no lock")
    for name, words in {
        "nothing": "there is no commit, branch, tag or experiment nothing; `git log",
        "--all": "No such option",
        broken: f"dvc.lock of {broken[:8]} is not valid YAML",
        odd: f"dvc.lock of {odd[:8]} is not what DVC writes",
    }.items():
        status, output = verify(name)
        assert status in (1, 2)
        assert words in " ".join(output.split())
    monkeypatch.chdir(tmp_path)
    status, output = verify()
    assert status == 1
    assert (
        output == f"error: {tmp_path} is in no git repository, which commits are read from; run in a clone of the project\n"
    )
