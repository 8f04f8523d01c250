"""Findings and runs on the screen: a table where it fits, blocks of lines where it does not."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cyclegan.history.commits import SHORT
from cyclegan.history.findings import Finding, Kind, worst
from cyclegan.history.runs import HistoricRun

STYLES: dict[Kind, str] = {"ok": "green", "note": "", "missing": "yellow", "doubt": "yellow", "false": "bold red"}
VERDICTS: dict[Kind, str] = {
    "ok": "satisfied: the record is true, and all of it is there",
    "missing": "nothing is false; missing: {missing}",
    "doubt": "in doubt: {doubt}; missing: {missing}",
    "false": "NOT TRUE: {false} false, {doubt} in doubt, {missing} missing",
}
KEY_METRICS = ("pair_l1", "kid_x1000_test", "fid_clean_test", "cycle_l1")  # of test pictures, the first two there are
SHOWN_METRICS = 2
LAST_LOSS = ("val/cycle_A", "val/cycle_B")  # of a run that was not evaluated
MINUTE, HOUR, DAY = 60, 3600, 86400
WIDEST = 10_000  # characters that a table may want


@dataclass(frozen=True)
class Line:
    """A run, or a result without one, and what is known of it besides.

    Attributes:
        run: None where MLflow has none.
        key: the train key.
        held_by: the commits that hold its result, in words.
    """

    run: HistoricRun | None
    key: str
    held_by: str


def show_findings(title: str, findings: Sequence[Finding], console: Console | None = None) -> Kind:
    """Print them, one below the other, and the verdict, which is returned."""
    console = _whole_lines(console or Console())
    console.print(Text(title, style="bold"))
    for finding in findings:
        console.print(Text(f"{finding.kind:<8}", style=STYLES[finding.kind]) + Text(f"{finding.subject}: {finding.text}"))
        if finding.remedy:
            console.print(Text(f"        -> {finding.remedy}"))
    kind = worst(findings)
    counts = {each: sum(finding.kind == each for finding in findings) for each in ("false", "doubt", "missing")}
    console.print(Text(VERDICTS[kind].format(**counts), style=STYLES[kind]))
    return kind


def show_listing(lines: Sequence[Line], notes: Sequence[str], console: Console | None = None) -> None:
    """Print a row a run, and the notes."""
    console = _whole_lines(console or Console())
    if lines:
        _show_runs([_row(line) for line in lines], console)
    for note in notes:
        console.print(Text(note))


def _show_runs(rows: Sequence[dict[str, str]], console: Console) -> None:
    heads = [head for head in rows[0] if any(row[head] for row in rows)]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(Text(head), no_wrap=True)
    for row in rows:
        table.add_row(*(Text(row[head]) for head in heads))
    if console.measure(table, options=console.options.update(width=WIDEST)).maximum <= console.width:
        console.print(table)
        return
    wide = max(map(len, heads))
    for row in rows:
        console.print(Text("\n".join(f"{head:<{wide}}  {row[head]}" for head in heads if row[head]) + "\n"))


def _whole_lines(console: Console) -> Console:
    """Where lines go into a file or a pipe, they are as long as they are."""
    if not console.is_terminal:
        console.width = WIDEST
    return console


def _row(line: Line) -> dict[str, str]:
    run = line.run
    if run is None:
        cells = {"run": "none", "name": "", "kind": "", "started on": "", "tree": "", "data": "", "scores": ""}
        return cells | {"started": "", "took": "", "state": "", "key": line.key[:SHORT], "result in": line.held_by}
    return {
        "run": run.id[:SHORT],
        "name": run.entry.name,
        "kind": run.kind,
        "started on": run.commit[:SHORT] or "unknown",
        "tree": {True: "dirty", False: "clean", None: ""}[run.dirty],
        "data": run.data_digest[:SHORT],
        "scores": scores(run.entry.metrics),
        "started": time.strftime("%Y-%m-%d %H:%M", time.localtime(run.entry.started / 1000)),
        "took": duration(run.seconds) if run.kind != "evaluation" else "",  # ended as soon as it was made
        "state": run.entry.state,
        "key": run.train_key[:SHORT],
        "result in": line.held_by,
    }


def scores(metrics: dict[str, float]) -> str:
    """The most telling of a run's metrics, of A to B and of B to A."""
    found: list[str] = []
    for name in KEY_METRICS:
        both = [metrics.get(f"test/{way}/model/{name}") for way in ("A_to_B", "B_to_A")]
        if any(value is not None for value in both):
            found.append(f"{name} {' / '.join('-' if value is None else f'{value:.4g}' for value in both)}")
    if not found and all(name in metrics for name in LAST_LOSS):
        found = [f"val/cycle {' / '.join(f'{metrics[name]:.4g}' for name in LAST_LOSS)}"]
    return ", ".join(found[:SHOWN_METRICS])


def duration(seconds: float | None) -> str:
    """As 3 s, 4 min 05 s, 2 h 05 min or 1 d 02 h; "" while it is not known."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02} min"
    return f"{whole // DAY} d {whole % DAY // HOUR:02} h"
