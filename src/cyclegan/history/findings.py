"""What a verification finds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["ok", "note", "missing", "doubt", "false"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        kind: ok; note: worth knowing, nothing to mend; missing: not here, but it can be got; false: what is recorded is
            not so.
        subject: in a word or two.
        text: what was found.
        remedy: what helps; "" where nothing need be done.
    """

    kind: Kind
    subject: str
    text: str
    remedy: str = ""


def worst(findings: Iterable[Finding]) -> Kind:
    """The verdict of all together."""
    kinds = {finding.kind for finding in findings}
    worse: tuple[Kind, ...] = ("false", "doubt", "missing")
    return next((kind for kind in worse if kind in kinds), "ok")
