"""The train key of a commit: computed by the commit's own code, from what it was trained from."""

import json
import shutil
from pathlib import Path

import pytest
from project import copy_project, enter, git_commit, run, set_params

from cyclegan import config, lineage
from cyclegan.history import digests, keys
from cyclegan.history.keys import Key, key_of, keys_of

DIGEST = "d" * 64


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with prepared data, as far as git knows, and no training."""
    folder = copy_project(tmp_path / "project")
    enter(folder, monkeypatch)
    run(folder, "git", "init", "-q", "-b", "main")
    (folder / "metrics").mkdir()
    (folder / keys.DATASET_METRICS).write_text(json.dumps({"digest": DIGEST}))
    return folder


def of_workspace(project: Path) -> str:
    return lineage.train_key(project, config.load(project / "params.yaml"), DIGEST)


def test_it_is_that_of_the_workspace_and_changes_with_what_training_depends_on(project: Path) -> None:
    first = git_commit(project, "first")
    expected = {first: of_workspace(project)}
    set_params(project, {"loss.lambda_A": 3.0})
    second = git_commit(project, "second")
    expected[second] = of_workspace(project)
    (project / "src/cyclegan/training/ema.py").write_text("# other code, which need not even run\n")
    third = git_commit(project, "third")
    expected[third] = of_workspace(project)
    (project / "README.md").write_text("a page that no training depends on\n")
    fourth = git_commit(project, "fourth")
    expected[fourth] = expected[third]
    set_params(project, {"loss.lambda_A": 4.0})  # not committed
    found = keys_of(project, list(expected))
    assert {commit: key.computed for commit, key in found.items()} == expected
    assert all(key == Key(key.computed, "", "") for key in found.values())


def test_commits_of_the_same_making_are_computed_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = [git_commit(project, "first")]
    for page in ("one", "two"):
        (project / "README.md").write_text(page)
        commits.append(git_commit(project, page))
    asked = []
    compute = keys._compute
    monkeypatch.setattr(keys, "_compute", lambda tree: asked.append(tree.commit) or compute(tree))
    assert len({key.computed for key in keys_of(project, commits).values()}) == 1
    assert len(asked) == 1


def test_it_is_computed_by_the_commits_own_code(project: Path) -> None:
    code = project / "src/cyclegan/lineage.py"
    ours = code.read_text()
    code.write_text(ours + "\n\ndef train_key(*_):\n    return 'as it was reckoned then'\n")
    assert key_of(project, git_commit(project, "another way")).computed == "as it was reckoned then"
    code.write_text(ours.replace("def train_key(", "def its_name_was_other("))
    key = key_of(project, git_commit(project, "before keys"))
    assert key.computed == ""
    assert key.problem == (
        "its code cannot compute one here (AttributeError: module 'cyclegan.lineage' has no attribute 'train_key')"
    )
    code.write_text("raise SystemExit(7)\n")
    assert key_of(project, git_commit(project, "ends")).problem.startswith("its code ends with 7")


def test_what_keeps_it_from_being_computed_is_said(project: Path) -> None:
    set_params(project, {"loss.lambda_A": -1.0})
    assert key_of(project, git_commit(project, "wrong")).problem.startswith(
        "loss.lambda_A is -1.0 in params.yaml; it must be"
    )
    (project / keys.DATASET_METRICS).write_text("{")
    assert key_of(project, git_commit(project, "damaged")).problem.startswith("it holds no prepared data's digest")
    (project / keys.DATASET_METRICS).write_text(json.dumps({"digest": DIGEST}))
    shutil.rmtree(project / "src")
    assert key_of(project, git_commit(project, "no code")).problem == "it has no src/cyclegan, or no dvc.yaml"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"train_key": 3}'])
def test_a_result_without_a_key_has_none(content: str) -> None:
    assert keys.recorded_key(content.encode()) == ""


# --- first weights ----------------------------------------------------------------------------------------------------


@pytest.fixture
def started_from(project: Path) -> tuple[str, str]:
    """A commit that starts from weights which git ignores, and its key."""
    weights = project / "weights/mine"
    weights.mkdir(parents=True)
    (weights / "G_AB.safetensors").write_bytes(b"weights")
    set_params(project, {"train.init_from": "weights/mine"})
    recorded = digests.on_disk(weights, "weights/mine")
    assert recorded is not None
    dep = f"{{path: weights/mine, md5: {recorded.md5}, size: {recorded.size}, nfiles: 1}}"
    (project / "dvc.lock").write_text(f"schema: '2.0'\nstages: {{train: {{cmd: x, deps: [{dep}]}}}}\n")
    return git_commit(project, "from weights"), of_workspace(project)


def test_first_weights_come_from_the_workspace_if_they_are_those_recorded(
    project: Path, started_from: tuple[str, str]
) -> None:
    commit, expected = started_from
    assert key_of(project, commit) == Key(expected, "", "")
    (project / "weights/mine/G_AB.safetensors").write_bytes(b"Weights")
    run(project, "dvc", "init", "-q")
    key = key_of(project, commit)
    assert key.computed == ""
    assert key.problem == (
        "its first weights, weights/mine, are neither in git, nor as recorded in the workspace or DVC's cache"
    )


def test_first_weights_come_from_the_cache_of_dvc(project: Path, started_from: tuple[str, str]) -> None:
    commit, expected = started_from
    run(project, "dvc", "init", "-q")
    (project / "weights/mine").rename(project / "own")
    run(project, "dvc", "add", "-q", "own")
    assert key_of(project, commit) == Key(expected, "", "")


def test_first_weights_that_are_not_recorded_are_not_guessed(project: Path, started_from: tuple[str, str]) -> None:
    (project / "dvc.lock").unlink()
    key = key_of(project, git_commit(project, "without a lock"))
    assert key.problem == "its first weights, weights/mine, are neither in git nor in its dvc.lock"
