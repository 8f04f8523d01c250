"""What the numbers come to, in a sentence that they make."""

import math
from dataclasses import dataclass

from cyclegan.report.numbers import Score, ahead, decimals, interval, metric, text

TRIVIAL = {"copy_input": "copying the input", "mean_colour": "one flat colour"}
LIKENESS = ("kid_x1000_test", "fid_clean_test", "fid_legacy_test")  # the first that was computed
TRUTH = "pair_l1"


@dataclass(frozen=True)
class Verdict:
    """What a direction comes to.

    Attributes:
        mark: of the headline, a character.
        headline: a sentence.
        evidence: a sentence a score.
    """

    mark: str
    headline: str
    evidence: list[str]


def verdict(scores: dict[tuple[str, str], Score]) -> Verdict:
    """Whether the generators beat the trivial answers: by their distance from the truth, and by their likeness in kind.

    Each of the two scores, where it is defined, is compared with the better one of the trivial answers.
    """
    judged = [TRUTH, *(name for name in LIKENESS if ("model", name) in scores)][:2]
    results = [_judge(scores, name) for name in judged if ("model", name) in scores]
    known = [result for result in results if result is not None]
    evidence = [sentence for _, sentence in known]
    if not known:
        return Verdict("?", "Not compared: there is no score that trivial answers have, too.", [])
    outcomes = {outcome for outcome, _ in known}
    if outcomes == {True}:
        return Verdict("✓", "Better than trivial answers.", evidence)
    if True in outcomes:
        return Verdict("±", "Better than trivial answers by one score, not by the other.", evidence)
    if outcomes == {None}:
        return Verdict("≈", "No clear difference from a trivial answer.", evidence)
    return Verdict("✗", "Not better than a trivial answer.", evidence)


def _judge(scores: dict[tuple[str, str], Score], name: str) -> tuple[bool | None, str] | None:
    """Whether the model is ahead of the best trivial answer in a score, and a sentence on it."""
    rivals = {subject: scores[subject, name] for subject in TRIVIAL if (subject, name) in scores}
    if not rivals:
        return None
    about, model = metric(name), scores["model", name]
    better = about.better or "lower"
    sign = 1 if better == "lower" else -1
    subject = min(rivals, key=lambda one: sign * rivals[one].value)
    rival = rivals[subject]
    floor = scores.get(("real_train", name))
    places = decimals([model.value, rival.value])
    outcome = ahead(model, rival, better)
    within = f" ({interval(model, places)})" if interval(model, places) else ""
    held_against = f"{TRIVIAL[subject]} ({text(rival.value, places)})"
    if outcome is None:
        said = f"not clearly different from {held_against}"
    else:
        said = f"{_by(model.value, rival.value)}{'better' if outcome else 'worse'} than {held_against}"
    aside = f" Real pictures score {text(floor.value, places)}." if floor is not None else ""
    return outcome, f"{about.title}: {text(model.value, places)}{within}, {said}.{aside}"


def _by(value: float, reference: float) -> str:
    """By how much, where a share says anything: both of one sign."""
    if not (value > 0 and reference > 0) or math.isclose(value, reference):
        return ""
    share = 100 * abs(value - reference) / reference
    return f"{share:.0f}\N{NO-BREAK SPACE}% " if share >= 1 else "less than 1\N{NO-BREAK SPACE}% "
