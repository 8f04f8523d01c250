"""Which raw picture belongs to which domain and split: finds them, holds test pictures out, pairs test sets."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal

from cyclegan import images, randomness
from cyclegan.errors import UserError

Domain = Literal["A", "B"]
Split = Literal["train", "test"]
DOMAINS: tuple[Domain, Domain] = ("A", "B")
SPLITS: tuple[Split, Split] = ("train", "test")


@dataclass(frozen=True)
class Picture:
    """One raw picture: its domain, its split, its file, and its name within its domain's folder."""

    domain: Domain
    split: Split
    path: Path
    name: str

    @property
    def pair(self) -> str:
        """What a true pair has in common: the name without its suffix."""
        return str(PurePosixPath(self.name).with_suffix(""))


def find(raw: Path, test_fraction: float, seed: int, usable: Callable[[Picture], bool] = lambda _: True) -> list[Picture]:
    """Every picture below raw/{trainA,trainB,testA,testB}, sorted by name within its set.

    Where a domain has no test pictures, `test_fraction` of its training pictures, at least one, are held out; which ones
    depends on the seed and the names alone, and on `usable`, so that a bad picture is not all there is to judge by.

    Raises:
        UserError: a training set that is empty, or would be once its test set is held out.
    """
    pictures: list[Picture] = []
    for domain in DOMAINS:
        train = _below(raw / f"train{domain}", domain, "train")
        test = _below(raw / f"test{domain}", domain, "test")
        if not test:
            train, test = _hold_out(train, test_fraction, seed, usable)
        if not train:
            raise UserError(f"{raw}/train{domain} has no pictures left to train on; add some (at least two a domain)")
        pictures += train + test
    return pictures


def _below(folder: Path, domain: Domain, split: Split) -> list[Picture]:
    found = [Picture(domain, split, path, path.relative_to(folder).as_posix()) for path in images.below(folder)]
    return sorted(found, key=lambda picture: picture.name)


def _hold_out(
    train: list[Picture], fraction: float, seed: int, usable: Callable[[Picture], bool]
) -> tuple[list[Picture], list[Picture]]:
    if not train:
        return [], []
    by_name = {picture.name: picture for picture in train}
    candidates = (name for name in randomness.hash_order(seed, "hold out", by_name) if usable(by_name[name]))
    held = set(islice(candidates, max(1, round(fraction * len(train)))))
    test = [Picture(p.domain, "test", p.path, p.name) for p in train if p.name in held]
    return [p for p in train if p.name not in held], test


def check_pairs(pictures: list[Picture]) -> None:
    """Make sure that testA and testB hold the same names, suffixes aside.

    Raises:
        UserError: names every picture without its counterpart, or two of one set that share a name.
    """
    names = {domain: [p.pair for p in pictures if p.split == "test" and p.domain == domain] for domain in DOMAINS}
    doubled = sorted({name for members in names.values() for name, count in Counter(members).items() if count > 1})
    alone = sorted(set(names["A"]) ^ set(names["B"]))
    if doubled:
        raise UserError(
            f"test pictures share a name but for the suffix: {', '.join(doubled)}; rename them, so that pairs are clear"
        )
    if alone:
        raise UserError(
            f"dataset.paired_test is true in params.yaml, but only one of testA and testB has: {', '.join(alone)}; "
            f"add their counterparts or set dataset.paired_test to false"
        )
