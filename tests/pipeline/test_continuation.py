"""A finished training goes on for more epochs when asked for, to the bytes of one that was as long from the beginning."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from faults.processes import KILLED, Started, injection
from project import enter, git_commit, run, set_params
from repositories import commit_at, repository, tags_of

from cyclegan import config as configuration
from cyclegan.config import Config
from cyclegan.errors import UserError
from cyclegan.pipeline import paths
from cyclegan.pipeline.continuation import continue_finished
from cyclegan.training.checkpoint import read_state, state_tensors
from cyclegan.training.state import Canvas, TrainState, initial

TWO = {"train.precision": "float32", "schedule.lr_policy": "constant", "schedule.n_epochs": 1, "schedule.n_epochs_decay": 1}
FOUR = {"schedule.n_epochs": 3}
STEPS_PER_EPOCH = 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Path:
    """A repository that holds a training of two epochs, committed."""
    project = repository(tmp_path_factory.mktemp("continued") / "project", mlflow_database, TWO)
    run(project, "dvc", "repro", "train")
    git_commit(project, "two epochs")
    shutil.copytree(project / paths.TRAINED, project / "weights/two")
    return project


@pytest.fixture(scope="module")
def straight(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, trained for four epochs instead."""
    project = copy(finished, tmp_path_factory.mktemp("straight"))
    set_params(project, FOUR)
    said = run(project, "dvc", "repro", "train").stdout
    assert "continuing" not in said  # a finished training is not gone on with by accident
    return project


def copy(project: Path, folder: Path) -> Path:
    return shutil.copytree(project, folder / "project", symlinks=True)


def weights(project: Path) -> dict[str, bytes]:
    """All weights, the best and the state too, the history and the validations."""
    found = {str(file.relative_to(project)): file.read_bytes() for file in (project / paths.TRAINED).rglob("*.safetensors")}
    assert len(found) == 9
    return found | {name: (project / name).read_bytes() for name in (str(paths.HISTORY), str(paths.VALIDATION))}


def about(project: Path) -> dict[str, Any]:
    contents: dict[str, Any] = json.loads((project / paths.TRAINED / paths.TRAINING).read_text())
    return contents


def metrics(project: Path) -> dict[str, Any]:
    """Those of training, apart from the key."""
    contents: dict[str, Any] = json.loads((project / paths.TRAIN_METRICS).read_text())
    del contents["train_key"]
    return contents


def runs(project: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(project / "mlflow.db") as database:
        return list(database.execute("select run_uuid, status from runs order by start_time"))


def stages_run(project: Path, *options: str) -> list[str]:
    lines = run(project, "dvc", "repro", *options, "train").stdout.splitlines()
    return [line.split("'")[1] for line in lines if line.startswith("Running stage")]


def test_from_a_commit_it_ends_in_the_bytes_of_a_longer_training(finished: Path, straight: Path, tmp_path: Path) -> None:
    project, commit = copy(finished, tmp_path), commit_at(finished)
    (first,) = runs(project)
    set_params(project, FOUR | {"train.continue_from": commit[:12]})
    assert stages_run(project) == ["train"]
    assert weights(project) == weights(straight)
    assert metrics(project) == metrics(straight)

    origin = {"from": commit[:12], "train_key": about(finished)["train_key"], "step": "6", "commit": commit}
    assert about(project)["continued_from"] == origin
    assert "continued_from" not in about(straight)
    assert len({about(one)["train_key"] for one in (finished, straight, project)}) == 3
    before, now = runs(project)
    assert (before, now[1]) == (first, "FINISHED")
    recorded = tags_of(project, now[0])
    assert {f"continued_from.{name}": value for name, value in origin.items()}.items() <= recorded.items()
    assert not any(name.startswith("continued_from") for name in tags_of(project, first[0]))
    with sqlite3.connect(project / "mlflow.db") as database:
        query = "select step from metrics where run_uuid = ? and key = 'loss/cycle_A' order by step"
        assert [step for (step,) in database.execute(query, (now[0],))] == [2, 4, 6, 8, 10, 12]

    assert stages_run(project) == []
    set_params(project, {"train.continue_from": commit[:13]})  # another value of the parameter is another training
    assert stages_run(project, "--dry") == ["train"]
    git_commit(project, "four epochs")
    run(project, "git", "checkout", "-q", commit)
    run(project, "dvc", "checkout", "-q", "train")
    assert stages_run(project) == []
    assert weights(project) == weights(finished)


def test_from_a_folder_and_killed_meanwhile_it_ends_in_the_same_bytes(
    finished: Path, straight: Path, tmp_path: Path
) -> None:
    project = copy(finished, tmp_path)
    set_params(project, FOUR | {"train.continue_from": "weights/two", "train.init_from": "weights/two"})
    kill = {"PYTHONPATH": str(injection(project)), "FAULT": "train kill rename after 1"}
    said = Started(project, "dvc", "repro", "train", **kill).ended()
    assert "continuing the finished training" in said
    assert any(words in said for words in KILLED)
    again = run(project, "dvc", "repro", "train").stdout
    assert "continuing after step 6" in again
    assert "finished training" not in again
    assert weights(project) == weights(straight)
    origin = {"from": "weights/two", "train_key": about(finished)["train_key"], "step": "6"}
    assert about(project)["continued_from"] == origin
    assert tags_of(project, runs(project)[-1][0])["continued_from.train_key"] == origin["train_key"]


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished training's repository, as the current folder of this process."""
    project = copy(finished, tmp_path)
    enter(project, monkeypatch)
    return project


def changed(overrides: dict[str, Any]) -> Config:
    params = yaml.safe_load(Path("params.yaml").read_text())
    for name, value in (FOUR | overrides).items():
        section, _, key = name.partition(".")
        params[section][key] = value
    return configuration.parse(params, "params.yaml")


def fresh(config: Config) -> TrainState:
    canvas = Canvas(config.preprocess.crop_size, config.preprocess.crop_size)
    return initial(config, canvas, canvas, torch.device("cpu"))


def continued(wanted: str, steps_per_epoch: int = STEPS_PER_EPOCH, total: int = 12, **overrides: Any) -> TrainState:
    folder = {"train.init_from": wanted} if "/" in wanted else {}
    config = changed({"train.continue_from": wanted} | folder | overrides)
    state = fresh(config)
    said = continue_finished(state, config, Path.cwd(), steps_per_epoch, total)
    assert said.endswith(f"after step 6 (train.continue_from {wanted})")
    return state


def assert_is_the_finished_one(state: TrainState, finished: Path) -> None:
    _, there = read_state(finished / paths.TRAINED / paths.STATE)
    here = state_tensors(state)
    assert here.keys() == there.keys()
    assert all(torch.equal(here[name], tensor) for name, tensor in there.items())
    assert state.step == 6


def test_from_an_mlflow_run_it_finds_the_models_folder_or_the_commit_that_holds_it(here: Path, finished: Path) -> None:
    ((run_id, _),) = runs(here)
    state = continued(run_id)
    assert_is_the_finished_one(state, finished)
    assert state.continued == {"from": run_id, "train_key": about(finished)["train_key"], "step": "6"}  # the folder is here

    set_params(here, {"train.ema_decay": 0.9})  # as it is when DVC has removed the folder, and after other results
    (here / "dvc.lock").write_text((here / "dvc.lock").read_text() + "\n")
    git_commit(here, "something later")
    set_params(here, {"train.ema_decay": 0.99})
    shutil.rmtree(here / paths.TRAINED)
    state = continued(run_id)
    assert_is_the_finished_one(state, finished)
    assert state.continued == {"from": run_id, "train_key": about(finished)["train_key"], "step": "6"}, "as before"

    with sqlite3.connect(here / "mlflow.db") as database:
        database.execute("update tags set value = 'f00' where key = 'train_key'")
    with pytest.raises(UserError, match=rf"is the MLflow run {run_id}, but no commit here holds the model it made \(f00\)"):
        continued(run_id)
    with sqlite3.connect(here / "mlflow.db") as database:
        database.execute("delete from tags where key = 'train_key'")  # a run that is no training of ours
    with pytest.raises(UserError, match=rf"is {run_id}, which is neither a commit of this repository nor a training's run"):
        continued(run_id)


def test_a_commit_without_a_model_or_with_one_that_kept_no_state_is_an_error(here: Path) -> None:
    code = run(here, "git", "rev-list", "--max-parents=0", "HEAD").stdout.strip()
    with pytest.raises(
        UserError, match=rf"is the commit {code}, but its models/trained is not there; get it with `dvc fetch"
    ):
        continued(code)
    (here / paths.TRAINED / paths.STATE).unlink()
    run(here, "dvc", "commit", "-q", "-f", "train")
    commit = git_commit(here, "without state")
    with pytest.raises(UserError, match=rf"is {commit[:9]}, but that model has no state\.safetensors: it was imported, or"):
        continued(commit[:9])


def damaged(folder: Path) -> None:
    data = bytearray((folder / paths.STATE).read_bytes())
    data[-1] ^= 1
    (folder / paths.STATE).write_bytes(data)


ERRORS: dict[str, tuple[Callable[[Path], object], dict[str, Any], str]] = {
    "no state": (lambda folder: (folder / paths.STATE).unlink(), {}, r"has no state\.safetensors: it was imported, or"),
    "damaged": (damaged, {}, r"state\.safetensors is damaged: its contents do not have the digest"),
    "of another length": (
        lambda _: None,
        {"steps_per_epoch": 4},
        "epochs had 3 steps, .* of the present params .* have 4;",
    ),
    "of no more epochs": (lambda _: None, {"total": 6}, r"for 2 epochs, and schedule\.n_epochs \+ .* is 2; raise one"),
    "another pool": (lambda _: None, {"train.pool_size": 4}, r"first difference: pool/A/.*; use its section model"),
    "another average": (lambda _: None, {"train.ema_decay": 0.0}, r"first difference: average/G_AB/"),
    "other losses": (lambda _: None, {"loss.lambda_identity": 0.0}, "first difference: history/sums"),
}


@pytest.mark.parametrize("error", ERRORS)
def test_a_model_that_does_not_fit_is_an_error_that_says_why(here: Path, error: str) -> None:
    spoil, overrides, message = ERRORS[error]
    spoil(here / "weights/two")
    with pytest.raises(UserError, match=rf"^train\.continue_from is weights/two.*{message}"):
        continued("weights/two", **overrides)


def test_a_commit_of_another_network_is_an_error_that_names_a_difference(here: Path) -> None:
    with pytest.raises(UserError, match=r"\(the first difference: G_AB/.*\); use its section model"):
        continued(commit_at(here), **{"model.ngf": 5})


def test_what_names_nothing_is_an_error(here: Path) -> None:
    with pytest.raises(UserError, match="is 0123456, which is neither a commit of this repository nor a training's run in"):
        continued("0123456")


@pytest.mark.parametrize("name", ["main", "HEAD~1", "123abc", "0123456ABC", "/weights/two"])
def test_names_that_move_and_what_is_no_name_are_refused(here: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"^train\.continue_from is '{name}' in params\.yaml; it must "):
        changed({"train.continue_from": name})


@pytest.mark.parametrize(
    ("continue_from", "init_from", "remedy"),
    [
        ("weights/two", "weights/random", "set train.init_from to the same folder"),
        ("0123456", "weights/two", "set train.init_from to weights/random"),
    ],
)
def test_what_dvc_does_not_watch_is_refused(here: Path, continue_from: str, init_from: str, remedy: str) -> None:
    with pytest.raises(
        UserError, match=rf"train\.continue_from is .*{continue_from}, while train\.init_from is .*{remedy}"
    ):
        changed({"train.continue_from": continue_from, "train.init_from": init_from})
