"""params.yaml -> Config, or one error that lists every mistake with its remedy."""

import difflib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cyclegan.config.schema import Config
from cyclegan.errors import UserError


def load(path: Path) -> Config:
    """Read and validate a parameter file.

    Raises:
        UserError: the file is missing, is not YAML, or says something that cannot be. All wrong keys are named at once;
            keys that contradict one another are, once each is right by itself.
    """
    return parse(read(path), str(path))


def read(path: Path) -> object:
    """What a YAML file holds, in which no key may stand twice.

    Raises:
        UserError: the file is missing, is not UTF-8 or is not YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; run from the project's folder") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {error}; compare it with `git diff {path}`") from None


def parse(raw: object, file: str) -> Config:
    """Validate parameters that are already read; `file` is the name that errors give.

    Raises:
        UserError: as `load`.
    """
    if not isinstance(raw, dict):
        raise UserError(
            f"{file} must hold sections such as `loss:` with keys under them; restore it with `git checkout {file}`"
        )
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise UserError("\n".join(_explain(details, file) for details in error.errors())) from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's last-one-wins rule for a repeated key would train with a value that the reader may not see."""


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a plain word", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands here twice", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def _explain(details: ErrorDetails, file: str) -> str:
    location = [str(part) for part in details["loc"]]
    key = ".".join(location)
    value: Any = details["input"]
    kind = details["type"]
    if kind == "missing":
        return f"{key} is missing from {file}; `git checkout {file}` restores every key with its default"
    if kind == "extra_forbidden":
        return f"{key} in {file} is no parameter of this project; {_nearest(location)}"
    if kind == "value_error":  # a contradiction between keys, which words itself
        prefix = f"{key}: " if key else ""
        return f"{prefix}{details['ctx']['error']} ({file})"
    if (
        kind in ("int_type", "float_type", "literal_error")
        and isinstance(value, str)
        and _is_number(value)
        and _wants_number(details)
    ):
        return (
            f"{key} is the text {value!r} in {file}; it must be a number: write it without quotes, and an exponent "
            f"with a point and a sign (2.0e-4), because YAML reads 2e-4 as text"
        )
    field = _field(location)
    remedy = f" ({field.description})" if field and field.description else ""
    return f"{key} is {value!r} in {file}; it {_requirement(details)}{remedy}"


def _requirement(details: ErrorDetails) -> str:
    """What pydantic says about a value, worded as `must be ...`."""
    context = details.get("ctx", {})
    match details["type"]:
        case "greater_than_equal":
            return f"must be >= {context['ge']}"
        case "greater_than":
            return f"must be > {context['gt']}"
        case "less_than_equal":
            return f"must be <= {context['le']}"
        case "less_than":
            return f"must be < {context['lt']}"
        case "multiple_of":
            return f"must be a multiple of {context['multiple_of']}"
        case "literal_error":
            return f"must be {context['expected']}"
        case "int_type" | "int_from_float":
            return "must be a whole number"
        case "float_type" | "finite_number":
            return "must be a number"
        case "bool_type":
            return "must be true or false"
        case "string_type":
            return "must be text"
        case "string_pattern_mismatch":
            return f"must match {context['pattern']}"
        case "too_short" | "too_long":
            return "has the wrong number of entries"
        case "model_type":
            return "must be a section with keys under it"
        case _:
            return "is wrong: " + details["msg"][0].lower() + details["msg"][1:]


def _wants_number(details: ErrorDetails) -> bool:
    return details["type"] != "literal_error" or "'" not in details["ctx"]["expected"]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _section(names: list[str]) -> type[BaseModel] | None:
    model: type[BaseModel] = Config
    for name in names:
        field = model.model_fields.get(name)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return None
        model = field.annotation
    return model


def _field(location: list[str]) -> FieldInfo | None:
    section = _section(location[:1]) if len(location) > 1 else Config
    return section.model_fields.get(location[min(1, len(location) - 1)]) if section else None


def _nearest(location: list[str]) -> str:
    section = _section(location[:-1])
    known = list(section.model_fields) if section else []
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(location[-1].lower(), by_lower, n=1)
    if close:
        return f"did you mean {'.'.join([*location[:-1], by_lower[close[0]]])}?"
    return f"known here: {', '.join(known)}"
