"""A comparison on the screen: tables that fit a terminal, and whole lines where they go into a file or a pipe."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cyclegan.comparison.rows import Row
from cyclegan.comparison.side_by_side import LEGEND, Comparison
from cyclegan.evaluation.certainty import Standing

MARKS: dict[Standing, str] = {"best": "*", "alike": "~", "": ""}  # which every terminal can show
WIDEST = 10_000  # characters that a table may want


def show(comparison: Comparison, console: Console | None = None) -> None:
    """Print it."""
    console = console or Console()
    labels = [subject.label for subject in comparison.subjects]
    columns = [subject.facts for subject in comparison.subjects]
    facts = [[name, *(column[name] for column in columns)] for name in columns[0]]
    params = [[name, *values] for name, values in comparison.params.items()]
    _print(console, "Compared", [_table(["", *labels], facts)])
    if params:
        _print(console, "Parameters that differ", [_table(["", *labels], params)])
    else:
        console.print(Text("No parameter differs.\n"))
    for direction, rows in comparison.tables.items():
        _print(console, f"Scores {direction}", [_scores(labels, rows, joint) for joint in " \n"], _blocks(labels, rows))
        if comparison.summaries[direction]:
            console.print(Text(f"{comparison.summaries[direction]}\n"))
    for statement in comparison.statements:
        console.print(Text(f"NOT COMPARABLE: {statement}\n", style="bold"))
    for contradiction in comparison.contradictions:
        console.print(Text(f"{contradiction}\n"))
    console.print(Text(LEGEND.format(**MARKS)))


def _print(console: Console, title: str, tables: list[Table], narrow: Text | None = None) -> None:
    """The first of the tables that fits; if none does the narrow form, or the last one, folded."""
    console.print(Text(title, style="bold"))
    for table in tables:
        width = console.measure(table, options=console.options.update(width=WIDEST)).maximum
        if not console.is_terminal:
            console.width = max(console.width, width)
        if width <= console.width:
            console.print(table)
            return
    console.print(narrow or tables[-1])


def _scores(labels: list[str], rows: list[Row], joint: str) -> Table:
    """A table of scores; `joint` stands between a value and its interval."""
    verdicts = any(row.verdict for row in rows)
    lines = []
    for row in rows:
        cells = [_joined(f"{cell.value} {MARKS[cell.standing]}".rstrip(), cell.interval, joint) for cell in row.cells]
        lines.append([_joined(row.name, _way(row), joint), *cells, *([row.verdict] if verdicts else [])])
    return _table(["", *labels, *(["difference"] if verdicts else [])], lines)


def _blocks(labels: list[str], rows: list[Row]) -> Text:
    """Scores one below the other, for terminals that are too narrow for a table."""
    wide = max(map(len, labels))
    text = Text()
    for row in rows:
        text.append(f"\n{_joined(row.name, _way(row), ' ')}\n")
        for label, cell in zip(labels, row.cells, strict=True):
            line = f"  {label:<{wide}}  {cell.value} {MARKS[cell.standing] or ' '} {cell.interval}".rstrip()
            text.append(f"{line}\n", style="bold" if cell.standing == "best" else None)
        text.append(f"  {row.verdict}\n" if row.verdict else "")
    return text


def _way(row: Row) -> str:
    return f"({row.about.better} is better)" if row.about and row.about.better else ""


def _joined(first: str, second: str, joint: str) -> str:
    return f"{first}{joint}{second}" if second else first


def _table(heads: list[str], lines: list[list[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(Text(head), overflow="fold", no_wrap=head == "")
    for line in lines:
        table.add_row(*(Text(cell, style="bold" if MARKS["best"] in cell.split() else "") for cell in line))
    return table
