"""Values as MLflow takes them."""

import re
from collections.abc import Mapping
from typing import Any

OURS = ("<!-- evaluation -->", "<!-- end of the evaluation -->")  # Markdown that the UI does not show
ELLIPSIS = "..."
PARAM_LENGTH, TAG_LENGTH = 6000, 8000  # MLflow cuts longer values without a word


def shorten(value: object, length: int) -> str:
    """As text; what MLflow would cut ends in an ellipsis instead."""
    text = str(value)
    return text if len(text) <= length else text[: length - len(ELLIPSIS)] + ELLIPSIS


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def with_description(before: str, ours: str) -> str:
    """A run's description with our part in it: in the place of the one that is there, else before what people wrote.

    Of what is too long for a tag, our part is cut, which can be made again.
    """
    start, end = before.find(OURS[0]), before.find(OURS[1])
    first, rest = ("", f"\n\n{before}" if before else "")
    if 0 <= start < end:
        first, rest = before[:start], before[end + len(OURS[1]) :]
    room = TAG_LENGTH - len(first) - len(rest) - sum(map(len, OURS)) - 2
    if room < len(ELLIPSIS):
        return before
    return f"{first}{OURS[0]}\n{shorten(ours, room)}\n{OURS[1]}{rest}"


def without_password(text: str) -> str:
    """The text without user names and passwords in addresses."""
    return re.sub(r"://[^/\s]*@", "://", text)
