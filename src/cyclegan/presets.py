"""Presets: named overlays on params.yaml, and writing one into it with comments, order and layout kept."""

import contextlib
import difflib
import io
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from cyclegan import config
from cyclegan.errors import UserError

FOLDER = Path("presets")
NO_METHOD = ("evaluate.", "dataset.url", "dataset.sha256")  # what keys begin with

Overlay = dict[str, Any]  # values by dotted name: {"loss.lambda_A": 10.0, "seed": 0}


def names(folder: Path = FOLDER) -> list[str]:
    """The presets in `folder`, in order of name.

    Raises:
        UserError: there is none.
    """
    found = sorted(path.stem for path in folder.glob("*.yaml"))
    if not found:
        raise UserError(f"there are no presets in {folder}; run from the project's folder")
    return found


def describe(name: str, folder: Path = FOLDER) -> str:
    """The comment in the first line of a preset's file; "" where it begins otherwise."""
    first = (folder / f"{name}.yaml").read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def resolve(name: str, folder: Path = FOLDER, extended_by: tuple[str, ...] = ()) -> Overlay:
    """Every key that a preset sets, those of the preset that it `extends` among them, section by section.

    Raises:
        UserError: there is no such preset, it extends itself, or its file is not a preset's.
    """
    if name not in names(folder):
        raise UserError(_unknown(name, folder, extended_by))
    path = folder / f"{name}.yaml"
    if name in extended_by:
        raise UserError(f"{path} extends itself ({' -> '.join([*extended_by, name])}); take `extends` out of one of them")
    raw = _parsed(path)
    parent = raw.pop("extends", None)
    merged = ({} if parent is None else resolve(str(parent), folder, (*extended_by, name))) | _flat(raw)
    sections = [key.partition(".")[0] for key in merged]
    return dict(sorted(merged.items(), key=lambda entry: sections.index(entry[0].partition(".")[0])))


def differences(overlay: Overlay, params: Path) -> dict[str, tuple[Any, Any]]:
    """The keys that the overlay would change: their values in the file `params` (None where it has none) and its own.

    Raises:
        UserError: `params` cannot be read.
    """
    present = _flat(_parsed(params))
    return {
        name: (present.get(name), value) for name, value in overlay.items() if name not in present or present[name] != value
    }


def matching(values: Overlay, folder: Path = FOLDER) -> str | None:
    """The preset whose method these parameters, by dotted name, are: of several the most specific, or None.

    How results are scored and where the pictures are fetched from is no part of a method. A preset that cannot be read is
    none: nothing depends on it here.
    """
    found: dict[str, int] = {}
    for path in folder.glob("*.yaml"):
        with contextlib.suppress(UserError):
            overlay = resolve(path.stem, folder)
            method = {name: value for name, value in overlay.items() if not name.startswith(NO_METHOD)}
            if method and all(name in values and values[name] == value for name, value in method.items()):
                found[path.stem] = len(method)
    return max(sorted(found), key=lambda name: found[name], default=None)


def apply(overlay: Overlay, params: Path) -> None:
    """Write the overlay's values into the file `params`, whole or not at all; nothing else in it changes.

    Raises:
        UserError: the result would not be valid; `params` is untouched.
    """
    merged = _parsed(params)
    missing = overlay.keys() - _flat(merged).keys()
    for name, value in overlay.items():
        _put(merged, name, value)
    try:
        config.parse(merged, str(params))
    except UserError as error:
        raise UserError(f"{params} stays as it is, because with this preset it would be wrong:\n{error}") from None
    if missing:
        raise UserError(f"{params} lacks {', '.join(sorted(missing))}; `git checkout {params}` restores every key")
    text = _rewritten(
        params.read_text(encoding="utf-8"), {name: new for name, (_, new) in differences(overlay, params).items()}
    )
    assert yaml.safe_load(text) == merged  # what was validated
    target = params.resolve()  # a link stays one
    temporary = target.with_name(target.name + ".partial")
    temporary.write_text(text, encoding="utf-8")
    shutil.copymode(target, temporary)
    temporary.replace(target)


def spelled(value: Any) -> str:
    """A value as YAML that PyYAML, too, reads back as it is: 0.0002, 1.0e-05, null, [1, 2], 'on'."""
    text: str = yaml.safe_dump([value], default_flow_style=True, width=sys.maxsize, allow_unicode=True)
    return text.strip()[1:-1]


def _rewritten(text: str, values: Overlay) -> str:
    """`text` with other values; lines that hold none of them stay byte by byte, whatever ruamel's spelling is."""
    from ruamel.yaml import YAML

    editor = YAML()
    editor.width = sys.maxsize
    editor.preserve_quotes = True
    editor.representer.add_representer(type(None), lambda by, _: by.represent_scalar("tag:yaml.org,2002:null", "null"))

    def lines_of(document: Any) -> list[str]:
        stream = io.StringIO()
        editor.dump(document, stream)
        return stream.getvalue().splitlines()

    lines = text.splitlines()
    document = editor.load(text)
    before = lines_of(document)
    for name, value in values.items():
        section, _, key = name.rpartition(".")
        mapping = document[section] if section else document
        mapping[key] = editor.load(f"[{spelled(value)}]")[0]  # with its spelling
        comment = mapping.ca.items.get(key, [None] * 3)[2]
        if comment and not lines[comment.start_mark.line][: comment.start_mark.column].endswith("  "):
            comment.start_mark.column = 0  # not aligned with others: one space after the value, however long that is
    after = lines_of(document)
    if len(lines) == len(before) == len(after):  # else a list over several lines was replaced, and ruamel's layout stands
        three = zip(lines, before, after, strict=True)
        after = [line if old == new else _indent(line) + new.lstrip() for line, old, new in three]
    return "\n".join(after) + "\n"


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _parsed(path: Path) -> dict[str, Any]:
    raw = config.read(path)
    if not isinstance(raw, dict):
        raise UserError(f"{path} must hold sections such as `loss:` with keys under them")
    return raw


def _flat(raw: dict[str, Any]) -> Overlay:
    flat: Overlay = {}
    for section, value in raw.items():
        flat |= {f"{section}.{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {section: value}
    return flat


def _put(raw: dict[str, Any], name: str, value: Any) -> None:
    section, _, key = name.rpartition(".")
    if not section:
        raw[key] = value
    elif isinstance(raw.get(section), dict):
        raw[section][key] = value
    else:
        raw[section] = {key: value}


def _unknown(name: str, folder: Path, extended_by: tuple[str, ...]) -> str:
    known = names(folder)
    nearest = difflib.get_close_matches(name, known, n=1)
    where = f"{folder / extended_by[-1]}.yaml extends {name}, but " if extended_by else ""
    hint = f"; did you mean {nearest[0]}?" if nearest else "."
    return f"{where}there is no preset {name}{hint} There are: {', '.join(known)}"
