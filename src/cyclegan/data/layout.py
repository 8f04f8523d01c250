"""Which raw picture belongs to which domain and split: finds them, holds test pictures out, pairs test sets."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal

from cyclegan import images, randomness
from cyclegan.errors import UserError

Domain = Literal["A", "B"]
Split = Literal["train", "val", "test", "reference"]  # reference: training pictures as the scores of sets need them
DOMAINS: tuple[Domain, Domain] = ("A", "B")
RAW_SETS = ("trainA", "trainB", "valA", "valB", "testA", "testB")  # folders of raw pictures, whichever domain they are for


@dataclass(frozen=True)
class Division:
    """How raw pictures are divided into sets.

    Attributes:
        direction: AtoB, or BtoA to exchange the domains: raw trainB is then domain A's.
        limit: at most so many pictures of each raw set, the first by name; None for all.
        test_fraction: share of a training set to hold out where its test set is missing.
        val_fraction: share of what is then left to hold out for validation; 0 for none, or where there is a validation set.
    """

    direction: Literal["AtoB", "BtoA"] = "AtoB"
    limit: int | None = None
    test_fraction: float = 0.1
    val_fraction: float = 0.0


@dataclass(frozen=True)
class Picture:
    """One raw picture: its domain, its split, its file, and its name within its domain's folder, as `images.printable`."""

    domain: Domain
    split: Split
    path: Path
    name: str

    @property
    def pair(self) -> str:
        """What a true pair has in common: the name without its suffix."""
        return str(PurePosixPath(self.name).with_suffix(""))


def find(raw: Path, division: Division, seed: int, usable: Callable[[Picture], bool] = lambda _: True) -> list[Picture]:
    """Every picture below raw/{trainA,trainB,valA,valB,testA,testB} that `division` takes, sorted by name within its set.

    Which pictures are held out depends on the seed and the names alone, and on `usable`, so that a bad picture is not all
    there is to judge by; at least one is.

    Raises:
        UserError: a training set that is empty, or would be once others are held out; one validation set without the other,
            or both and a share to hold out as well; a folder that cannot be listed.
    """
    pictures: list[Picture] = []
    own_val = _has_validation(raw, division)
    for domain in DOMAINS:
        folder = domain if division.direction == "AtoB" else {"A": "B", "B": "A"}[domain]
        train = _below(raw / f"train{folder}", domain, "train")[: division.limit]
        test = _below(raw / f"test{folder}", domain, "test")[: division.limit]
        val = _below(raw / f"val{folder}", domain, "val")[: division.limit] if own_val else []
        if not test:
            train, test = _hold_out(train, "test", division.test_fraction, seed, usable)
        if division.val_fraction > 0:
            train, val = _hold_out(train, "val", division.val_fraction, seed, usable)
        if not train:
            raise UserError(f"{raw}/train{folder} has no pictures left to train on once others are held out; add some")
        pictures += train + val + test
    return pictures


def _has_validation(raw: Path, division: Division) -> bool:
    there = [name for name in ("valA", "valB") if images.below(raw / name)]
    if len(there) == 1:
        raise UserError(
            f"{raw}/{there[0]} holds validation pictures, but the other domain has none; add {raw}/valA or {raw}/valB, "
            f"whichever is missing, or take {there[0]} away"
        )
    if there and division.val_fraction > 0:
        raise UserError(
            f"dataset.val_fraction is {division.val_fraction} in params.yaml, but {raw} has validation pictures of its own "
            f"in valA and valB; set dataset.val_fraction to 0, or take those away"
        )
    return bool(there)


def _below(folder: Path, domain: Domain, split: Split) -> list[Picture]:
    found = [(path, images.printable(path.relative_to(folder).as_posix())) for path in images.below(folder)]
    return sorted((Picture(domain, split, path, name) for path, name in found), key=lambda picture: picture.name)


def _hold_out(
    train: list[Picture], split: Split, fraction: float, seed: int, usable: Callable[[Picture], bool]
) -> tuple[list[Picture], list[Picture]]:
    if not train:
        return [], []
    by_name = {picture.name: picture for picture in train}
    stream = {"test": "hold out", "val": "validation"}[split]
    candidates = (name for name in randomness.hash_order(seed, stream, by_name) if usable(by_name[name]))
    held = set(islice(candidates, max(1, round(fraction * len(train)))))
    return [p for p in train if p.name not in held], [replace(p, split=split) for p in train if p.name in held]


def check_pairs(pictures: list[Picture], split: Split = "test") -> None:
    """Make sure that testA and testB, or valA and valB, hold the same names, suffixes aside.

    Raises:
        UserError: names every picture without its counterpart, or two of one set that share a name.
    """
    names = {domain: [p.pair for p in pictures if p.split == split and p.domain == domain] for domain in DOMAINS}
    doubled = sorted({name for members in names.values() for name, count in Counter(members).items() if count > 1})
    alone = sorted(set(names["A"]) ^ set(names["B"]))
    what = {"test": "test", "val": "validation"}.get(split, split)
    if doubled:
        raise UserError(
            f"{what} pictures share a name but for the suffix: {', '.join(doubled)}; rename them, so that pairs are clear"
        )
    if alone:
        raise UserError(
            f"dataset.paired_test is true in params.yaml, but only one of {split}A and {split}B has: {', '.join(alone)}; "
            f"add their counterparts or set dataset.paired_test to false"
        )
