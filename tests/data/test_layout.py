"""Finding, splitting and pairing raw pictures."""

from pathlib import Path

import pytest

from cyclegan.data.layout import Picture, check_pairs, find
from cyclegan.errors import UserError


def fill(raw: Path, **sets: list[str]) -> Path:
    """Empty files: finding looks at names alone."""
    for name, files in sets.items():
        for file in files:
            path = raw / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return raw


def names(pictures: list[Picture], domain: str, split: str) -> list[str]:
    return [picture.name for picture in pictures if (picture.domain, picture.split) == (domain, split)]


def numbered(count: int) -> list[str]:
    return [f"{index:03d}.png" for index in range(count)]


def test_finds_nested_pictures_with_suffixes_of_any_case_in_order_of_their_names(tmp_path: Path) -> None:
    found = ["Z.PNG", "deep/a.tif", "deep/er/b.JPeG", "x.webp"]
    raw = fill(tmp_path, trainA=[*found[::-1], "notes.txt", "png"], trainB=["1.jpg"], testA=["t.BMP"], testB=["u.gif"])
    (raw / "trainA" / "folder.png").mkdir()
    pictures = find(raw, 0.5, seed=0)
    assert names(pictures, "A", "train") == found
    assert [names(pictures, *which) for which in (("B", "train"), ("A", "test"), ("B", "test"))] == [
        ["1.jpg"],
        ["t.BMP"],
        ["u.gif"],
    ]
    for picture in pictures:
        assert picture.path == raw / f"{picture.split}{picture.domain}" / picture.name


def test_pair_is_the_nested_name_without_its_suffix() -> None:
    assert Picture("A", "test", Path("anywhere"), "deep/x.y.png").pair == "deep/x.y"


@pytest.mark.parametrize(("count", "fraction", "held"), [(2, 0.01, 1), (10, 0.25, 2), (30, 0.1, 3), (31, 0.5, 16)])
def test_held_out_pictures_are_exact_in_number_and_do_not_depend_on_directory_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, fraction: float, held: int
) -> None:
    raw = fill(tmp_path, trainA=numbered(count), trainB=numbered(count))
    listed = Path.rglob
    splits = []
    for turned in (False, True):
        monkeypatch.setattr(Path, "rglob", lambda self, what, turn=turned: sorted(listed(self, what), reverse=turn))
        splits.append([(p.domain, p.split, p.name) for p in find(raw, fraction, seed=3)])
    assert splits[0] == splits[1]
    pictures = find(raw, fraction, seed=3)
    for domain in ("A", "B"):
        train, test = names(pictures, domain, "train"), names(pictures, domain, "test")
        assert len(test) == held
        assert sorted(train + test) == numbered(count)
        assert train == sorted(train)
        assert test == sorted(test)


def test_held_out_pictures_follow_the_seed_and_hardly_change_when_a_picture_comes(tmp_path: Path) -> None:
    raw = fill(tmp_path, trainA=numbered(40), trainB=numbered(40))
    before = set(names(find(raw, 0.5, seed=0), "A", "test"))
    assert before != set(names(find(raw, 0.5, seed=1), "A", "test"))
    fill(raw, trainA=["new.png"])
    assert len(before - set(names(find(raw, 0.5, seed=0), "A", "test"))) <= 1


def test_only_the_domain_without_test_pictures_gives_some_up(tmp_path: Path) -> None:
    pictures = find(fill(tmp_path, trainA=numbered(10), trainB=numbered(10), testB=["own.png"]), 0.2, seed=0)
    counts = [len(names(pictures, *which)) for which in (("A", "train"), ("A", "test"), ("B", "train"), ("B", "test"))]
    assert counts == [8, 2, 10, 1]


@pytest.mark.parametrize("train_B", [[], ["only.png"]])
def test_a_training_set_without_pictures_is_an_error_that_names_it(tmp_path: Path, train_B: list[str]) -> None:
    with pytest.raises(UserError, match="trainB has no pictures left"):
        find(fill(tmp_path, trainA=numbered(4), trainB=train_B), 0.5, seed=0)


def pairs_of(tmp_path: Path, test_A: list[str], test_B: list[str]) -> list[Picture]:
    return find(fill(tmp_path, trainA=["1.png"], trainB=["2.png"], testA=test_A, testB=test_B), 0.5, seed=0)


def test_pairs_may_differ_in_suffix_and_training_pictures_need_none(tmp_path: Path) -> None:
    check_pairs(pairs_of(tmp_path, ["x.png", "d/y.JPG"], ["x.jpg", "d/y.png"]))


def test_every_picture_without_counterpart_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"only one of testA and testB has: a, d/b, z;"):
        check_pairs(pairs_of(tmp_path, ["both.png", "z.png", "d/b.png"], ["both.png", "a.png"]))


def test_test_pictures_that_share_a_name_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="share a name but for the suffix: x;"):
        check_pairs(pairs_of(tmp_path, ["x.png", "x.jpg"], ["x.png"]))


def test_a_picture_that_cannot_be_used_is_not_held_out(tmp_path: Path) -> None:
    for domain in "AB":
        for index in range(10):
            (tmp_path / f"train{domain}").mkdir(exist_ok=True)
            (tmp_path / f"train{domain}" / f"{index}.png").touch()
    chosen = next(picture for picture in find(tmp_path, 0.1, 0) if picture.split == "test")
    others = find(tmp_path, 0.1, 0, usable=lambda picture: picture.name != chosen.name)
    assert chosen.name not in {picture.name for picture in others if picture.split == "test" and picture.domain == "A"}
    assert [sum(picture.split == split for picture in others) for split in ("train", "test")] == [18, 2]
