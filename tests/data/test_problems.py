"""The report as CSV that can be read back, and as a table that stays one whatever names hold."""

import csv
import io
from dataclasses import astuple
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cyclegan.data.problems import Problem, as_csv, as_table, count

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"))
problems = st.lists(st.builds(Problem, st.sampled_from(["bad", "leak", "note"]), text, text, text, text), max_size=5)


@given(problems)
def test_csv_is_read_back_as_it_was(rows: list[Problem]) -> None:
    header, *read = csv.reader(io.StringIO(as_csv(rows), newline=""))
    assert header == ["problem", "set", "file", "detail", "other"]
    assert read == [list(astuple(row)) for row in rows]


@given(problems)
def test_the_table_has_a_line_for_each_problem_and_nothing_that_breaks_or_colours_one(rows: list[Problem]) -> None:
    lines = as_table(rows, Path("data/raw")).split("\n")
    assert len(lines) == len(rows) + 2
    assert all(line.isprintable() for line in lines)
    assert lines[-1] == count(rows)


def test_the_table() -> None:
    rows = [
        Problem("bad", "trainA", "a.png", "empty file"),
        Problem("leak", "testB", "日本.png", "the same file, in both domains", "testA/b.png"),
        Problem("note", "testB", "two\nlines \x1b[31m.png", "3 frames"),
    ]
    assert as_table(rows, Path("data/raw")).split("\n") == [
        "problem  file                                    detail                          other",
        "bad      data/raw/trainA/a.png                   empty file",
        "leak     data/raw/testB/日本.png                 the same file, in both domains  data/raw/testA/b.png",
        "note     data/raw/testB/two\\nlines \\x1b[31m.png  3 frames",
        "1 bad, 1 leak, 1 note",
    ]


def test_counts() -> None:
    assert count([]) == "0 bad, 0 leaks, 0 notes"
    assert as_csv([]) == "problem,set,file,detail,other\n"
