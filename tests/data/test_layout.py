"""Finding, splitting and pairing raw pictures."""

import os
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from cyclegan.data.layout import Division, Picture, check_pairs, find
from cyclegan.errors import UserError

WALK = os.walk


def fill(raw: Path, **sets: list[str]) -> Path:
    """Empty files: finding looks at names alone."""
    for name, files in sets.items():
        for file in files:
            path = raw / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return raw


def list_in_order(monkeypatch: pytest.MonkeyPatch, *, turned: bool) -> None:
    """Let directories be listed by name, forwards or backwards."""

    def in_order(top: Path, **options: Any) -> Iterator[tuple[str, list[str], list[str]]]:
        for root, folders, files in WALK(top, **options):
            folders.sort(reverse=turned)
            yield root, folders, sorted(files, reverse=turned)

    monkeypatch.setattr("os.walk", in_order)


def names(pictures: list[Picture], domain: str, split: str) -> list[str]:
    return [picture.name for picture in pictures if (picture.domain, picture.split) == (domain, split)]


def split_of(pictures: list[Picture], domain: str) -> dict[str, str]:
    return {picture.name: picture.split for picture in pictures if picture.domain == domain}


def numbered(count: int) -> list[str]:
    return [f"{index:03d}.png" for index in range(count)]


def test_finds_nested_pictures_with_suffixes_of_any_case_in_order_of_their_names(tmp_path: Path) -> None:
    found = ["Z.PNG", "deep/a.tif", "deep/er/b.JPeG", "x.webp"]
    raw = fill(tmp_path, trainA=[*found[::-1], "notes.txt", "png"], trainB=["1.jpg"], testA=["t.BMP"], testB=["u.gif"])
    (raw / "trainA" / "folder.png").mkdir()
    pictures = find(raw, Division(test_fraction=0.5), seed=0)
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
    splits = []
    for turned in (False, True):
        list_in_order(monkeypatch, turned=turned)
        splits.append([(p.domain, p.split, p.name) for p in find(raw, Division(test_fraction=fraction), seed=3)])
    assert splits[0] == splits[1]
    pictures = find(raw, Division(test_fraction=fraction), seed=3)
    for domain in ("A", "B"):
        train, test = names(pictures, domain, "train"), names(pictures, domain, "test")
        assert len(test) == held
        assert sorted(train + test) == numbered(count)
        assert train == sorted(train)
        assert test == sorted(test)


def test_held_out_pictures_follow_the_seed_and_hardly_change_when_a_picture_comes(tmp_path: Path) -> None:
    raw = fill(tmp_path, trainA=numbered(40), trainB=numbered(40))
    before = set(names(find(raw, Division(test_fraction=0.5), seed=0), "A", "test"))
    assert before != set(names(find(raw, Division(test_fraction=0.5), seed=1), "A", "test"))
    fill(raw, trainA=["new.png"])
    assert len(before - set(names(find(raw, Division(test_fraction=0.5), seed=0), "A", "test"))) <= 1


def test_only_the_domain_without_test_pictures_gives_some_up(tmp_path: Path) -> None:
    raw = fill(tmp_path, trainA=numbered(10), trainB=numbered(10), testB=["own.png"])
    pictures = find(raw, Division(test_fraction=0.2), seed=0)
    counts = [len(names(pictures, *which)) for which in (("A", "train"), ("A", "test"), ("B", "train"), ("B", "test"))]
    assert counts == [8, 2, 10, 1]


@pytest.mark.parametrize("train_B", [[], ["only.png"]])
def test_a_training_set_without_pictures_is_an_error_that_names_it(tmp_path: Path, train_B: list[str]) -> None:
    with pytest.raises(UserError, match="trainB has no pictures left"):
        find(fill(tmp_path, trainA=numbered(4), trainB=train_B), Division(test_fraction=0.5), seed=0)


def pairs_of(tmp_path: Path, test_A: list[str], test_B: list[str]) -> list[Picture]:
    raw = fill(tmp_path, trainA=["1.png"], trainB=["2.png"], testA=test_A, testB=test_B)
    return find(raw, Division(), seed=0)


def test_pairs_may_differ_in_suffix_and_training_pictures_need_none(tmp_path: Path) -> None:
    check_pairs(pairs_of(tmp_path, ["x.png", "d/y.JPG"], ["x.jpg", "d/y.png"]))


def test_every_picture_without_counterpart_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"only one of testA and testB has: a, d/b, z;"):
        check_pairs(pairs_of(tmp_path, ["both.png", "z.png", "d/b.png"], ["both.png", "a.png"]))


def test_test_pictures_that_share_a_name_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="share a name but for the suffix: x;"):
        check_pairs(pairs_of(tmp_path, ["x.png", "x.jpg"], ["x.png"]))


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_picture_that_cannot_be_used_is_not_held_out(tmp_path: Path, split: str) -> None:
    raw = fill(tmp_path, trainA=numbered(10), trainB=numbered(10))
    division = Division(test_fraction=0.1, val_fraction=0.1)
    chosen = next(picture for picture in find(raw, division, 0) if picture.split == split)
    others = find(raw, division, 0, usable=lambda picture: picture.name != chosen.name)
    assert split_of(others, "A")[chosen.name] == "train"
    for domain in ("A", "B"):
        assert Counter(split_of(others, domain).values()) == {"train": 8, "val": 1, "test": 1}


# --- direction --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own_tests", [True, False])
def test_b_to_a_exchanges_the_sets_hold_outs_and_names_and_nothing_else(tmp_path: Path, own_tests: bool) -> None:
    raw = fill(tmp_path, trainA=[f"a{name}" for name in numbered(9)], trainB=[f"b{name}" for name in numbered(14)])
    if own_tests:
        fill(raw, testA=["x.png", "d/y.jpg"], testB=["x.jpg", "d/y.png"])
    options = {"test_fraction": 0.3, "val_fraction": 0.2}
    forth = find(raw, Division("AtoB", **options), seed=1)
    back = find(raw, Division("BtoA", **options), seed=1)
    assert all(picture.path.relative_to(raw).parts[0][-1] == picture.domain for picture in forth)
    turned = {"A": "B", "B": "A"}
    assert sorted((turned[p.domain], p.split, p.path, p.name) for p in forth) == sorted(
        (p.domain, p.split, p.path, p.name) for p in back
    )
    assert [p.domain for p in back] == sorted(p.domain for p in back)  # A first, as ever
    assert all(name.startswith("b") for name in names(back, "A", "train"))
    if own_tests:
        check_pairs(back)
        assert names(back, "A", "test") == ["d/y.png", "x.jpg"]


def test_errors_in_direction_b_to_a_name_the_folder_that_lacks_pictures(tmp_path: Path) -> None:
    raw = fill(tmp_path, trainA=["only.png"], trainB=numbered(4))
    with pytest.raises(UserError, match="trainA has no pictures left"):
        find(raw, Division("BtoA"), seed=0)


# --- limit ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 50])
def test_a_limit_takes_the_first_of_each_set_by_name(tmp_path: Path, limit: int) -> None:
    """The walkthrough's sorted(glob("*.jpg"))[:50], in each of the four folders."""
    sets = {
        "trainA": ["b.jpg", "a.jpg", "d/a.jpg", "10.jpg", "9.jpg"],
        "trainB": ["z.jpg", "Y.jpg", "x.jpg"],
        "testA": ["2.jpg", "1.jpg"],
        "testB": ["2.png", "1.png", "0.png", "3.png"],
    }
    raw = fill(tmp_path, **sets)
    pictures = find(raw, Division(limit=limit), seed=0)
    for name, files in sets.items():
        assert names(pictures, name[-1], name[:-1]) == sorted(files)[:limit]


def test_no_limit_takes_all_and_a_limit_comes_before_holding_out(tmp_path: Path) -> None:
    raw = fill(tmp_path, trainA=numbered(30), trainB=numbered(7))
    assert len(find(raw, Division(limit=None), seed=0)) == 37
    limited = find(raw, Division(limit=10, test_fraction=0.3), seed=0)
    assert sorted(split_of(limited, "A")) == numbered(10)
    assert Counter(split_of(limited, "A").values()) == {"train": 7, "test": 3}
    assert Counter(split_of(limited, "B").values()) == {"train": 5, "test": 2}
    alone = find(fill(tmp_path / "alone", trainA=numbered(10), trainB=numbered(7)), Division(test_fraction=0.3), seed=0)
    assert split_of(limited, "A") == split_of(alone, "A")  # the rest of the folder plays no part


# --- validation -------------------------------------------------------------------------------------------------------


def test_there_is_no_validation_split_unless_asked_for(tmp_path: Path) -> None:
    raw = fill(tmp_path, trainA=numbered(30), trainB=numbered(30))
    assert {picture.split for picture in find(raw, Division(), seed=0)} == {"train", "test"}


@pytest.mark.parametrize("own_tests", [True, False])
@pytest.mark.parametrize(("count", "fraction", "held"), [(12, 0.01, 1), (12, 0.25, 3), (33, 0.5, 16)])
def test_validation_pictures_come_from_what_the_test_split_leaves(
    tmp_path: Path, own_tests: bool, count: int, fraction: float, held: int
) -> None:
    test = ["t0.png", "t1.png"]
    own = {"testA": test, "testB": test} if own_tests else {}
    train = numbered(count if own_tests else count + 2)  # two of them become the test split
    raw = fill(tmp_path, trainA=train, trainB=train, **own)
    division = Division(test_fraction=2 / len(train), val_fraction=fraction)
    pictures = find(raw, division, seed=0)
    tests = {domain: names(find(raw, Division(test_fraction=2 / len(train)), seed=0), domain, "test") for domain in "AB"}
    for domain in ("A", "B"):
        sets = {split: names(pictures, domain, split) for split in ("train", "val", "test")}
        assert len(sets["val"]) == held
        assert sets["test"] == tests[domain]  # holding out for validation does not change the test split
        assert sorted(chain(*sets.values())) == sorted(train + (test if own_tests else []))  # so they are disjoint
        assert sets["val"] == sorted(sets["val"])
        for picture in pictures:
            assert picture.path.name == picture.name
            assert picture.path.parent == raw / f"{'test' if picture.name.startswith('t') else 'train'}{picture.domain}"


def test_validation_pictures_depend_on_seed_and_names_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = fill(tmp_path, trainA=numbered(30), trainB=numbered(30), testA=["x.png"], testB=["x.png"])
    division = Division(val_fraction=0.3)
    first = find(raw, division, seed=0)
    assert names(first, "A", "val") == names(first, "B", "val")  # equal names
    assert names(first, "A", "val") != names(find(raw, division, seed=1), "A", "val")
    other = fill(tmp_path / "elsewhere", trainA=numbered(30), trainB=numbered(30), testA=["y.png"], testB=["z.png"])
    assert names(find(other, division, seed=0), "A", "val") == names(first, "A", "val")
    list_in_order(monkeypatch, turned=True)
    assert find(raw, division, seed=0) == first


def test_test_and_validation_splits_are_drawn_apart(tmp_path: Path) -> None:
    """Else validation pictures would be the test pictures of a slightly larger test_fraction."""
    raw = fill(tmp_path, trainA=numbered(60), trainB=numbered(60))
    val = names(find(raw, Division(test_fraction=0.1, val_fraction=0.3), seed=0), "A", "val")
    more = names(find(raw, Division(test_fraction=0.4), seed=0), "A", "test")
    assert not set(val) <= set(more)


@pytest.mark.parametrize("seed", range(12))
def test_a_new_picture_moves_no_other_but_those_whose_place_it_takes(tmp_path: Path, seed: int) -> None:
    raw = fill(tmp_path, trainA=numbered(40), trainB=numbered(40))
    division = Division(test_fraction=0.2, val_fraction=0.1875)  # 8 of 40, and of 41; 6 of 32, and of 33
    before = split_of(find(raw, division, seed), "A")
    fill(raw, trainA=["new.png"])
    after = split_of(find(raw, division, seed), "A")
    moved = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    taken = after["new.png"]
    assert len(moved) <= {"train": 0, "val": 1, "test": 2}[taken]  # a displaced test picture may displace one of val
    assert Counter(after.values()) == Counter(train=27, val=6, test=8)


def test_what_validation_leaves_must_not_be_nothing(tmp_path: Path) -> None:
    raw = fill(tmp_path, trainA=numbered(2), trainB=numbered(9))
    with pytest.raises(UserError, match="trainA has no pictures left to train on once others are held out; add some"):
        find(raw, Division(val_fraction=0.1), seed=0)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_a_validation_set_of_its_own_is_taken_whole_and_no_other_set_changes(tmp_path: Path, direction: Any) -> None:
    raw = fill(tmp_path, trainA=numbered(9), trainB=numbered(14), testA=["t.png"], testB=["t.png"])
    without = find(raw, Division(direction), seed=0)
    fill(raw, valA=["y.png", "d/x.png"], valB=["y.jpg", "d/x.png", "z.png"])
    pictures = find(raw, Division(direction), seed=0)
    assert [picture for picture in pictures if picture.split != "val"] == without
    val = {domain: [p for p in pictures if (p.split, p.domain) == ("val", domain)] for domain in "AB"}
    of_A, of_B = ("A", "B") if direction == "AtoB" else ("B", "A")
    assert [p.name for p in val[of_A]] == ["d/x.png", "y.png"]
    assert [p.name for p in val[of_B]] == ["d/x.png", "y.jpg", "z.png"]
    assert {p.path.relative_to(raw).parts[0] for p in val[of_A]} == {"valA"}
    assert len(find(raw, Division(direction, limit=1), seed=0)) == 6
    with pytest.raises(UserError, match="only one of valA and valB has: z;"):
        check_pairs(pictures, "val")
    check_pairs(pictures)


def test_a_validation_set_and_a_share_to_hold_out_contradict_one_another(tmp_path: Path) -> None:
    raw = fill(tmp_path, trainA=numbered(9), trainB=numbered(9), valA=["x.png"], valB=["y.png"])
    with pytest.raises(
        UserError, match=r"dataset.val_fraction is 0.1 .* has validation pictures of its own .* to 0, or take"
    ):
        find(raw, Division(val_fraction=0.1), seed=0)


def test_a_validation_set_of_one_domain_only_is_refused_and_an_empty_folder_is_none(tmp_path: Path) -> None:
    raw = fill(tmp_path, trainA=numbered(9), trainB=numbered(9), valB=["x.png"])
    (raw / "valA").mkdir()
    with pytest.raises(UserError, match="valB holds validation pictures, but the other domain has none"):
        find(raw, Division(), seed=0)
    (raw / "valB/x.png").unlink()
    assert {picture.split for picture in find(raw, Division(val_fraction=0.1), seed=0)} == {"train", "val", "test"}
