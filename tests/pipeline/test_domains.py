"""What evaluation takes from a prepared folder, and which weights it takes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from cyclegan.data.store import Store
from cyclegan.errors import UserError
from cyclegan.evaluation.features import FeatureNetwork, Resizing
from cyclegan.evaluation.sets import SetScorer
from cyclegan.levels import from_pixels, to_uint8
from cyclegan.pipeline import paths
from cyclegan.pipeline.domains import RealPictures
from cyclegan.pipeline.evaluate import _compared
from cyclegan.pipeline.trained import choose_weights

CPU = torch.device("cpu")


class Counted:
    """A scorer of sets whose network counts the pictures it is shown."""

    def __init__(self) -> None:
        self.shown = 0
        self.scorer = SetScorer(["fid_clean"], FeatureNetwork("", "digest", 8, CPU, self.run))

    def run(self, levels: Tensor, _: Resizing) -> Tensor:
        self.shown += len(levels)
        return levels.flatten(1)


def test_a_domain_is_its_test_set_with_the_training_sets_mean_colour(prepared: Path, tmp_path: Path) -> None:
    store, counted = Store(prepared), Counted()
    test = store.open("test", "B")
    found = RealPictures(store, counted.scorer, 3, tmp_path).domain("B", 2, against_all=False)
    assert found.files == test.files
    assert found.real.shape == (4, 3, 32, 32)
    assert found.features["clean"].shape == (4, 192)
    assert not found.all_features
    torch.testing.assert_close(to_uint8(found.real)[2], torch.from_numpy(test[2].copy()))
    train = from_pixels(store.open("train", "B").stack(0, 99))
    torch.testing.assert_close(found.mean_colour, train.mean((0, 2, 3), keepdim=True), atol=1e-5, rtol=1e-4)


def test_the_floor_is_as_many_training_pictures_as_are_translated(prepared: Path, tmp_path: Path) -> None:
    store = Store(prepared)
    pictures = RealPictures(store, Counted().scorer, 3, tmp_path)
    reference = store.reference("A")
    assert reference is not None
    found = pictures.domain("A", 2, against_all=False)
    assert found.floor is not None
    first_and_last = from_pixels(reference.stack(0, len(reference))[[0, -1]])
    assert torch.equal(found.floor, first_and_last)
    assert found.floor_features["clean"].shape == (2, 192)
    every = pictures.domain("A", 1000, against_all=True)
    assert every.floor is not None
    assert len(every.floor) == len(reference)
    assert len(every.all_features["clean"]) == len(every.real) + len(reference)
    assert torch.equal(every.all_features["clean"][len(every.real) :], every.floor_features["clean"])


def test_scores_against_all_pictures_need_the_training_pictures(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(prepared)
    monkeypatch.setattr(Store, "reference", lambda *_: None)
    pictures = RealPictures(store, Counted().scorer, 3, tmp_path)
    assert pictures.domain("A", 2, against_all=False).floor is None
    with pytest.raises(UserError, match=r"against_all is true .* set preprocess.reference_set to true, or"):
        pictures.domain("A", 2, against_all=True)


def test_features_are_computed_once_for_equal_pictures_and_again_for_others(prepared: Path, tmp_path: Path) -> None:
    store, counted = Store(prepared), Counted()
    for _ in range(2):
        first = RealPictures(store, counted.scorer, 3, tmp_path).domain("A", 2, against_all=False)
    assert counted.shown == 4 + 2
    RealPictures(store, counted.scorer, 3, tmp_path).domain("A", 3, against_all=False)
    assert counted.shown == 4 + 2 + 3
    other = SetScorer(["fid_clean"], FeatureNetwork("", "another digest", 8, CPU, counted.run))
    again = RealPictures(store, other, 3, tmp_path).domain("A", 2, against_all=False)
    assert counted.shown == 4 + 2 + 3 + 4 + 2
    assert torch.equal(again.features["clean"], first.features["clean"])


@pytest.mark.parametrize(
    ("kept", "wanted", "expected"),
    [
        (("raw",), "auto", {"model": "raw"}),
        (("raw", "ema"), "auto", {"model": "ema"}),
        (("raw", "ema"), "raw", {"model": "raw"}),
        (("raw", "ema", "best"), "auto", {"model": "best", "last": "raw", "last_ema": "ema"}),
        (("raw", "best"), "auto", {"model": "best", "last": "raw"}),
        (("raw", "ema", "best"), "best", {"model": "best", "last": "raw", "last_ema": "ema"}),
        (("raw", "ema", "best"), "ema", {"model": "ema", "best": "best", "last": "raw"}),
        (("raw", "ema", "best"), "raw", {"model": "raw", "best": "best", "last_ema": "ema"}),
    ],
)
def test_the_best_are_taken_and_the_last_scored_beside_them(
    kept: tuple[str, ...], wanted: str, expected: dict[str, str], tmp_path: Path
) -> None:
    for weights in kept:
        paths.generator(tmp_path, "G_AB", weights).mkdir()
    assert choose_weights(tmp_path, wanted) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "scored"),
    [
        (("model", "last", "last_ema"), ["model", "last_ema"]),
        (("model", "last"), ["model", "last"]),
        (("model", "best", "last_ema"), ["model", "best", "last_ema"]),
    ],
)
def test_the_last_weights_are_not_scored_where_their_averages_are(found: tuple[str, ...], scored: list[str]) -> None:
    assert list(_compared(dict.fromkeys(found, ""))) == scored


@pytest.mark.parametrize(("wanted", "why"), [("ema", "no averages"), ("best", "none chosen by validation")])
def test_weights_that_were_not_kept_cannot_be_scored(wanted: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "G_AB").mkdir()
    with pytest.raises(UserError, match=rf"evaluate\.weights is {wanted} in .* holds {why}.*; set it to auto"):
        choose_weights(tmp_path, wanted)  # type: ignore[arg-type]
