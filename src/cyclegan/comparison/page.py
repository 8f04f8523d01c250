"""A comparison as a page: one file without network or scripts."""

import base64
from functools import cache
from pathlib import Path

import jinja2

from cyclegan.comparison.sheets import by_picture, cells
from cyclegan.comparison.side_by_side import LEGEND, Comparison
from cyclegan.comparison.subject import ARROWS
from cyclegan.report.numbers import MARKS, SAID
from cyclegan.report.page import style

FOLDER = Path(__file__).parent


def page(comparison: Comparison) -> str:
    """The comparison as HTML; the bytes depend on the arguments alone."""
    pictures, whole = {}, {}
    for direction in comparison.tables:
        there = {one.label: one.galleries[direction] for one in comparison.subjects if direction in one.galleries}
        files = next((one.files[direction] for one in comparison.subjects if one.files.get(direction)), ())
        pictures[direction] = by_picture(there, files)
        whole[direction] = [
            (label, "data:image/png;base64," + base64.b64encode(sheet).decode())
            for label, sheet in there.items()
            if not cells(sheet)  # drawn by another version
        ]
    return _template().render(
        style=style(FOLDER / "page.css"),
        comparison=comparison,
        facts=[one.facts for one in comparison.subjects],
        pictures=pictures,
        whole=whole,
        attributions=list(dict.fromkeys(one.outcome.attribution for one in comparison.subjects if one.outcome.attribution)),
        legend=LEGEND.format(**MARKS),
        marks=MARKS,
        said=SAID,
        arrows=ARROWS,
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string((FOLDER / "page.html").read_text(encoding="utf-8"))
