"""What the numbers come to, in sentences that they make."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cyclegan.evaluation.outcome import SUBJECT
from cyclegan.report.numbers import Scores, compared, decimals_of, interval, metric, text

TRIVIAL = {"copy_input": "copying the input", "mean_colour": "one flat colour"}
JUDGED = ("pair_l1", "kid_x1000_test", "fid_clean_test", "fid_legacy_test")  # closeness to the truth, likeness in kind


@dataclass(frozen=True)
class Verdict:
    """What a direction comes to.

    Attributes:
        mark: of the headline, a character.
        headline: a sentence.
        evidence: a sentence a score.
        contradiction: a sentence where scores point to opposite sides; else "".
    """

    mark: str
    headline: str
    evidence: list[str]
    contradiction: str = ""


def verdict(scores: Scores) -> Verdict:
    """Whether the generators beat the trivial answers: by their distance from the truth, and by their likeness in kind.

    Each of the scores in JUDGED that is there is compared with the better one of the trivial answers.
    """
    results = {name: _judge(scores, name) for name in JUDGED if _can_be_judged(scores, name)}
    if not results:
        return Verdict("?", "Not compared: there is no score that trivial answers have, too.", [])
    evidence = [sentence for _, sentence in results.values()]
    ahead, level, behind = (
        [metric(name).title for name, (outcome, _) in results.items() if outcome is kind] for kind in (True, None, False)
    )
    if ahead and behind:
        contradiction = (
            f"The scores contradict each other: better by {_joined(ahead)}, worse by {_joined(behind)}. Neither says by "
            f"itself that the translation is good or bad: look at the pictures."
        )
        return Verdict("±", "Better than a trivial answer by one score, worse by another.", evidence, contradiction)
    if ahead and level:
        headline = f"Better than trivial answers by {_joined(ahead)}; by {_joined(level)} no difference is shown."
        return Verdict("±", headline, evidence)
    if ahead:
        return Verdict("✓", "Better than trivial answers.", evidence)
    if behind:
        return Verdict("✗", "Not better than a trivial answer.", evidence)
    return Verdict("≈", "No difference from a trivial answer is shown.", evidence)


def across(verdicts: Mapping[str, Verdict]) -> str:
    """A sentence where directions, by their names, come to different verdicts; else ""."""
    by_mark: dict[str, list[str]] = {}
    for name, found in verdicts.items():
        by_mark.setdefault(found.mark, []).append(name)
    if len(by_mark) < 2:
        return ""
    said = [f"{_joined(names)}: {_lowered(verdicts[names[0]].headline)}" for names in by_mark.values()]
    return f"The directions differ. {'; '.join(one.removesuffix('.') for one in said)}."


def _can_be_judged(scores: Scores, name: str) -> bool:
    return (SUBJECT, name) in scores and any((subject, name) in scores for subject in TRIVIAL)


def _judge(scores: Scores, name: str) -> tuple[bool | None, str]:
    """Whether the model is shown to be ahead of the best trivial answer in a score, and a sentence on it."""
    rivals = {subject: scores[subject, name] for subject in TRIVIAL if (subject, name) in scores}
    about, model = metric(name), scores[SUBJECT, name]
    better = about.better or "lower"
    subject = (min if better == "lower" else max)(rivals, key=lambda one: rivals[one].value)
    rival, floor = rivals[subject], scores.get(("real_train", name))
    found = compared(scores, name, SUBJECT, subject, better)
    places = decimals_of([model])
    within = f" ({interval(model, places)})" if interval(model, places) else ""
    held_against = f"{TRIVIAL[subject]} ({text(rival.value, places)})"
    side = f"{_by(model.value, rival.value)}{'better' if found.better_by > 0 else 'worse'} than {held_against}"
    if found.shown:
        said = side
    elif found.error is None:
        said = f"{side}, but of which error is not known, so that no difference is shown"
    else:
        said = f"not shown to differ from {held_against}"
    aside = f" Real pictures score {text(floor.value, places)}." if floor is not None else ""
    outcome = found.better_by > 0 if found.shown else None
    return outcome, f"{about.title}: {text(model.value, places)}{within}, {said}.{aside}"


def _by(value: float, reference: float) -> str:
    """By how much, where a share says anything: both of one sign."""
    if not (value > 0 and reference > 0) or math.isclose(value, reference):
        return ""
    share = 100 * abs(value - reference) / reference
    return f"{share:.0f}\N{NO-BREAK SPACE}% " if share >= 1 else "less than 1\N{NO-BREAK SPACE}% "


def _joined(names: list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _lowered(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
