"""What a training is a function of, and which commit it ran on."""

from pathlib import Path

import pytest
from project import copy_project, git_commit, run, set_params

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
    (project / "src/cyclegan/evaluation/metrics.py").write_text("")
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
    commit = run(project, "git", "rev-parse", "HEAD").stdout.strip()
    (project / "metrics").mkdir()
    (project / "metrics/train.json").write_text("{}")
    (project / "dvc.lock").write_text("")
    clean = lineage.revision(project)
    assert (clean.commit, clean.branch, clean.dirty) == (commit, "main", False)
    (project / "new.py").write_text("")
    assert lineage.revision(project).diff == "new file: new.py"
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
