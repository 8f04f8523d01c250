"""What an evaluation came to is read as it was written, and compared only with what was scored alike."""

from dataclasses import replace
from typing import Any

import pytest

from cyclegan.evaluation.certainty import Score
from cyclegan.evaluation.outcome import Outcome, obstacles, read

EVALUATE: dict[str, Any] = {
    "weights": "ema",
    "pictures": {"test_A": 4, "test_B": 5},
    "protocol": {"kid": {"subsets": 50}, "resizing": "bicubic", "test_digest": "t" * 64},
    "A_to_B": {"model": {"pair_l1": 0.5, "cycle_psnr": None, "fid_clean_test": 30.0}, "copy_input": {"pair_l1": 0.1}},
    "B_to_A": {"model": {"pair_l1": 0.25}},
}
TABLE = """\
direction,subject,metric,value,se,low,high,pictures
A_to_B,model,pair_l1,0.5,0.1,0.35,0.75,4
A_to_B,copy_input,pair_l1,0.1,,,,4
A_to_B,model,fid_clean_test,30,,,,4
B_to_A,model,pair_l1,0.25,0.01,,,5
"""
OUTCOME = read(EVALUATE, TABLE, "d" * 64, {})


def test_scores_of_the_exported_generators_are_read_with_their_errors() -> None:
    assert OUTCOME.scores["A_to_B"] == {"pair_l1": Score(0.5, 0.1, 0.35, 0.75), "fid_clean_test": Score(30.0)}
    back = OUTCOME.scores["B_to_A"]["pair_l1"]
    assert (back.value, back.se) == (0.25, 0.01)
    assert (back.low, back.high) == pytest.approx((0.25 - 0.0196, 0.25 + 0.0196), abs=1e-5)
    assert OUTCOME.protocol == {"kid.subsets": "50", "resizing": "bicubic"}
    assert (OUTCOME.test_digest, OUTCOME.data_digest, OUTCOME.weights) == ("t" * 64, "d" * 64, "ema")
    assert OUTCOME.pictures == {"test_A": 4, "test_B": 5}


def test_an_old_evaluation_has_values_alone_and_takes_its_settings_from_elsewhere() -> None:
    old = {name: value for name, value in EVALUATE.items() if name != "protocol"}
    outcome = read(old, None, None, {"evaluate.kid_subsets": "50"})
    assert outcome.scores["A_to_B"]["pair_l1"] == Score(0.5)
    assert outcome.protocol == {"evaluate.kid_subsets": "50"}
    assert outcome.test_digest is None


@pytest.mark.parametrize("broken", [{}, {"A_to_B": {}, "B_to_A": {}}, EVALUATE | {"A_to_B": {"model": [1]}}])
def test_what_is_no_evaluation_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError, TypeError, AttributeError)):
        read(broken, TABLE, None, {})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"weights": "raw"}, []),
        ({"data_digest": "e" * 64}, []),  # the training pictures may be others
        ({"test_digest": "u" * 64}, ["the test pictures are others (tttttttt, uuuuuuuu)"]),
        ({"test_digest": None}, []),  # all prepared pictures are the same ones
        ({"test_digest": None, "data_digest": "d" * 36}, []),  # as an MLflow run keeps it
        ({"test_digest": None, "data_digest": "e" * 64}, ["the prepared pictures are others (dddddddd, eeeeeeee)"]),
        ({"test_digest": None, "data_digest": None}, ["which test pictures were scored is not recorded of both"]),
        ({"pictures": {"test_A": 4, "test_B": 4}}, ["4 and 5 test pictures against 4 and 4"]),
        ({"pictures": {}}, []),
        (
            {"protocol": {"kid.subsets": "10", "network": "x", "resizing": "bicubic"}},
            ["kid.subsets is 50 against 10", "network is not recorded against x"],
        ),
        (
            {"protocol": {"evaluate.kid_subsets": "50"}},
            ["the settings of their scores are not recorded alike: different v"],
        ),
        (
            {"test_digest": "u" * 64, "protocol": {"kid.subsets": "5", "resizing": "bicubic"}},
            ["the test pictures are others", "kid.subsets is 50 against 5"],
        ),
    ],
)
def test_scores_are_comparable_where_pictures_and_settings_are_the_same(change: dict[str, Any], words: list[str]) -> None:
    found = obstacles(OUTCOME, replace(OUTCOME, **change))
    assert len(found) == len(words)
    assert all(text.startswith(word) for text, word in zip(found, words, strict=True))
    assert bool(obstacles(replace(OUTCOME, **change), OUTCOME)) == bool(words)


def test_two_evaluations_of_which_nothing_is_recorded_are_not_comparable() -> None:
    empty = Outcome({}, {}, {}, None, None, "")
    assert obstacles(empty, empty)
