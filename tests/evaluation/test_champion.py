"""The champion gives way only to a model that is better by more than the error, scored alike."""

from dataclasses import replace

import pytest

from cyclegan.evaluation.certainty import NORMAL, Score
from cyclegan.evaluation.champion import decide, mean_of_directions, way
from cyclegan.evaluation.outcome import Outcome

KID = "kid_x1000_test"


def outcome(value: float, se: float | None = 3.0, metric: str = KID, **changes: object) -> Outcome:
    """The score is `value` in the mean; the two directions lie 2 apart, and share the error."""
    scores = {"A_to_B": {metric: Score(value - 1, se)}, "B_to_A": {metric: Score(value + 1, se)}}
    made = Outcome(scores, {"kid_subsets": "50"}, {"test_A": 4, "test_B": 4}, "t", "d", "ema")
    return replace(made, **changes)  # type: ignore[arg-type]


ERROR = NORMAL * (2 * (3.0**2 + 3.0**2) / 4) ** 0.5  # of the difference of two means of two directions: 5.88


def test_the_score_is_the_mean_of_both_directions_and_its_error_that_of_a_mean() -> None:
    scores = {"A_to_B": {KID: Score(10.0, 3.0)}, "B_to_A": {KID: Score(20.0, 4.0)}}
    found = mean_of_directions(replace(outcome(0), scores=scores), KID)
    assert found is not None
    assert (found.value, found.se) == (15.0, 2.5)
    assert mean_of_directions(outcome(0, None), KID) == Score(0.0)
    assert mean_of_directions(replace(outcome(0), scores={**scores, "B_to_A": {}}), KID) is None


@pytest.mark.parametrize(
    ("new", "champion", "metric", "alias", "words"),
    [
        (outcome(50), None, KID, "champion", "there was no champion to beat"),
        (outcome(50, None), None, KID, "champion", "there was no champion to beat"),
        (outcome(50), outcome(50 + ERROR + 0.1), KID, "champion", "more than the error of the difference, 5.88"),
        (outcome(50), outcome(50 + ERROR - 0.1), KID, "challenger", "no difference that the test set can show"),
        (outcome(50), outcome(50), KID, "challenger", "no difference that the test set can show"),
        (outcome(50), outcome(50 - ERROR - 0.1), KID, "challenger", "5.98 worse than the champion's (version 3) 44.02"),
        (outcome(0.9, 0.01, "pair_ssim"), outcome(0.8, 0.01, "pair_ssim"), "pair_ssim", "champion", "0.1 better than"),
        (outcome(0.8, 0.01, "pair_ssim"), outcome(0.9, 0.01, "pair_ssim"), "pair_ssim", "challenger", "0.1 worse than"),
        (outcome(1, None), outcome(90), KID, "challenger", "it has no standard error, so that no difference can be shown"),
        (outcome(1), outcome(90, None), KID, "challenger", "the champion's has no standard error"),
        (
            outcome(1),
            outcome(90, test_digest="u"),
            KID,
            "challenger",
            "cannot be compared with the champion, version 3: the",
        ),
        (outcome(1), outcome(90, protocol={"kid_subsets": "5"}), KID, "challenger", "kid_subsets is 50 against 5"),
        (
            outcome(1),
            outcome(90, pictures={"test_A": 9, "test_B": 4}),
            KID,
            "challenger",
            "4 and 4 test pictures against 9",
        ),
        (outcome(1), outcome(90, metric="pair_l1"), KID, "challenger", "the champion, version 3, has no such score"),
        (outcome(1), Outcome({}, {}, {}, None, None, ""), KID, "challenger", "cannot be compared with the champion"),
    ],
)
def test_who_is_the_champion(new: Outcome, champion: Outcome | None, metric: str, alias: str, words: str) -> None:
    decision = decide(new, champion, metric, "version 3")
    assert decision.alias == alias
    assert words in decision.reason
    assert decision.reason.startswith(f"{metric} is {mean_of_directions(new, metric).value:.4g}")  # type: ignore[union-attr]
    assert "\n" not in decision.reason


def test_the_numbers_of_a_decision_stand_beside_it() -> None:
    decision = decide(outcome(50), outcome(60), KID, "version 3")
    assert decision.better_by == 10.0
    assert decision.error == pytest.approx(ERROR)
    assert (decision.score.value, decision.champions and decision.champions.value) == (50.0, 60.0)


@pytest.mark.parametrize(
    ("metric", "better"),
    [(KID, "lower"), ("pair_psnr", "higher"), ("diversity", None), ("nonsense", None), ("fid_clean_resnet50_all", "lower")],
)
def test_scores_without_a_better_way_decide_nothing(metric: str, better: str | None) -> None:
    assert way(metric) == better
