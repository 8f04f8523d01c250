"""What a training is a function of, and which commit it ran on."""

import os
import shutil
from pathlib import Path

import pytest
from project import copy_project, git_commit, run, set_params
from repositories import commit_at

from cyclegan import config, lineage


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = copy_project(tmp_path / "project")
    run(folder, "git", "init", "-q", "-b", "main")
    git_commit(folder, "code")
    return folder


def key(project: Path, data: str = "0") -> str:
    return lineage.train_key(project, config.load(project / "params.yaml"), data)


def test_the_key_changes_with_params_data_and_code_of_training_and_with_nothing_else(project: Path) -> None:
    first = key(project)
    assert len(first) == 64
    assert key(project) == first
    set_params(project, {"evaluate.gallery_size": 1, "runtime.workers": 3, "tracking.experiment": "x", "export.opset": 20})
    (project / "src/cyclegan/evaluation/protocol.py").write_text("")
    (project / "src/cyclegan/training/__pycache__").mkdir()
    (project / "src/cyclegan/training/__pycache__/x.pyc").write_bytes(b"x")
    assert key(project) == first
    set_params(project, {"loss.lambda_A": 10})
    assert key(project) == first  # 10 and 10.0 are one value

    others = {key(project, data="1")}
    for name, value in {
        "loss.lambda_A": 9.0,
        "seed": 1,
        "model.ngf": 5,
        "train.ema_decay": 0.5,
        "preprocess.flip": False,
    }.items():
        old = config.load(project / "params.yaml").model_dump()
        set_params(project, {name: value})
        others.add(key(project))
        section, _, field = name.partition(".")
        set_params(project, {name: old[section][field] if field else old[section]})
    assert key(project) == first
    for file in ("src/cyclegan/training/ema.py", "src/cyclegan/randomness.py", "stages/train.py"):
        with (project / file).open("a") as code:
            code.write("#\n")
        others.add(key(project))
    assert len(others | {first}) == 10


def test_the_key_is_the_same_in_another_folder(project: Path, tmp_path: Path) -> None:
    run(project, "git", "clone", "-q", str(project), str(tmp_path / "clone"))
    assert key(tmp_path / "clone") == key(project)


def test_the_key_changes_with_the_bytes_of_first_weights_and_not_with_what_stands_beside_them(project: Path) -> None:
    (project / "weights/mine/G_AB").mkdir(parents=True)
    set_params(project, {"train.init_from": "weights/mine"})
    keys = [key(project)]

    def changed(then: bool) -> None:
        keys.append(key(project))
        assert (keys[-1] != keys[-2]) == then

    generator = project / "weights/mine/G_AB/generator.safetensors"
    generator.write_bytes(b"one")
    changed(True)
    generator.write_bytes(b"two")
    changed(True)
    for name in ("README.md", "training.json", "G_AB/generator.json", "G_AB/safetensors"):
        (project / "weights/mine" / name).write_text(name)
        changed(False)
    (project / "weights/random/README.md").write_text("another text")
    changed(False)
    (project / "weights/mine/D_A").mkdir()
    (project / "weights/mine/D_A/discriminator.safetensors").write_bytes(b"two")
    changed(True)
    (project / "weights/mine/D_A").rename(project / "weights/mine/D_B")
    changed(True)  # the same weights for another network
    generator.write_bytes(b"one")
    changed(True)
    assert len(set(keys)) == 6


def test_random_first_weights_have_a_key_of_their_own_that_its_readme_is_no_part_of(project: Path) -> None:
    first = key(project)
    (project / "weights/random/README.md").write_text("another text")
    assert key(project) == first
    (project / "weights/random/README.md").unlink()
    assert key(project) == first
    set_params(project, {"train.init_from": "weights/empty"})
    assert key(project) != first  # it is a parameter
    (project / "weights/empty").mkdir()
    (project / "weights/empty/x.safetensors").write_bytes(b"one")
    there = key(project)
    moved = project.with_name("moved")
    project.rename(moved)
    assert key(moved) == there  # where the project lies does not matter


def test_revision_sees_edits_and_new_files_but_not_what_the_pipeline_writes(project: Path) -> None:
    commit = commit_at(project)
    (project / "metrics").mkdir()
    (project / "metrics/train.json").write_text("{}")
    (project / "dvc.lock").write_text("")
    clean = lineage.revision(project)
    assert (clean.commit, clean.branch, clean.dirty) == (commit, "main", False)
    (project / "new.py").write_text("new = 1\n")
    assert "+++ b/new.py\n@@ -0,0 +1 @@\n+new = 1\n" in lineage.revision(project).diff
    (project / "new.py").unlink()
    set_params(project, {"seed": 5})
    dirty = lineage.revision(project)
    assert dirty.dirty
    assert "+seed: 5" in dirty.diff
    run(project, "git", "checkout", "-q", "--detach")
    assert lineage.revision(project).branch == "detached"


def test_outside_a_repository_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert lineage.revision(tmp_path) == lineage.Revision("none", "none", "")


def test_the_project_is_the_one_dvc_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert lineage.project_root() == tmp_path.resolve()
    monkeypatch.delenv("DVC_ROOT")
    monkeypatch.chdir(tmp_path)
    assert lineage.project_root() == tmp_path.resolve()


def test_uncommitted_edits_of_one_file(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = project / "params.yaml"
    (project / "new.py").write_text("")
    assert not lineage.has_uncommitted_edits(params)  # others do not count
    assert lineage.has_uncommitted_edits(project / "new.py")
    set_params(project, {"seed": 5})
    assert lineage.has_uncommitted_edits(params)
    run(project, "git", "add", "params.yaml")
    assert lineage.has_uncommitted_edits(params)
    monkeypatch.chdir(project)
    assert lineage.has_uncommitted_edits(Path("params.yaml"))
    git_commit(project, "params")
    assert not lineage.has_uncommitted_edits(Path("params.yaml"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "params.yaml").write_text("seed: 0")
    assert not lineage.has_uncommitted_edits(tmp_path / "params.yaml")  # no repository


def dependencies(project: Path, stage: str = "train") -> dict[str, str]:
    return lineage.dependencies(project, stage, config.load(project / "params.yaml"))


def test_a_stages_dependencies_tell_every_change_that_dvc_would_see_and_no_other(project: Path) -> None:
    for path in ("data/prepared/dataset.json", "data/prepared/pixels/trainA.u8"):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_bytes(b"data")
    first = dependencies(project)
    assert dependencies(project) == first

    def changes() -> set[str]:
        now = dependencies(project)
        return {name.removeprefix(f"{project}/") for name in now.keys() | first.keys() if now.get(name) != first.get(name)}

    set_params(project, {"evaluate.gallery_size": 1, "runtime.workers": 3, "dataset.limit": 5})
    (project / "src/cyclegan/evaluation/protocol.py").write_text("")
    (project / "src/cyclegan/training/__pycache__").mkdir()
    (project / "src/cyclegan/training/__pycache__/x.pyc").write_bytes(b"x")
    for code in ("src/cyclegan/training/ema.py", "stages/train.py"):
        os.utime(project / code)
    assert changes() == set()

    set_params(project, {"loss.lambda_A": 9.0, "preprocess.flip": False})
    assert changes() == {"params loss", "params preprocess.flip"}
    (project / "src/cyclegan/training/ema.py").write_text("")
    (project / "src/cyclegan/training/new.py").write_text("")
    (project / "src/cyclegan/training/pool.py").unlink()
    code = {f"src/cyclegan/training/{name}.py" for name in ("ema", "new", "pool")}
    assert changes() - code == {"params loss", "params preprocess.flip"}
    assert code < changes()
    (project / "data/prepared/pixels/trainA.u8").write_bytes(b"atad")
    (project / "data/prepared/new").write_bytes(b"")
    replaced = project / "data/prepared/dataset.json"
    status = replaced.stat()
    (project / "other").write_bytes(b"atad")
    os.utime(project / "other", ns=(status.st_atime_ns, status.st_mtime_ns))
    (project / "other").rename(replaced)  # of the same size and time
    data = {"data/prepared/pixels/trainA.u8", "data/prepared/new", "data/prepared/dataset.json"}
    assert data < changes()


def test_a_dependency_that_a_parameter_names_is_the_one_it_names_now(project: Path) -> None:
    def weights() -> list[str]:
        return [name.partition("/weights/")[2] for name in dependencies(project) if "/weights/" in name]

    assert weights() == ["random/.gitkeep"]
    (project / "weights/mine/G_AB").mkdir(parents=True)
    (project / "weights/mine/G_AB/generator.safetensors").write_bytes(b"one")
    set_params(project, {"train.init_from": "weights/mine"})
    assert weights() == ["mine/G_AB/generator.safetensors"]


def test_an_abbreviated_hash_names_its_commit_and_nothing_else_does(project: Path) -> None:
    commit = commit_at(project)
    for length in (7, 12, 40):
        assert lineage.full_hash(project, commit[:length]) == commit
    other = "0" if commit[0] != "0" else "1"
    assert lineage.full_hash(project, other + commit[1:]) is None
    run(project, "git", "branch", "deadbeef")  # a name that moves, though it looks like a hash
    assert lineage.full_hash(project, "deadbeef") is None
    for name in ("main", "HEAD", "HEAD~0"):
        assert lineage.full_hash(project, name) is None


def test_commits_of_results_are_those_that_changed_the_lock_on_any_branch_and_the_next_ones_come_first(
    project: Path,
) -> None:
    commits = {"code": commit_at(project)}

    def commit(name: str, file: str = "dvc.lock") -> None:
        (project / file).write_text(name)
        commits[name] = git_commit(project, name)

    commit("first")
    commit("more code", "new.py")
    commit("second")
    run(project, "git", "checkout", "-q", "-b", "side", commits["code"])
    commit("aside")
    run(project, "git", "checkout", "-q", "main")

    def found(since: str) -> list[str]:
        names = {found: name for name, found in commits.items()}
        return [names[result] for result in lineage.commits_of_results(project, since)]

    assert found(commits["more code"])[0] == "second"
    assert found(commits["first"])[0] == "second"
    assert found(commits["code"])[0] != "second"  # the older ones of those that follow come first
    for since in ("none", *commits.values()):
        assert sorted(found(since)) == ["aside", "first", "second"]


def test_an_output_is_fetched_as_a_commit_has_it(project: Path, tmp_path: Path) -> None:
    run(project, "dvc", "init", "-q")
    made = project / "made"
    made.mkdir()
    (made / "weights").write_text("old")
    run(project, "dvc", "add", "-q", "made")
    old = git_commit(project, "old")
    (made / "weights").write_text("new")
    run(project, "dvc", "add", "-q", "made")
    new = git_commit(project, "new")
    for commit, text in ((new, "new"), (old, "old")):
        assert lineage.fetch(project, commit, Path("made/weights"), tmp_path / "weights")
        assert (tmp_path / "weights").read_text() == text
    assert (made / "weights").read_text() == "new"
    assert not lineage.fetch(project, old, Path("made/nothing"), tmp_path / "nothing")
    shutil.rmtree(project / ".dvc/cache")
    assert not lineage.fetch(project, old, Path("made/weights"), tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_a_commit_has_many_names_and_an_experiment_may_have_several_commits(project: Path) -> None:
    first = commit_at(project)
    (project / "new.py").write_text("")
    second = git_commit(project, "two")
    run(project, "git", "tag", "-a", "v1", "-m", "annotated", first)
    run(project, "git", "update-ref", f"refs/exps/{first[:2]}/{first[2:]}/try-1", second)
    run(project, "git", "update-ref", f"refs/exps/{first[:2]}/{first[2:]}/twice", first)
    run(project, "git", "update-ref", f"refs/exps/{second[:2]}/{second[2:]}/twice", second)
    for name in ("HEAD", "main", second, second[:8], "try-1"):
        assert lineage.commits_named(project, name) == [second]
    for name in ("HEAD~1", "v1", "main^"):
        assert lineage.commits_named(project, name) == [first]
    assert lineage.commits_named(project, "twice") == sorted([first, second])
    for name in ("nothing", "try", "-1", "--all", "", "HEAD~5", "HEAD:params.yaml", "a b", "x\ny"):
        assert lineage.commits_named(project, name) == []


def test_files_are_read_as_a_commit_has_them_also_below_the_top_of_a_repository(tmp_path: Path) -> None:
    project = tmp_path / "repository/project"
    project.mkdir(parents=True)
    run(project.parent, "git", "init", "-q", "-b", "main")
    (project / "picture").write_bytes(b"\x00\xff\r\n")
    first = git_commit(project.parent, "a subject\n\nand a body")
    (project / "picture").write_bytes(b"new")
    assert lineage.file_at(project, first, Path("picture")) == b"\x00\xff\r\n"
    assert lineage.file_at(project, first, Path("nothing")) is None
    assert lineage.subject_line(project, first) == "a subject"


def test_the_first_commit_that_holds_a_text_is_found(project: Path) -> None:
    (project / "metrics").mkdir()
    commits = []
    for key in ("abc", "def", "abc"):
        (project / "metrics/train.json").write_text(key)
        commits.append(git_commit(project, key))
    for key, commit in (("abc", commits[0]), ("def", commits[1]), ("ghi", None)):
        assert lineage.first_commit_with(project, key, Path("metrics/train.json")) == commit
