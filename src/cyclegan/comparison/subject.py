"""One of several that are compared, and what it is by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cyclegan.evaluation import checks
from cyclegan.evaluation.outcome import DIGEST_SHOWN, DIRECTIONS, Outcome
from cyclegan.report.verdicts import verdict

ARROWS = {"A_to_B": "A → B", "B_to_A": "B → A"}
ABSENT = "-"  # of what a subject has not


@dataclass(frozen=True)
class Subject:
    """One commit or run.

    Attributes:
        label: how the user named it.
        name: a short commit, the beginning of a run's id, or "".
        about: a commit's subject line, or a run's name.
        params: by dotted name, as text.
        whole: whether `params` are all there were; a run knows only those that training and evaluation depend on.
        galleries: PNG files by direction.
        files: names of all test pictures of a direction, in their order, where they are known.
        health: values of the checks of health at the end of training by their whole names; None where not recorded.
    """

    label: str
    name: str
    about: str
    outcome: Outcome
    params: Mapping[str, str]
    whole: bool
    galleries: Mapping[str, bytes]
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    health: Mapping[str, float] | None = None

    @property
    def facts(self) -> dict[str, str]:
        """What its scores are scores of, and what it comes to by itself, in a few words each."""
        counts = set(self.outcome.pictures.values())
        return {
            "commit or run": self.name or ABSENT,
            "about": self.about or ABSENT,
            "prepared data": (self.outcome.data_digest or ABSENT)[:DIGEST_SHOWN],
            "test set": (self.outcome.test_digest or ABSENT)[:DIGEST_SHOWN],
            "test pictures": " and ".join(map(str, sorted(counts))) or ABSENT,
            "weights": self.outcome.weights or ABSENT,
            "health": _health(self.health, self.params.get("loss.gan_mode")),
            **{f"verdict {ARROWS[direction]}": self.verdict(direction) for direction in DIRECTIONS},
        }

    def verdict(self, direction: str) -> str:
        """What it comes to beside trivial answers, as its own report says; ABSENT where their scores are not recorded."""
        scores = self.outcome.everybodys.get(direction, {})
        return verdict(scores).headline if scores else ABSENT


def _health(values: Mapping[str, float] | None, gan_mode: str | None) -> str:
    if values is None:
        return ABSENT
    known = {name: checks.parts(name)[1] for name in values if checks.parts(name)[1] in checks.CHECKS}
    failing = [
        name for name, check in known.items() if checks.fails(name, values[name]) and not checks.is_wanted(check, gan_mode)
    ]
    return f"bad: {', '.join(failing)}" if failing else "good"
