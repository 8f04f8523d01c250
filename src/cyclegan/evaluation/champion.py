"""When a new model takes the place of the best one so far: only where the test pictures show that it is better."""

import math
from dataclasses import dataclass
from typing import Literal

from cyclegan.evaluation import catalogue
from cyclegan.evaluation.certainty import Score, difference, with_error
from cyclegan.evaluation.outcome import Outcome, obstacles

Alias = Literal["champion", "challenger"]


@dataclass(frozen=True)
class Decision:
    """What becomes of a model, and why.

    Attributes:
        alias: its place.
        reason: for people, in one sentence or two.
        score: its own, the mean of both directions.
        champions: that of the champion it was compared with; None where there was none, or nothing to compare.
        better_by: how much better it is; None where they were not compared.
        error: half of the 95 % interval of that difference; None where they were not compared.
    """

    alias: Alias
    reason: str
    score: Score
    champions: Score | None = None
    better_by: float | None = None
    error: float | None = None


def way(metric: str) -> Literal["lower", "higher"] | None:
    """Which values of a score are better; None where there is no such score, or neither way is better by itself."""
    try:
        return catalogue.metric(metric).better
    except KeyError:
        return None


def mean_of_directions(outcome: Outcome, metric: str) -> Score | None:
    """The mean of a score over both directions, whose errors count as independent; None where a direction lacks it."""
    both = [own[metric] for own in outcome.scores.values() if metric in own]
    if len(both) != 2:
        return None
    errors = [score.se for score in both if score.se is not None]
    return with_error(sum(score.value for score in both) / 2, math.hypot(*errors) / 2 if len(errors) == 2 else None)


def decide(new: Outcome, champion: Outcome | None, metric: str, champion_is: str) -> Decision:
    """Whether a model becomes the champion: it must be better by more than the error of the difference.

    Args:
        new: its scores; `metric` is among them in both directions.
        champion: those of the present champion; None if there is none.
        metric: the score that decides, of which `way` knows which values are better.
        champion_is: how to name the champion, such as "version 3".

    Where the two were not scored alike, or a score has no error, nothing is shown, and the champion stays.
    """
    score, better = mean_of_directions(new, metric), way(metric)
    assert score is not None
    assert better is not None
    own = f"{metric} is {_spelled(score)} (mean of both directions)"
    if champion is None:
        return Decision("champion", f"{own}; there was no champion to beat", score)
    unlike = obstacles(new, champion)
    if unlike:
        reason = f"{own}, which cannot be compared with the champion, {champion_is}: {'; '.join(unlike)}"
        return Decision("challenger", reason, score)
    champions = mean_of_directions(champion, metric)
    if champions is None:
        return Decision("challenger", f"{own}, but the champion, {champion_is}, has no such score", score)
    found = difference(score, champions, better)
    beside = f"the champion's ({champion_is}) {_spelled(champions)}"
    if found.error is None:
        who = "it" if score.se is None else "the champion's"
        reason = f"{own}, beside {beside}; {who} has no standard error, so that no difference can be shown"
        return Decision("challenger", reason, score, champions, found.better_by)
    by = f"{abs(found.better_by):.4g} {'better' if found.better_by > 0 else 'worse'} than {beside}"
    if not found.shown:
        by = f"{by}: no difference that the test set can show, which is {found.error:.3g} and more"
    elif found.better_by > 0:
        by = f"{by}: more than the error of the difference, {found.error:.3g}"
    wins = found.shown and found.better_by > 0
    return Decision("champion" if wins else "challenger", f"{own}, {by}", score, champions, found.better_by, found.error)


def _spelled(score: Score) -> str:
    return f"{score.value:.4g}" if score.se is None else f"{score.value:.4g} with a standard error of {score.se:.3g}"
