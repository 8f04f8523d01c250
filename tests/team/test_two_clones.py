"""A team's set-up: one trains and pushes, another clones and pulls; the server and the remote are configuration alone."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import services
import yaml
from project import git_commit, run, set_params
from repositories import changed, commit_at, repository
from services import MlflowServer

from cyclegan import lineage, tracking
from cyclegan.config import load
from cyclegan.pipeline import paths

SMALL = {
    "schedule.n_epochs": 1,
    "schedule.n_epochs_decay": 1,
    "train.keep_state": False,
    "evaluate.protocols": [],
    "export.champion_metric": "pair_l1",
}


@dataclass(frozen=True)
class Team:
    """Two clones of one repository, a server and a remote.

    Attributes:
        first: where the training ran, pushed to git and to the remote.
        second: a clone that has pulled both.
        pulled: what `dvc pull` said there.
        server: the MLflow server that both name.
        run: what it holds of the training, before the second person has done anything.
        configured: the files in which the set-up lies.
    """

    first: Path
    second: Path
    pulled: str
    server: MlflowServer
    run: dict[str, Any]
    configured: list[str]


def runs_on(server: MlflowServer) -> list[dict[str, Any]]:
    """Every run of the server, as a client that knows nothing but its address finds it."""
    from mlflow import MlflowClient

    client = MlflowClient(server.uri)
    (experiment,) = (found for found in client.search_experiments() if found.name == "cyclegan")
    return [
        {
            "id": found.info.run_id,
            "status": found.info.status,
            "start": found.info.start_time,
            "end": found.info.end_time,
            "key": found.data.tags[tracking.KEY_TAG],
            "place": found.info.artifact_uri,
            "scored": len(client.get_metric_history(found.info.run_id, "test/A_to_B/model/pair_l1")),
            "files": sorted(_files(client, found.info.run_id)),
            "models": len(client.search_logged_models([experiment.experiment_id])),
        }
        for found in client.search_runs([experiment.experiment_id])
    ]


def _files(client: Any, run_id: str, folder: str = "") -> Iterator[str]:
    for entry in client.list_artifacts(run_id, folder):
        if entry.is_dir:
            yield from _files(client, run_id, entry.path)
        else:
            yield entry.path


def a_folder_and_sqlite(place: Path, empty: Path, _: ExitStack) -> tuple[MlflowServer, Callable[[Path], None]]:
    (place / "remote").mkdir()

    def configure(project: Path) -> None:
        run(project, "dvc", "remote", "add", "--default", "shared", str(place / "remote"))

    return MlflowServer(place / "server", empty), configure


def s3_and_postgres(place: Path, _: Path, stack: ExitStack) -> tuple[MlflowServer, Callable[[Path], None]]:
    """All of it in two services, artifacts too: the MLflow server itself keeps nothing."""
    services.needs("moto", "dev")
    services.needs("dvc_s3", "s3")
    database = stack.enter_context(services.postgres())
    storage = services.Storage(place / "storage")
    stack.enter_context(services.running(storage))
    keys = {"AWS_ACCESS_KEY_ID": "name", "AWS_SECRET_ACCESS_KEY": "word"}
    server = MlflowServer(place / "server", database.uri, artifacts="s3://team/mlflow")
    server.environment |= keys | {"MLFLOW_S3_ENDPOINT_URL": storage.uri}

    def configure(project: Path) -> None:
        run(project, "dvc", "remote", "add", "--default", "shared", "s3://team/dvc")
        run(project, "dvc", "remote", "modify", "shared", "endpointurl", storage.uri)
        own_secrets(project)

    return server, configure


def own_secrets(project: Path) -> None:
    """What everybody does in a clone of their own: keys that git never sees."""
    if "s3://" in (project / ".dvc/config").read_text():
        run(project, "dvc", "remote", "modify", "--local", "shared", "access_key_id", "name")
        run(project, "dvc", "remote", "modify", "--local", "shared", "secret_access_key", "word")


def drop_export(project: Path) -> None:
    """Take half of the time from the quick form: what export makes goes the way of what training makes."""
    pipeline = yaml.safe_load((project / "dvc.yaml").read_text())
    del pipeline["stages"]["export"]
    (project / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    git_commit(project, "without export")


SET_UPS = [
    pytest.param(a_folder_and_sqlite, id="folder-sqlite"),
    pytest.param(s3_and_postgres, id="s3-postgres", marks=pytest.mark.complete),
]


@pytest.fixture(scope="module", params=SET_UPS)
def team(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Iterator[Team]:
    """The whole way once, by the commands that docs/team.md gives."""
    place = tmp_path_factory.mktemp("team")
    first, second, shared = place / "first", place / "second", place / "shared.git"
    with ExitStack() as stack:
        server, configure = request.param(place, mlflow_database, stack)
        stack.enter_context(services.running(server))
        repository(first, mlflow_database, SMALL)
        (first / "mlflow.db").unlink()
        if request.param is a_folder_and_sqlite:
            drop_export(first)
        run(place, "git", "init", "-q", "--bare", "-b", "main", str(shared))
        run(first, "git", "remote", "add", "origin", str(shared))

        configure(first)
        set_params(first, {"tracking.uri": server.uri})
        configured = changed(first)
        git_commit(first, "the team's server and remote")
        run(first, "dvc", "repro")
        git_commit(first, "result")
        run(first, "dvc", "push")
        run(first, "git", "push", "-q", "-u", "origin", "main")
        (logged,) = runs_on(server)

        run(place, "git", "clone", "-q", str(shared), str(second))
        own_secrets(second)
        pulled = run(second, "dvc", "pull").stdout
        yield Team(first, second, pulled, server, logged, configured)


def test_the_set_up_is_configuration_without_a_secret(team: Team) -> None:
    assert team.configured == [".dvc/config", "params.yaml"]
    committed = (team.first / ".dvc/config").read_text() + (team.first / "params.yaml").read_text()
    assert "access_key" not in committed
    assert "@" not in committed


def test_after_a_pull_nothing_is_run_again(team: Team) -> None:
    for out in lineage.outputs(team.first):
        mine, theirs = (
            {
                file.relative_to(folder): file.read_bytes()
                for file in (folder / out, *(folder / out).rglob("*"))
                if file.is_file()
            }
            for folder in (team.first, team.second)
        )
        assert mine
        assert mine == theirs
    said = run(team.second, "dvc", "repro").stdout
    assert "Data and pipelines are up to date" in said
    assert "Running stage" not in said
    assert changed(team.second) == []
    assert runs_on(team.server) == [team.run]


def test_what_a_run_keeps_came_through_the_server(team: Team) -> None:
    assert team.run["status"] == "FINISHED"
    assert team.run["place"].startswith("mlflow-artifacts:/")
    assert "evaluation/evaluation.html" in team.run["files"]
    assert not any(name.startswith("uncommitted/") for name in team.run["files"])
    assert sum(name.startswith("images/samples~A_to_B+step+0+") for name in team.run["files"]) == 2
    assert team.run["models"] == (2 if "export" in lineage.stages(team.first) else 0)
    for clone in (team.first, team.second):
        assert not (clone / "mlartifacts").exists()
        assert not (clone / "mlflow.db").exists()


def test_the_run_is_found_from_the_other_clone_with_its_files(team: Team) -> None:
    config = load(team.second / "params.yaml")
    store = tracking.store_of(config.tracking, team.second)
    training = json.loads((team.second / paths.TRAINED / paths.TRAINING).read_text())
    assert team.run["key"] == training["train_key"]
    assert tracking.commit_of(store, training["train_key"]) == commit_at(team.second, "HEAD~1")
    wanted = f"evaluation/{paths.SCORES.name}"
    found = tracking.find_run(store, team.run["id"][:8], [wanted])
    assert found is not None
    assert found.tags["git.dirty"] == "false"
    assert found.files == {wanted: (team.second / paths.SCORES).read_bytes()}


def test_the_other_clone_verifies_the_commit_and_lists_its_run(team: Team) -> None:
    said = run(team.second, "cyclegan", "verify").stdout
    assert f"run: {team.run['id'][:8]} " in said
    assert said.endswith("satisfied: the record is true, and all of it is there\n")
    listed = run(team.second, "cyclegan", "runs").stdout
    assert team.run["id"][:8] in listed
    assert "training" in listed.split()  # its kind
    assert "evaluation" not in listed.split()  # that of weights trained elsewhere


def test_a_foreign_name_of_the_server_is_told_with_what_helps(team: Team) -> None:
    store = tracking.store_of(load(team.second / "params.yaml").tracking, team.second)
    assert tracking.trouble(store) is None
    foreign = tracking.Store(store.uri.replace("127.0.0.1", "localhost"), store.experiment, None, store.lock)
    problem = tracking.trouble(foreign)
    assert problem is not None
    assert "Invalid Host header" in problem
    assert problem.endswith("(the server does not go by this name: start it with --allowed-hosts, as docs/team.md says)")
    with pytest.raises(tracking.AwayError, match="--allowed-hosts"):
        tracking.find_run(foreign, "0" * 32, [])


def test_what_the_other_clone_adds_belongs_to_the_same_run(team: Team) -> None:
    """After the others: it changes the run that they look at."""
    store = tracking.store_of(load(team.second / "params.yaml").tracking, team.second)
    with tracking.add_to(store, team.second, team.run["key"], "shapes") as log:
        log.metrics({"test/A_to_B/model/pair_l1": 0.5})
        log.text("seen", "seen.txt", "evaluation")
    (after,) = runs_on(team.server)
    files = sorted([*team.run["files"], "evaluation/seen.txt"])
    assert after == team.run | {"scored": team.run["scored"] + 1, "files": files}
    assert changed(team.second) == []


@pytest.mark.complete
def test_evaluating_exporting_and_registering_there_belong_to_it_too(team: Team) -> None:
    if "export" not in lineage.stages(team.second):
        pytest.skip("this set-up has no export")
    (before,) = runs_on(team.server)
    for stage in ("evaluate", "export"):
        assert "warning" not in run(team.second, sys.executable, f"stages/{stage}.py").stdout
    said = run(team.second, "cyclegan", "register").stdout
    assert said.startswith("registered shapes_A_to_B version 1 and shapes_B_to_A version 1\nchampion: ")
    (after,) = runs_on(team.server)
    assert {name: after[name] for name in ("id", "status", "start", "end")} == {
        name: team.run[name] for name in ("id", "status", "start", "end")
    }
    assert after["scored"] == before["scored"] + 1
    assert "registry/shapes.json" in after["files"]
    assert changed(team.second) == []
