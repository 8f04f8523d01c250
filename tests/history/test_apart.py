"""A commit in a folder of its own, from every kind of repository, with DVC's cache and remotes, and without a trace."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import child_environment, git_commit, run

from cyclegan.errors import UserError
from cyclegan.history.apart import apart


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits, the second one an experiment that no branch has, and a remote of a relative path."""
    root = tmp_path / "repository"
    for name, value in child_environment(root).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "apart"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "apart").mkdir()
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/config").write_text("['remote \"store\"']\n    url = ../../store\n[core]\n    remote = store\n")
    (root / ".downloads").mkdir()
    (root / ".downloads/archive.zip").write_bytes(b"whole")
    (root / ".downloads/other.zip.part").write_bytes(b"cut short")
    (root / ".gitignore").write_text("/.downloads/\n")
    (root / "file").write_text("one")
    run(root, "git", "init", "-q", "-b", "main")
    first = git_commit(root, "one")
    (root / "file").write_text("two")
    second = git_commit(root, "two")
    run(root, "git", "update-ref", f"refs/exps/{first[:2]}/{first[2:]}/keen-ape", second)
    run(root, "git", "reset", "-q", "--hard", first)
    return root


def experiment(root: Path) -> str:
    return run(root, "git", "for-each-ref", "--format=%(objectname)", "refs/exps").stdout.strip()


def test_it_has_the_commits_files_the_workspaces_cache_and_every_name(repository: Path, tmp_path: Path) -> None:
    (repository / "file").write_text("an edit")
    with apart(repository, experiment(repository), keep=False) as place:
        assert (place.folder / "file").read_text() == "two"
        assert place.base.parent == tmp_path / "apart"
        assert place.base.stat().st_mode & 0o77 == 0
        assert place.cache == repository / ".dvc/cache"
        told = place.dvc("config", "--list", "--local").stdout
        assert f"remote.store.url={tmp_path / 'store'}" in told
        assert f"cache.dir={repository / '.dvc/cache'}" in told
        references = ["git", "for-each-ref"]
        assert run(place.folder, *references).stdout == run(repository, *references).stdout
        assert run(place.folder, "git", "log", "-1", "--format=%s", "main").stdout == "one\n"
        assert sorted(file.name for file in (place.folder / ".downloads").iterdir()) == ["archive.zip"]
    assert list((tmp_path / "apart").iterdir()) == []
    assert (repository / "file").read_text() == "an edit"
    assert (repository / ".downloads/archive.zip").read_bytes() == b"whole"


@pytest.mark.parametrize("kind", ["worktree", "folder", "submodule", "shallow"])
def test_every_kind_of_repository_will_do(repository: Path, tmp_path: Path, kind: str) -> None:
    wanted = experiment(repository)
    root = tmp_path / kind
    if kind == "worktree":
        run(repository, "git", "worktree", "add", "-q", "--detach", str(root))
    elif kind == "shallow":
        run(tmp_path, "git", "clone", "-q", "--depth", "1", f"file://{repository}", str(root))
        wanted = run(root, "git", "rev-parse", "HEAD").stdout.strip()
    elif kind == "submodule":
        outer = tmp_path / "outer"
        outer.mkdir()
        run(outer, "git", "init", "-q")
        allowed = ("-c", "protocol.file.allow=always")
        run(outer, "git", *allowed, "submodule", "--quiet", "add", str(repository), "inner")
        root, wanted = outer / "inner", run(repository, "git", "rev-parse", "main").stdout.strip()
    else:
        root = repository / "inner"
        (root / ".dvc").mkdir(parents=True)
        (root / ".dvc/config").touch()
        (root / "file").write_text("inner")
        wanted = git_commit(repository, "a project in a folder of a repository")
    text = {"folder": "inner", "worktree": "two"}.get(kind, "one")
    with apart(root, wanted, keep=False) as place:
        assert (place.folder / "file").read_text() == text
        assert place.folder.name == ("inner" if kind == "folder" else "project")
        assert run(place.folder, "git", "rev-parse", "HEAD").stdout.strip() == wanted


def test_its_processes_know_nothing_of_the_workspace(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DVC_ROOT", "DVC_EXP_NAME", "DVC_STAGE", "MLFLOW_RUN_ID", "GIT_DIR_X", "PYTHONPATH"):
        monkeypatch.setenv(name, "the workspace's")
    with apart(repository, experiment(repository), keep=False) as place:
        known = {name for name, value in place.environment.items() if value == "the workspace's"}
        assert known == set()
        assert place.environment["PYTHONPATH"] == str(place.folder / "src")
        assert place.environment["MLFLOW_TRACKING_URI"] == place.environment["CYCLEGAN_TRACKING_URI"] == place.store
        assert place.environment["PATH"].startswith(str(Path(sys.executable).parent))


def test_it_is_removed_after_an_error_with_all_that_was_started(repository: Path, tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', sys.argv[1]])"

    def interrupted() -> None:
        with apart(repository, experiment(repository), keep=False) as place:
            assert place.run(sys.executable, "-c", code, str(tmp_path)) == 0  # and what it started lives on
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list((tmp_path / "apart").iterdir()) == []
    found = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_what_is_kept_stays(repository: Path) -> None:
    with apart(repository, experiment(repository), keep=True) as place:
        pass
    assert (place.folder / "file").read_text() == "two"


def test_no_project_of_dvc_is_told(repository: Path, tmp_path: Path) -> None:
    commit = experiment(repository)
    shutil.rmtree(repository / ".dvc")
    with pytest.raises(UserError, match=r"no project of DVC \(no .dvc\)"), apart(repository, commit, keep=False):
        pass
    assert list((tmp_path / "apart").iterdir()) == []
