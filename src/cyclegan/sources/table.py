"""The user's own pictures with a table: the values of one of its columns say which domain a picture belongs to."""

import csv
import difflib
import io
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from cyclegan import images
from cyclegan.errors import UserError
from cyclegan.sources import folder
from cyclegan.sources.provenance import Provenance

SEPARATORS = ",;\t"
LISTED = 10  # names or values that an error spells out


@dataclass(frozen=True)
class Labels:
    """How a table assigns pictures to domains.

    Attributes:
        column: the column that decides.
        values_A, values_B: its values that make domain A and B, compared as text without surrounding spaces.
        file_column: the column that names the pictures; None means the first.
    """

    column: str
    values_A: Sequence[str | int]
    values_B: Sequence[str | int]
    file_column: str | None = None


def make(out: Path, path: Path, table: str, labels: Labels, *, paired_test: bool) -> Provenance:
    """Copy the pictures that the file `table`, given relative to `path`, assigns to a domain; see `divide`.

    Raises:
        UserError: no such folder, no such table in it, or whatever `divide` objects to.
    """
    if not path.is_dir():
        raise UserError(
            f"dataset.path is {path} in params.yaml; there is no such folder: put the pictures and their table into it"
        )
    if Path(table).is_absolute() or ".." in Path(table).parts:
        raise UserError(
            f"dataset.table is {table} in params.yaml; put the table into dataset.path ({path}) and name it relative to "
            f"that folder, so that DVC notices when it changes"
        )
    if not (path / table).is_file():
        raise UserError(
            f"dataset.table is {table} in params.yaml; there is no file {path / table}: put it there or mend the name"
        )
    return divide(out, path, path / table, labels, paired_test=paired_test)


def divide(out: Path, pictures: Path, table: Path, labels: Labels, *, paired_test: bool) -> Provenance:
    """Copy the pictures that `labels` assign to domain A to out/trainA, those of B to out/trainB.

    Rows with other values are left out, whatever they name. A picture is named by its path below `pictures`, or by its
    bare name where only one picture there has it. Copies keep their path below `pictures`.

    Raises:
        UserError: an unreadable table; a column or a value that it does not have; a value of both domains; a name that
            leads out of `pictures`, is not there, fits several pictures, or is listed twice; or asked-for pairs.
    """
    if paired_test:
        raise UserError("dataset.paired_test is true in params.yaml, but a table of labels has no pairs; set it to false")
    texts = {"A": _texts(labels.values_A), "B": _texts(labels.values_B)}
    if both := [text for text in texts["A"] if text in texts["B"]]:
        raise UserError(
            f"dataset.table_A and dataset.table_B in params.yaml share {_some(both)}; a picture belongs to one domain: "
            f"remove each from one of them"
        )
    frame = read(table)
    values = _column(frame, labels.column, "dataset.table_column", table)
    if labels.file_column is None:
        names = frame.iloc[:, 0].str.strip()
    else:
        names = _column(frame, labels.file_column, "dataset.table_file_column", table)
    _check_values(texts, values, labels.column, table)
    members = {domain: list(names[values.isin(texts[domain])]) for domain in texts}
    found = _find([*members["A"], *members["B"]], pictures, table)
    folder.copy(
        (found[name], out / f"train{domain}" / found[name].relative_to(pictures))
        for domain, chosen in members.items()
        for name in chosen
    )
    return Provenance(
        name="table",
        domain_A=f"pictures whose {labels.column} is {' or '.join(texts['A'])}",
        domain_B=f"pictures whose {labels.column} is {' or '.join(texts['B'])}",
        licence="not stated",
        attribution="The user's own pictures",
        paired_test=False,
    )


def read(table: Path) -> pd.DataFrame:
    """Read a CSV file with a header (comma, semicolon or tab), or CelebA's list_attr_celeba.txt; all cells are text.

    CelebA's format is known by its first line, a number alone; its first column, the files', is named "".

    Raises:
        UserError: not UTF-8, damaged, or without rows.
    """
    try:
        text = table.read_text(encoding="utf-8-sig").lstrip("\n")
        frame = _read_celeba(text) if text.partition("\n")[0].strip().isdecimal() else _read_csv(text)
    except UnicodeDecodeError:
        raise UserError(f"{table} is not text in UTF-8; save it as CSV in that encoding") from None
    except OSError as error:
        raise UserError(f"cannot read {table}: {error.strerror}; mend that and run again") from None
    except (ValueError, csv.Error) as error:  # pandas' ParserError is a ValueError
        raise UserError(
            f"{table} is no table that can be read: {' '.join(str(error).split())}; it must be CSV with a header, or like "
            f"CelebA's list_attr_celeba.txt"
        ) from None
    if frame.empty:
        raise UserError(f"{table} has no rows; it needs a header and a row for each picture")
    return frame


def _read_csv(text: str) -> pd.DataFrame:
    # pandas' own guess takes letters and spaces of a header for separators
    separator = max(SEPARATORS, key=lambda one: len(next(csv.reader(io.StringIO(text), delimiter=one), [])))
    frame = _parse(text, separator)
    rows = frame.iloc[1:]
    rows.columns = pd.Index(frame.iloc[0].str.strip()) if len(frame) else pd.Index([])
    return rows


def _read_celeba(text: str) -> pd.DataFrame:
    count, header, body = (text + "\n\n").split("\n", 2)
    columns = ["", *header.split()]
    rows = _parse(body, r"\s+")
    if len(rows) != int(count):
        raise ValueError(f"its first line promises {int(count)} rows, but there are {len(rows)}")
    if len(rows) and (rows.shape[1] != len(columns) or (rows.iloc[:, -1] == "").any()):
        raise ValueError(f"its second line names {len(columns) - 1} attributes, but not every row has a value for each")
    rows.columns = pd.Index(columns[: rows.shape[1]])
    return rows


def _parse(text: str, sep: str) -> pd.DataFrame:
    if not text.strip():
        return pd.DataFrame()
    return pd.read_csv(io.StringIO(text), sep=sep, header=None, dtype=str, keep_default_na=False, skipinitialspace=True)


def _column(frame: pd.DataFrame, name: str, setting: str, table: Path) -> "pd.Series[str]":
    positions = [position for position, column in enumerate(frame.columns) if column == name]
    if not positions:
        near = difflib.get_close_matches(name, frame.columns, n=1)
        guess = f" (did you mean {near[0]}?)" if near else ""
        raise UserError(
            f"{setting} is {name} in params.yaml, but {table} has no such column{guess}; set it to one of "
            f"{', '.join(column for column in frame.columns if column)}"
        )
    if len(positions) > 1:
        raise UserError(f"{table} has {len(positions)} columns named {name}; rename all but the one that {setting} means")
    return frame.iloc[:, positions[0]].str.strip()


def _texts(values: Sequence[str | int]) -> list[str]:
    return list(dict.fromkeys(str(value).strip() for value in values))


def _check_values(texts: dict[str, list[str]], values: "pd.Series[str]", column: str, table: Path) -> None:
    counts = Counter(values)
    for domain, wanted in texts.items():
        if absent := [text for text in wanted if text not in counts]:
            there = ", ".join(f"{value!r} ({count})" for value, count in counts.most_common(LISTED))
            more = f" and {len(counts) - LISTED} more" if len(counts) > LISTED else ""
            raise UserError(
                f"dataset.table_{domain} in params.yaml lists {_some(absent)}, which no row of {table} has in its column "
                f"{column}; spell them as the table does, which has (in so many rows): {there}{more}"
            )


def _find(names: Collection[str], pictures: Path, table: Path) -> dict[str, Path]:
    """The file of each name; every name once, every file once."""
    out_of_it = [name for name in names if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts]
    if out_of_it:
        raise UserError(
            f"{table} holds names that lead out of {pictures}: {_some(out_of_it)}; write paths relative to that folder"
        )
    by_path = {path.relative_to(pictures).as_posix(): path for path in images.below(pictures)}
    by_name = defaultdict(list)
    for path in by_path.values():
        by_name[path.name].append(path)
    fitting = {}
    for name in names:
        whole = by_path.get(PurePosixPath(name).as_posix())
        fitting[name] = [whole] if whole else by_name.get(name, [])
    if missing := [name for name, paths in fitting.items() if not paths]:
        raise UserError(
            f"{table} names {len(missing)} pictures that are not below {pictures}: {_some(missing)}; add them or remove "
            f"their rows, set dataset.table_file_column if that is the wrong column, and if they come from an archive, "
            f"unpack it again (names need their suffix, one of {', '.join(sorted(images.SUFFIXES))})"
        )
    if ambiguous := [name for name, paths in fitting.items() if len(paths) > 1]:
        raise UserError(
            f"{table} names {ambiguous[0]!r}, which fits {' and '.join(map(str, fitting[ambiguous[0]]))}; write such names "
            f"({len(ambiguous)} in all) with their folder, relative to {pictures}"
        )
    found = {name: paths[0] for name, paths in fitting.items()}
    if doubled := [str(path) for path, count in Counter(found[name] for name in names).items() if count > 1]:
        raise UserError(f"{table} lists {_some(doubled)} more than once; keep one row for each picture")
    return found


def _some(items: Iterable[str]) -> str:
    shown = [repr(item) for item in items]
    return ", ".join(shown[:LISTED]) + (f" and {len(shown) - LISTED} more" if len(shown) > LISTED else "")
