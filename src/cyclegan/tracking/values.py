"""Values as MLflow takes them."""

import re
from collections.abc import Mapping
from typing import Any

OURS = ("<!-- evaluation -->", "<!-- end of the evaluation -->")  # Markdown that the UI does not show
PARAM_LENGTH, TAG_LENGTH = 6000, 8000  # MLflow cuts longer values without a word


def shorten(value: object, length: int) -> str:
    """As text; what MLflow would cut ends in an ellipsis instead."""
    text = str(value)
    return text if len(text) <= length else text[: length - 3] + "..."


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def with_description(before: str, ours: str) -> str:
    """A run's description with our part in it: in the place of the one that is there, else before what people wrote."""
    part = f"{OURS[0]}\n{ours}\n{OURS[1]}"
    start, end = before.find(OURS[0]), before.find(OURS[1])
    if 0 <= start < end:
        return before[:start] + part + before[end + len(OURS[1]) :]
    return f"{part}\n\n{before}".strip()


def without_password(text: str) -> str:
    """The text without user names and passwords in addresses."""
    return re.sub(r"://[^/\s]*@", "://", text)
