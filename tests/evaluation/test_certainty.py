"""One rule says what a difference between scores shows: here it is held to its numbers."""

import math

import pytest

from cyclegan.evaluation.certainty import NORMAL, Score, difference, standings, with_error


def test_a_difference_is_shown_where_it_is_more_than_its_error() -> None:
    one, other = Score(10.0, 3.0), Score(20.0, 4.0)
    found = difference(one, other, "lower")
    assert found.better_by == 10.0
    assert found.error == pytest.approx(1.959964 * 5.0)
    assert found.shown
    assert difference(other, one, "lower").better_by == -10.0
    assert difference(other, one, "higher").better_by == 10.0
    assert not difference(Score(10.3, 3.0), other, "lower").shown
    unknown = difference(Score(1.0), other, "lower")
    assert (unknown.better_by, unknown.error, unknown.shown) == (19.0, None, False)
    assert not difference(Score(1.0, 0.0), Score(1.0, 0.0), "lower").shown


def test_the_known_error_of_a_difference_takes_the_place_of_independent_ones() -> None:
    one, other = Score(10.0, 3.0), Score(12.0, 4.0)
    assert not difference(one, other, "lower").shown
    found = difference(one, other, "lower", se=1.0)
    assert (found.error, found.shown) == (NORMAL, True)
    assert difference(Score(10.0), Score(12.0), "lower", se=1.0).shown  # whatever else is not known


@pytest.mark.parametrize(
    ("scores", "better", "expected"),
    [
        ([Score(1.0, 0.1), Score(1.1, 0.1), Score(2.0, 0.1)], "lower", ["best", "alike", ""]),
        ([Score(1.0, 0.1), Score(1.1, 0.1), Score(2.0, 0.1)], "higher", ["", "", "best"]),
        ([Score(1.0, 0.1), None, Score(1.0, 0.1)], "lower", ["best", "", "alike"]),
        ([Score(1.0), Score(1.001), Score(1.0)], "lower", ["best", "", "alike"]),  # without errors equal values only
        ([Score(1.0, 0.1), Score(1.0, 0.1)], None, ["", ""]),
        ([Score(1.0, 0.1), None], "lower", ["", ""]),  # nothing to be better than
        ([], "lower", []),
    ],
)
def test_the_best_stands_out_and_what_is_not_shown_to_differ_is_alike(
    scores: list[Score | None], better: str, expected: list[str]
) -> None:
    assert standings(scores, better) == expected  # type: ignore[arg-type]


def test_standings_go_by_the_errors_of_differences_where_they_are_known() -> None:
    scores = [Score(1.0, 0.5), Score(1.1, 0.5)]
    assert standings(scores, "lower") == ["best", "alike"]
    assert standings(scores, "lower", lambda one, other: 0.01 if (one, other) == (0, 1) else None) == ["best", ""]


def test_an_interval_follows_from_the_error_where_it_is_not_given() -> None:
    found = with_error(10.0, 2.0)
    assert (found.low, found.high) == pytest.approx((10 - 2 * NORMAL, 10 + 2 * NORMAL))
    assert with_error(10.0, 2.0, 1.0, 20.0) == Score(10.0, 2.0, 1.0, 20.0)
    assert with_error(10.0, None) == Score(10.0)


def test_the_middle_of_a_normal_distribution_is_meant() -> None:
    assert math.erf(NORMAL / math.sqrt(2)) == pytest.approx(0.95, abs=1e-7)
