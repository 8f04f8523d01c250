"""Pictures with a table of labels: every format, every value and every name is understood, or there is one clear error."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cyclegan import images
from cyclegan.config import DatasetConfig
from cyclegan.errors import UserError
from cyclegan.pipeline import download
from cyclegan.sources import table
from cyclegan.sources.provenance import Provenance

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"
CELEBA = """3
Male Smiling
000001.jpg -1  1
000002.jpg  1 -1
000003.jpg -1 -1
"""


def fill(root: Path, *names: str) -> Path:
    """Pictures of different bytes under these names."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, np.full((4, 4, 3), number, dtype=np.uint8))
    return root


def make(root: Path, **changes: Any) -> Provenance:
    settings: dict[str, Any] = {
        "table": "labels.csv",
        "file_column": None,
        "column": "kind",
        "values_A": ["a"],
        "values_B": ["b"],
        "paired_test": False,
    }
    settings |= changes
    labels = table.Labels(*(settings[name] for name in ("column", "values_A", "values_B", "file_column")))
    return table.make(root.parent / "out", root, settings["table"], labels, paired_test=settings["paired_test"])


def copied(root: Path) -> set[str]:
    """The names of the copies, each of which has the bytes of its original."""
    out = root.parent / "out"
    files = [path for path in out.rglob("*") if path.is_file()]
    for path in files:
        name = Path(*path.relative_to(out).parts[1:])
        assert path.read_bytes() == (root / name).read_bytes()
    return {path.relative_to(out).as_posix() for path in files}


def failure(root: Path, **changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        make(root, **changes)
    assert not (root.parent / "out").exists()
    return str(caught.value)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_of_any_separator_line_end_and_byte_order_mark(tmp_path: Path, separator: str, end: str, encoding: str) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png", "3.png", "4.png")
    rows = ["file name,the kind", "1.png,a", '"2.png","b"', " 3.png , b ", "", "4.png,c"]
    (root / "labels.csv").write_bytes(end.join(rows).replace(",", separator).encode(encoding))
    provenance = make(root, column="the kind")
    assert copied(root) == {"trainA/1.png", "trainB/2.png", "trainB/3.png"}
    assert provenance == Provenance(
        name="table",
        domain_A="pictures whose the kind is a",
        domain_B="pictures whose the kind is b",
        licence="not stated",
        attribution="The user's own pictures",
        paired_test=False,
    )


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_format_of_celeba(tmp_path: Path, end: str) -> None:
    root = fill(tmp_path / "in", "img/000001.jpg", "img/000002.jpg", "img/000003.jpg")
    (root / "list.txt").write_bytes(CELEBA.replace("\n", end).encode())
    make(root, table="list.txt", column="Male", values_A=[1], values_B=["-1"])
    assert copied(root) == {"trainA/img/000002.jpg", "trainB/img/000001.jpg", "trainB/img/000003.jpg"}


def test_a_header_with_other_separators_inside(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png")
    (root / "labels.csv").write_text('file name;"hair; colour, length";x\n1.png;"a, b";\n2.png;b;\n')
    make(root, column="hair; colour, length", values_A=["a, b"])
    assert copied(root) == {"trainA/1.png", "trainB/2.png"}


def test_blank_lines_and_spaces_around_cells_do_not_matter(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png")
    (root / "labels.csv").write_text('\n\nfile ; kind \n\n 1.png ; "a;a" \n2.png;b\n\n')
    make(root, values_A=["a;a"])
    assert copied(root) == {"trainA/1.png", "trainB/2.png"}


@pytest.mark.parametrize(
    ("values_A", "values_B"), [([1, 2], [-1]), (["1", "2"], ["-1"]), ([" 1", 2, "2 "], ["-1 "]), ([2, 1], [-1])]
)
def test_values_are_compared_as_stripped_text(tmp_path: Path, values_A: list[Any], values_B: list[Any]) -> None:
    root = fill(tmp_path / "in", *(f"{number}.png" for number in range(6)))
    (root / "labels.csv").write_text("file,kind\n0.png,1\n1.png,2\n2.png, -1\n3.png,1.0\n4.png,\n5.png,12\n")
    provenance = make(root, values_A=values_A, values_B=values_B)
    assert copied(root) == {"trainA/0.png", "trainA/1.png", "trainB/2.png"}
    assert provenance.domain_A in ("pictures whose kind is 1 or 2", "pictures whose kind is 2 or 1")
    assert provenance.domain_B == "pictures whose kind is -1"


@pytest.mark.parametrize("text", ["NA", "null", "None", "nan", "", "True", "1e3"])
def test_no_value_means_anything_but_its_text(tmp_path: Path, text: str) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png")
    (root / "labels.csv").write_text(f"file,kind\n1.png,{text}\n2.png,b\n")
    make(root, values_A=[text])
    assert copied(root) == {"trainA/1.png", "trainB/2.png"}


def test_names_are_paths_first_and_bare_names_second(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "x.png", "deep/x.png", "deep/er/é ü, z.PNG", "y;.png", "-1.jpeg", "deep/007.png")
    (root / "labels.csv").write_text(
        'file,kind\nx.png,a\ndeep/x.png,b\n"é ü, z.PNG",a\n"y;.png",b\n./-1.jpeg,a\n007.png,b\n', encoding="utf-8"
    )
    make(root)
    assert copied(root) == {
        "trainA/x.png",
        "trainB/deep/x.png",
        "trainA/deep/er/é ü, z.PNG",
        "trainB/y;.png",
        "trainA/-1.jpeg",
        "trainB/deep/007.png",
    }


def test_a_table_in_a_folder_and_a_named_file_column(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "pictures/1.png", "pictures/2.png")
    (root / "labels").mkdir()
    (root / "labels/all.csv").write_text(",kind,where\n0,a,pictures/1.png\n1,b,2.png\n")
    make(root, table="labels/all.csv", file_column="where")
    assert copied(root) == {"trainA/pictures/1.png", "trainB/pictures/2.png"}


def test_rows_with_other_values_may_name_anything(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png")
    (root / "labels.csv").write_text("file,kind\n1.png,a\n2.png,b\n1.png,c\nmissing.png,c\n../x.png,\n")
    make(root)
    assert copied(root) == {"trainA/1.png", "trainB/2.png"}


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6)


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=6), st.sampled_from(",;\t"), st.booleans())
def test_what_csv_writes_is_read_back(tmp_path_factory: Any, rows: list[tuple[str, ...]], sep: str, quoted: bool) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=sep, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerows([("a file", "kind", "x"), *rows])
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    frame = table.read(path)
    assert list(frame.columns) == ["a file", "kind", "x"]
    read = [[cell.strip() for cell in row] for row in frame.to_numpy().tolist()]
    assert read == [[cell.strip() for cell in row] for row in rows]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["has no rows"]),
        ("\n \n", ["has no rows"]),
        ("\ufeff", ["has no rows"]),
        ("file,kind\n", ["has no rows"]),
        ("0\nMale Smiling\n", ["has no rows"]),
        ("3\n", ["promises 3 rows, but there are 0"]),
        (CELEBA.replace("3", "4", 1), ["promises 4 rows, but there are 3"]),
        (CELEBA.replace("Smiling", "Smiling Young"), ["names 3 attributes, but not every row"]),
        (CELEBA.replace(" Smiling", ""), ["names 1 attributes, but not every row"]),
        (CELEBA.replace("1 -1", "1"), ["names 2 attributes, but not every row"]),
        (CELEBA.replace("1 -1", "1 -1 1"), ["Expected 3 fields in line 2, saw 4"]),
        ("file,kind\n1.png,a\n2.png,b,c\n", ["Expected 2 fields in line 3, saw 3"]),
        ('file,kind\n1.png,"a\n2.png,b\n', ["EOF inside string"]),
        ("file,kind\n1.png,männlich\n".encode("latin-1"), ["not text in UTF-8"]),
        ("file,kind\n1.png,a\n".encode("utf-16"), ["not text in UTF-8"]),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, content: str | bytes, words: list[str]) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png")
    (root / "labels.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    message = failure(root)
    for word in [str(root / "labels.csv"), *words]:
        assert word in message


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("pathlib.Path.read_text", "cannot read {0}/labels.csv: Permission denied; mend that and run again"),
        (
            "shutil.copyfile",
            """2 pictures cannot be copied:
  {0}/1.png: cannot be read: Permission denied
  {0}/2.png: cannot be read: Permission denied
mend or remove them and run again""",
        ),
    ],
)
def test_what_the_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, words: str) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    root = fill(tmp_path / "in", "1.png", "2.png")
    (root / "labels.csv").write_text("file,kind\n1.png,a\n2.png,b\n")
    monkeypatch.setattr(function, refuse)
    with pytest.raises(UserError) as caught:
        make(root)
    assert str(caught.value) == words.format(root)


def test_folder_and_table_must_be_there(tmp_path: Path) -> None:
    assert f"dataset.path is {tmp_path / 'none'} in params.yaml; there is no such folder" in failure(tmp_path / "none")
    root = fill(tmp_path / "in", "1.png")
    for name in ("labels.csv", "folder"):
        (root / "folder").mkdir(exist_ok=True)
        message = failure(root, table=name)
        assert f"dataset.table is {name} in params.yaml; there is no file {root / name}" in message


@pytest.mark.parametrize("name", ["../labels.csv", "deep/../../labels.csv", "{absolute}"])
def test_the_table_lies_in_the_folder(tmp_path: Path, name: str) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png", "deep/3.png")
    for folder in (root, tmp_path):
        (folder / "labels.csv").write_text("file,kind\n1.png,a\n2.png,b\n")
    message = failure(root, table=name.format(absolute=root / "labels.csv"))
    assert "dataset.table is" in message
    assert f"put the table into dataset.path ({root})" in message


def test_an_unknown_column_names_the_nearest_and_all(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png")
    (root / "labels.csv").write_text(",file,Male,Young\n0,1.png,a,x\n1,2.png,b,x\n")
    message = failure(root, column="male")
    assert "dataset.table_column is male in params.yaml" in message
    assert "did you mean Male?" in message
    assert message.endswith("one of file, Male, Young")
    message = failure(root, column="Male", file_column="picture")
    assert "dataset.table_file_column is picture in params.yaml" in message
    assert "did you mean" not in message


def test_a_column_named_twice_is_refused_where_it_is_asked_for(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png")
    (root / "labels.csv").write_text("x,kind,x\n1.png,a,a\n2.png,b,b\n")
    assert "has 2 columns named x" in failure(root, column="x")
    make(root)
    assert copied(root) == {"trainA/1.png", "trainB/2.png"}


def test_domains_do_not_overlap(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png")
    (root / "labels.csv").write_text("file,kind\n1.png,1\n2.png,2\n")
    message = failure(root, values_A=[1, 3], values_B=["2", "1 "])
    assert "dataset.table_A and dataset.table_B in params.yaml share '1';" in message


@pytest.mark.parametrize(
    ("values_A", "values_B", "word"), [([1.0], [2], "table_A"), ([1], [2, "x"], "table_B"), (["1", "one"], [2], "table_A")]
)
def test_a_value_of_no_row_lists_those_there_are(
    tmp_path: Path, values_A: list[Any], values_B: list[Any], word: str
) -> None:
    root = fill(tmp_path / "in", "1.png")
    (root / "labels.csv").write_text("file,kind\n1.png,1\n2.png,2\n3.png,2\n4.png,\n")
    message = failure(root, values_A=values_A, values_B=values_B)
    assert f"dataset.{word} in params.yaml lists" in message
    assert message.endswith("'2' (2), '1' (1), '' (1)")


def test_of_many_values_ten_are_listed(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "1.png")
    (root / "labels.csv").write_text("file,kind\n" + "".join(f"{number}.png,v{number}\n" for number in range(25)))
    message = failure(root)
    assert message.endswith("'v9' (1) and 15 more")
    assert "v10" not in message


@pytest.mark.parametrize("name", ["../1.png", "/1.png", "deep/../../in/1.png", "deep/.."])
def test_names_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png", "deep/3.png")
    (root / "labels.csv").write_text(f"file,kind\n{name},a\n2.png,b\n")
    assert f"names that lead out of {root}: '{name}';" in failure(root)


def test_missing_pictures_are_counted_and_ten_named(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png", "deep/3.png", ".hidden.png")
    (root / "notes.txt").write_text("x")
    missing = ["1", "1.PNG", "other/3.png", "", "notes.txt", ".hidden.png", "deep", *(f"x{n}.png" for n in range(8))]
    (root / "labels.csv").write_text("file,kind\n1.png,a\n2.png,b\n" + "".join(f"{name},a\n" for name in missing))
    message = failure(root)
    assert f"names 15 pictures that are not below {root}: '1', '1.PNG', 'other/3.png', '', 'notes.txt'," in message
    assert "'x2.png' and 5 more;" in message
    assert "x3.png" not in message


def test_a_bare_name_of_two_pictures_names_both(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "one/x.png", "two/x.png", "y.png")
    (root / "labels.csv").write_text("file,kind\nx.png,a\ny.png,b\n")
    assert f"'x.png', which fits {root / 'one/x.png'} and {root / 'two/x.png'};" in failure(root)


@pytest.mark.parametrize(("again", "kind"), [("1.png", "a"), ("1.png", "b"), ("deep/3.png", "b"), ("./1.png", "a")])
def test_a_picture_is_listed_once(tmp_path: Path, again: str, kind: str) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png", "deep/3.png")
    (root / "labels.csv").write_text(f"file,kind\n1.png,a\n3.png,a\n2.png,b\n{again},{kind}\n")
    assert f"lists '{root / again}' more than once;" in failure(root)


def test_a_table_has_no_pairs(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png")
    (root / "labels.csv").write_text("file,kind\n1.png,a\n2.png,b\n")
    assert "dataset.paired_test is true in params.yaml, but a table of labels has no pairs" in failure(
        root, paired_test=True
    )


def test_the_stage_hands_every_setting_over(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", "1.png", "2.png", "3.png")
    (root / "labels.tsv").write_text("kind\twhere\nsun\t1.png\nsnow\t2.png\n1\t3.png\n")
    changes = {
        "name": "table",
        "path": str(root),
        "table": "labels.tsv",
        "table_file_column": "where",
        "table_column": "kind",
        "table_A": ["sun", 1],
        "table_B": ["snow"],
    }
    dataset = DatasetConfig(**(yaml.safe_load(PARAMS.read_text())["dataset"] | changes))
    assert download._make(tmp_path / "out", dataset, seed=0).domain_A == "pictures whose kind is sun or 1"
    assert copied(root) == {"trainA/1.png", "trainA/3.png", "trainB/2.png"}
    with pytest.raises(UserError, match=r"paired_test"):
        download._make(tmp_path / "out", dataset.model_copy(update={"paired_test": True}), seed=0)
