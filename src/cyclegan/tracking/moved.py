"""A project that was moved, renamed or copied: MLflow wrote down where files are as absolute paths, which are mended here.

Nothing tells a database that its folder has another name now. Without this, runs of a moved project have no files, without
an error, and those of a copied one are written among the files of the project that it was copied from.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

EXPERIMENTS = "experiments"
COLUMNS = {  # tables and columns that hold places of files, of every version of MLflow that this project works with
    EXPERIMENTS: ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
BUSY_SECONDS = 60.0  # to wait for another process that writes to the database


def follow(database: Path, files: Path) -> int:
    """Let what a database says of files under an earlier place of its own lead to `files`; returns how many places.

    An earlier place is a folder of the same name as `files` from which an experiment takes its own, and either files of its
    runs are here instead of there, or it lies beside another database of the same name: that of which this one is a copy.
    Files that are there and not here stay where they are said to be, so that nothing is lost; new ones are written here.
    All is mended in one transaction, or nothing.

    Args:
        database: an SQLite file.
        files: the folder beside it that holds the files of all its runs.

    Raises:
        sqlite3.Error: the database cannot be read or written.
    """
    if not database.is_file():
        return 0
    with closing(sqlite3.connect(database, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        if not list(_earlier(connection, database, files)):
            return 0
        connection.execute("BEGIN IMMEDIATE")
        try:
            mended = 0
            for before in _earlier(connection, database, files):  # another process may have done it meanwhile
                for table, columns in COLUMNS.items():
                    mended += sum(_mend(connection, table, column, before, files) for column in columns)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    return mended


def _earlier(connection: sqlite3.Connection, database: Path, files: Path) -> Iterator[Path]:
    if not _columns(connection, EXPERIMENTS):  # MLflow has not made its tables yet
        return
    places = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    for place in {Path(place) for (place,) in places if place}:
        if place.is_absolute() and place.name == files.name and place != files:
            other = place.parent / database.name
            copied = other.is_file() and not other.samefile(database)
            of_runs = (entry for _, entry in _under(connection, "runs", "artifact_uri", place))
            if copied or any(Path(_now(entry, place, files)).exists() and not Path(entry).exists() for entry in of_runs):
                yield place


def _mend(connection: sqlite3.Connection, table: str, column: str, before: Path, files: Path) -> int:
    mended = [
        (_now(place, before, files), row)
        for row, place in _under(connection, table, column, before)
        if table == EXPERIMENTS or Path(_now(place, before, files)).exists() or not Path(place).exists()
    ]
    connection.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", mended)  # noqa: S608 - names from above
    return len(mended)


def _under(connection: sqlite3.Connection, table: str, column: str, folder: Path) -> list[tuple[int, str]]:
    """Rows of a table, by number, and what they say, where that is the folder or lies in it."""
    if column not in _columns(connection, table):
        return []
    query = f"SELECT rowid, {column} FROM {table} WHERE {column} = ? OR substr({column}, 1, ?) = ?"  # noqa: S608 - the same
    inside = f"{folder}/"
    return connection.execute(query, (str(folder), len(inside), inside)).fetchall()


def _now(place: str, before: Path, files: Path) -> str:
    return f"{files}{place.removeprefix(str(before))}"


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
