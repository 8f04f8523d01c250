"""`cyclegan reproduce` as users run it, on a pipeline that takes a moment: verdicts, messages, and that nothing is left."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from history import toy
from project import child_environment, git_commit, run, set_params

from cyclegan.history import digests

PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, mlflow_database: Path) -> Path:
    """A repository in which the pipeline has run once, and its result is committed."""
    folder = tmp_path_factory.mktemp("reproduce") / "project"
    toy.make(folder, mlflow_database)
    return folder


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where reproductions are made."""
    folder = tmp_path / "apart"
    folder.mkdir()
    return folder


def reproduce(project: Path, temporary: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return run(project, "cyclegan", "reproduce", *arguments, check=False, TMPDIR=str(temporary), **environment)


def state(project: Path) -> dict[str, Any]:
    """All that a reproduction must leave as it is: files, DVC's cache and run-cache, and git's references and worktrees."""
    left_out = (".dvc/tmp", ".git/index", "mlflow.db", "mlartifacts", ".mlflow.lock")
    files = {
        name: (file.stat().st_mtime_ns, file.stat().st_size)
        for file in project.rglob("*")
        if file.is_file() and not (name := file.relative_to(project).as_posix()).startswith(left_out)
    }
    return {
        "files": files,
        "git": run(project, "git", "for-each-ref").stdout,
        "head": run(project, "git", "status", "-b").stdout,
    }


def processes_in(folder: str) -> list[str]:
    """Those at work there, also after it is removed."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            found += [str(place)] if str(place.readlink()).startswith(folder) else []
    return found


def runs(project: Path) -> dict[str, dict[str, str]]:
    """The tags of each run, by its name."""
    with sqlite3.connect(project / "mlflow.db") as database:
        rows = database.execute("select name, key, value from runs join tags using (run_uuid)").fetchall()
        found: dict[str, dict[str, str]] = {}
        for name, key, value in rows:
            found.setdefault(name, {})[key] = value
    return found


def test_the_same_bytes_are_identical_and_nothing_but_one_run_is_left(project: Path, temporary: Path) -> None:
    commit = run(project, "git", "rev-parse", "HEAD").stdout.strip()
    (project / "notes.txt").write_text("an edit that is not committed")
    before, runs_before = state(project), runs(project)
    done = reproduce(project, temporary, "main")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == f"reproducing {commit[:8]} result"
    assert "left alone" in said[1]
    assert "data: data/raw from DVC's cache" in said
    assert said[-2] == "identical: all 3 outs and all 4 values are as recorded"
    assert "Running stage 'train'" in done.stderr
    assert "cached" not in done.stderr
    assert state(project) == before
    assert list(temporary.iterdir()) == []
    added = {name: tags for name, tags in runs(project).items() if name not in runs_before}
    (tags,) = added.values()
    assert list(added) == [f"reproduces {commit[:8]}: identical"]
    assert tags["reproduces"] == "0" * 64
    assert (tags["verdict"], tags["mlflow.source.git.commit"]) == ("identical", commit)
    assert "train_key" not in tags
    assert said[-1].startswith("logged as the run ")
    (project / "notes.txt").unlink()


def test_other_roundings_are_within_tolerance_and_the_folder_can_be_kept(project: Path, temporary: Path) -> None:
    done = reproduce(project, temporary, "HEAD", "--keep", TOY_ROUNDING="0.001")
    assert done.returncode == 0
    assert "other bytes  models/trained of the stage train (1 files: weights)" in done.stdout
    assert "0 of 3 outs and 2 of 4 values are as recorded; the farthest off is metrics/train.json: loss" in done.stdout
    assert done.stdout.splitlines()[-2].startswith("identical within tolerance")
    (kept,) = (line.removeprefix("kept afterwards: ") for line in done.stdout.splitlines() if line.startswith("kept"))
    assert json.loads((Path(kept) / "metrics/train.json").read_text())["loss"] == pytest.approx(2.0012)
    assert temporary in Path(kept).parents


def test_another_result_is_different_and_data_that_the_cache_lacks_are_made_again(
    project: Path, temporary: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(project, tmp_path / "project", symlinks=True)
    shutil.rmtree(copy / ".dvc/cache")
    done = reproduce(copy, temporary, "HEAD", TOY_ROUNDING="7")
    assert done.returncode == 1
    assert "data: made again, as DVC's cache has not (perhaps a remote does: --pull) data/raw" in done.stdout
    assert "Running stage 'download'" in done.stderr
    last = done.stdout.splitlines()[-2]
    assert last.startswith(
        "different: 1 of 4 outs and 2 of 4 values are as recorded; the first bytes that are not: metrics/train.json"
    )
    assert not (copy / ".dvc/cache").exists()


def test_a_remote_gives_what_the_cache_lacks(project: Path, temporary: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(project, tmp_path / "project", symlinks=True)
    run(copy, "dvc", "remote", "add", "--local", "-d", "store", "../store")  # a relative path, in no commit
    run(copy, "dvc", "push")
    shutil.rmtree(copy / ".dvc/cache")
    done = reproduce(copy, temporary, "HEAD", "--pull")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "data: data/raw from DVC's cache or a remote" in done.stdout
    assert "Running stage 'download'" not in done.stderr


def test_a_record_that_is_not_of_its_commit_is_refused_before_anything_runs(
    project: Path, temporary: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(project, tmp_path / "project", symlinks=True)
    set_params(copy, {"optimizer.lr": 0.5})
    (copy / "stages/evaluate.py").write_text((copy / "stages/evaluate.py").read_text() + "# changed\n")
    commit = git_commit(copy, "a lie")
    done = reproduce(copy, temporary, commit[:10])
    assert done.returncode == 1
    assert f"dvc.lock of {commit[:8]} is not of that commit's own files" in done.stderr
    assert "train: optimizer.lr: it was run with 0.0002, and params.yaml has 0.5" in done.stderr
    assert "evaluate: stages/evaluate.py: recorded " in done.stderr
    assert "Running stage" not in done.stderr
    assert list(temporary.iterdir()) == []


@pytest.mark.complete
def test_a_falsified_digest_is_no_matter_of_roundings(project: Path, temporary: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(project, tmp_path / "project", symlinks=True)
    done = reproduce(copy, temporary, "HEAD", TOY_BYTES="others")
    assert done.returncode == 1
    assert "dvc.lock hardly records this result" in done.stdout


def test_what_git_does_not_keep_must_be_here_as_it_was(project: Path, temporary: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(project, tmp_path / "project", symlinks=True)
    kept = copy / "weights/first"
    digest = digests.md5(kept.read_bytes())
    kept.write_text("others")
    done = reproduce(copy, temporary, "HEAD")
    assert done.returncode == 1
    said = "depends on weights/first, and neither git, the workspace nor DVC's cache has it as it was then"
    assert said in done.stderr
    assert list(temporary.iterdir()) == []
    cached = copy / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    cached.parent.mkdir(exist_ok=True)
    cached.write_text("brought by hand")
    done = reproduce(copy, temporary, "HEAD")
    assert done.returncode == 0, done.stdout + done.stderr
    assert kept.read_text() == "others"


def test_names_of_nothing_and_commits_without_results_are_told(project: Path, temporary: Path) -> None:
    for name, said in (
        ("nothing", "there is no commit, branch, tag or experiment nothing"),
        ("0" * 32, f"nor an MLflow run of this id in sqlite:///{project}/mlflow.db"),
        ("HEAD~1", "has no dvc.lock, so that it holds no result to make again"),
    ):
        done = reproduce(project, temporary, name)
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.complete)])
def test_an_interruption_ends_all_and_leaves_nothing(
    project: Path, temporary: Path, tmp_path: Path, number: signal.Signals
) -> None:
    before, here = state(project), tmp_path / "here"
    surroundings = child_environment(project) | {"TMPDIR": str(temporary), "TOY_SLEEP": str(here)}
    with subprocess.Popen(
        ["cyclegan", "reproduce", "HEAD"],
        cwd=project,
        env=surroundings,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored by what a shell starts behind the screen
    ) as process:
        end = time.monotonic() + PATIENCE_SECONDS
        while not (here.exists() and here.read_text()):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        folder = here.read_text()
        assert processes_in(folder) != []
        os.kill(process.pid, number)
        said = process.communicate(timeout=PATIENCE_SECONDS)[1]
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert ("nothing is compared or logged" in said) == (number == signal.SIGINT)
    assert list(temporary.iterdir()) == []
    assert state(project) == before
    assert processes_in(folder) == []
