"""CelebA: the user's copy, an earlier download, or torchvision's; where none can be had, what to do by hand."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
import yaml

from cyclegan import images, lineage
from cyclegan.config import DatasetConfig
from cyclegan.errors import UserError
from cyclegan.pipeline import download, paths
from cyclegan.sources import celeba, table
from cyclegan.sources.provenance import Provenance

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"
MALE = {"000001.jpg": -1, "000002.jpg": 1, "000003.jpg": -1, "000004.jpg": 1}
SORTED = {"trainA/000002.jpg", "trainA/000004.jpg", "trainB/000001.jpg", "trainB/000003.jpg"}


def place(root: Path, level: int) -> None:
    """CelebA in small, of one grey level, laid out as its authors do."""
    (root / "img_align_celeba").mkdir(parents=True)
    for name in MALE:
        images.write(root / "img_align_celeba" / name, np.full((8, 8, 3), level, dtype=np.uint8))
    rows = "".join(f"{name} {1:2d} {male:2d} \n" for name, male in MALE.items())
    (root / "list_attr_celeba.txt").write_text(f"{len(MALE)}\nYoung Male \n{rows}")


def make(folder: Path, **changes: Any) -> Provenance:
    settings: dict[str, Any] = {"column": "Male", "values_A": [1], "values_B": [-1], "paired_test": False}
    settings |= changes
    labels = table.Labels(settings["column"], settings["values_A"], settings["values_B"])
    paired_test = settings["paired_test"]
    return celeba.make(folder / "out", folder / "in", folder / "downloads", labels, paired_test=paired_test)


def copied(folder: Path, level: int) -> set[str]:
    files = [path for path in (folder / "out").rglob("*") if path.is_file()]
    for path in files:
        pixels, _ = images.decode(path.read_bytes(), channels=3)
        assert np.abs(pixels.astype(int) - level).max() <= 2
    return {path.relative_to(folder / "out").as_posix() for path in files}


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise AssertionError("asked torchvision")

    monkeypatch.setattr(torchvision.datasets, "CelebA", refuse)


@pytest.mark.parametrize("place_name", ["in", "in/celeba", "downloads/celeba", "downloads"])
def test_a_copy_on_disk_is_used_without_network(tmp_path: Path, no_download: None, place_name: str) -> None:
    place(tmp_path / place_name, level=50)
    provenance = make(tmp_path)
    assert copied(tmp_path, level=50) == SORTED
    assert provenance.name == "celeba"
    assert provenance.domain_A == "pictures whose Male is 1"
    assert provenance.domain_B == "pictures whose Male is -1"
    assert "non-commercial research only" in provenance.licence
    assert "Liu" in provenance.attribution
    assert "2015" in provenance.attribution
    assert provenance.paired_test is False


def test_the_users_copy_comes_before_the_download(tmp_path: Path, no_download: None) -> None:
    place(tmp_path / "downloads/celeba", level=50)
    place(tmp_path / "in/celeba", level=150)
    make(tmp_path)
    assert copied(tmp_path, level=150) == SORTED


def test_pictures_of_the_same_names_beside_it_do_not_matter(tmp_path: Path, no_download: None) -> None:
    place(tmp_path / "in", level=50)
    for name in MALE:
        images.write(tmp_path / "in" / name, np.zeros((8, 8, 3), dtype=np.uint8))
    make(tmp_path)
    assert copied(tmp_path, level=50) == SORTED


@pytest.mark.parametrize("missing", ["list_attr_celeba.txt", "img_align_celeba"])
def test_torchvision_fetches_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    asked: list[dict[str, Any]] = []

    def fetch(**arguments: Any) -> None:
        asked.append(arguments)
        place(Path(arguments["root"]) / "celeba", level=200)

    monkeypatch.setattr(torchvision.datasets, "CelebA", fetch)
    place(tmp_path / "in", level=50)
    (tmp_path / "in" / missing).rename(tmp_path / "elsewhere")
    make(tmp_path)
    assert asked == [{"root": tmp_path / "downloads", "split": "all", "download": True}]
    assert copied(tmp_path, level=200) == SORTED
    make(tmp_path)
    assert len(asked) == 1


class QuotaError(Exception):
    """As gdown's own: no kind of error that Python or requests has."""


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (QuotaError("Too many users\n\n  have viewed this file"), "failed: Too many users have viewed this file;"),
        (ConnectionError("no network"), "failed: no network;"),
        (RuntimeError("File not found or corrupted."), "failed: File not found or corrupted.;"),
        (EOFError(), "failed: EOFError;"),
        (None, "failed: torchvision left no list_attr_celeba.txt with img_align_celeba"),
    ],
)
def test_a_download_that_fails_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None, word: str
) -> None:
    def fail(**_: Any) -> None:
        if error:
            raise error

    monkeypatch.setattr(torchvision.datasets, "CelebA", fail)
    with pytest.raises(UserError) as caught:
        make(tmp_path)
    for part in (
        word,
        "dataset.name is celeba",
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        "unpack img_align_celeba.zip",
        str(tmp_path / "in/img_align_celeba/000001.jpg"),
        str(tmp_path / "in/list_attr_celeba.txt"),
        str(tmp_path / "downloads"),
        "dataset.path",
    ):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_what_a_failed_download_left_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_the_disk(**arguments: Any) -> None:
        place(Path(arguments["root"]) / "celeba", level=0)
        raise OSError("no space left")

    monkeypatch.setattr(torchvision.datasets, "CelebA", fill_the_disk)
    with pytest.raises(UserError, match="no space left"):
        make(tmp_path)


def test_torchvision_itself_says_that_gdown_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(UserError, match="pip install gdown"):
        make(tmp_path)


def test_half_an_archive_is_noticed(tmp_path: Path, no_download: None) -> None:
    place(tmp_path / "downloads/celeba", level=50)
    (tmp_path / "downloads/celeba/img_align_celeba/000004.jpg").unlink()
    with pytest.raises(UserError, match=r"names 1 pictures .*000004\.jpg.*unpack it again"):
        make(tmp_path)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"column": "male"}, "did you mean Male"),
        ({"values_A": ["yes"]}, r"'yes'.*'-1' \(2\), '1' \(2\)"),
        ({"values_A": [1, -1]}, "share '-1'"),
        ({"paired_test": True}, "no pairs"),
    ],
)
def test_the_rules_of_tables_hold(tmp_path: Path, no_download: None, changes: dict[str, Any], word: str) -> None:
    place(tmp_path / "in", level=50)
    with pytest.raises(UserError, match=word):
        make(tmp_path, **changes)


def test_the_stage_hands_every_setting_over(tmp_path: Path, no_download: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "project_root", lambda: tmp_path)
    place(tmp_path / paths.DOWNLOADS / "celeba", level=50)
    changes = {"name": "celeba", "path": str(tmp_path), "table_column": "Male", "table_A": [-1], "table_B": [1]}
    dataset = DatasetConfig(**(yaml.safe_load(PARAMS.read_text())["dataset"] | changes))
    assert download._make(tmp_path / "out", dataset, seed=0).domain_A == "pictures whose Male is -1"
    swapped = {name.translate(str.maketrans("AB", "BA")) for name in SORTED}
    assert copied(tmp_path, level=50) == swapped
    with pytest.raises(UserError, match="paired_test"):
        download._make(tmp_path / "out", dataset.model_copy(update={"paired_test": True}), seed=0)
