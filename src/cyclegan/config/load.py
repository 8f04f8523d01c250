"""params.yaml -> Config, or one error that lists every mistake with its remedy."""

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cyclegan.config.schema import Config
from cyclegan.config.values import shown
from cyclegan.errors import UserError

MOST_BYTES = 1 << 18  # of a parameter file, which has some kB: a reader in Python takes seconds for more
MOST_MISTAKES = 20  # that an error lists
MOST_LETTERS = 1000  # of what the YAML reader says


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
        UserError: the file is missing, too large, not UTF-8 or not YAML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # the latter for a name that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"cannot read {path}: {reason}; run from the project's folder") from None
    return read_bytes(data, str(path))


def read_bytes(data: bytes, name: str) -> object:
    """What the bytes of a YAML file hold, as `read`; `name` is the name that errors give."""
    if len(data) > MOST_BYTES:
        raise UserError(f"{name} has more than {MOST_BYTES:,} bytes, so it is no parameter file; give another")
    try:
        return yaml.load(data.decode(), Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = "it is nested too deep" if isinstance(error, RecursionError) else str(error)[:MOST_LETTERS]
        raise UserError(f"{name} is not valid YAML: {said}; compare it with `git diff {name}`") from None


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
        mistakes = error.errors()
        lines = [_explain(details, file) for details in mistakes[:MOST_MISTAKES]]
        if len(mistakes) > MOST_MISTAKES:
            lines.append(f"and {len(mistakes) - MOST_MISTAKES:,} more in {file}; mend these first")
        raise UserError("\n".join(lines)) from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's last-one-wins rule for a repeated key would train with a value that the reader may not see.

    Nor may an alias stand for more than a single value: a page of aliases to lists of aliases unfolds to gigabytes.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next part of the document."""
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()  # type: ignore[no-untyped-call]
            if not isinstance(self.anchors.get(alias.anchor), yaml.ScalarNode | None):
                raise yaml.composer.ComposerError(
                    None, None, "an alias may stand for a single value only; write it out", alias.start_mark
                )
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a part of the document."""
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception as error:  # of many kinds: KeyError for `!!bool maybe`, IndexError for `!!int ""`
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"this cannot be read as {kind} ({error})", node.start_mark
            ) from None


MERGE = "tag:yaml.org,2002:merge"


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        plain = key_node.tag != MERGE and isinstance(key := loader.construct_object(key_node, deep=True), str)
        if not (plain and key.isprintable()):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a plain word", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {shown(key)} stands here twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def _explain(details: ErrorDetails, file: str) -> str:
    location = [str(part) for part in details["loc"]]
    key = ".".join(part if part.isprintable() and len(part) <= 80 else shown(part) for part in location)
    value: Any = details["input"]
    kind = details["type"]
    if kind == "missing":
        return f"{key} is missing from {file}; `git checkout {file}` restores every key with its default"
    if kind == "extra_forbidden":
        return f"{key or 'a key'} in {file} is no parameter of this project; {_nearest(location)}"
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
            f"{key} is the text {shown(value)} in {file}; it must be a number: write it without quotes, and an exponent "
            f"with a point and a sign (2.0e-4), because YAML reads 2e-4 as text"
        )
    field = _field(location)
    remedy = f" ({field.description})" if field and field.description else ""
    return f"{key or 'a key'} is {shown(value)} in {file}; it {_requirement(details)}{remedy}"


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
    close = difflib.get_close_matches("".join(location[-1:]).lower()[:80], by_lower, n=1)
    if close:
        return f"did you mean {'.'.join([*location[:-1], by_lower[close[0]]])}?"
    return f"known here: {', '.join(known)}"
