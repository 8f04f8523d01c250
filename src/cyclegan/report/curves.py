"""Curves as SVG within the page: in its colours, light or dark, in its font, and the same bytes each time."""

import io
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cyclegan.report.numbers import metric

WIDTH, HEIGHT = 320, 210  # px, at which it is read on a phone; never shown smaller
COUNTS = ("step", "epoch")
MOST_POINTS = 300  # of a curve; longer ones are means of neighbours
# Colours that no plot uses, each replaced by a variable of the page's style sheet.
INK, RULE, FIRST, SECOND = "#010203", "#040506", "#070809", "#0a0b0c"
VARIABLES = {INK: "var(--muted)", RULE: "var(--rule)", FIRST: "var(--first)", SECOND: "var(--second)"}
LINES: list[dict[str, Any]] = [{"color": FIRST}, {"color": SECOND, "linestyle": (0, (5, 2))}]
STYLE: dict[Any, Any] = {
    "axes.edgecolor": RULE,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",  # comes with matplotlib; text is laid out in it and drawn in the page's font
    "font.size": 14,
    "grid.color": RULE,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "ytick.left": False,
}
TERMS = {
    "Cycle losses": ("cycle_A", "cycle_B"),
    "Adversarial losses of the generators": ("G_AB", "G_BA"),
    "Losses of the discriminators": ("D_A", "D_B"),
    "Identity losses": ("idt_A", "idt_B"),
    "Gradient penalties": ("gp_A", "gp_B"),
}


@dataclass(frozen=True)
class Chart:
    """A title, what it says in words for who cannot see it, and the drawing."""

    title: str
    description: str
    svg: str


def training(history: pd.DataFrame) -> list[Chart]:
    """The losses over steps, a chart a pair of terms that is there."""
    if history.empty:
        return []
    means = history.groupby(np.arange(len(history)) // math.ceil(len(history) / MOST_POINTS)).mean()
    charts = []
    for title, names in TERMS.items():
        present = [name for name in names if name in history]
        if not present:
            continue
        with _chart(title, "step") as (axes, drawn):
            for name, line in zip(present, LINES, strict=False):
                axes.plot(means["step"], means[name], label=name, **line)
            _from_zero(axes)
            _legend(axes)
        ends = ", ".join(f"{name} {history[name].iloc[0]:.3g} to {history[name].iloc[-1]:.3g}" for name in present)
        charts.append(Chart(title, f"{title} over {int(history['step'].iloc[-1])} steps: {ends}", drawn[0]))
    return charts


def validation(table: pd.DataFrame, best: Mapping[str, Any] | None) -> list[Chart]:
    """The score that chose the best generators (else the first in the table), a chart a direction; that epoch is marked."""
    if table.empty:
        return []
    names = table["metric"]
    name = str(best["metric"]) if best is not None and (names == best["metric"]).any() else str(names.iloc[0])
    charts = []
    for direction, own in table[names == name].groupby("direction", sort=True):
        title = f"{metric(name).title}, {str(direction).replace('_to_', ' → ')}"
        with _chart(f"validation {title}", "epoch") as (axes, drawn):
            for (weights, curve), line in zip(own.groupby("weights", sort=True), LINES, strict=False):
                values = curve["value"].to_numpy(dtype=float)
                errors = curve["se"].to_numpy(dtype=float)
                axes.plot(curve["epoch"], values, label=str(weights), marker="o", markersize=4, **line)
                if np.isfinite(errors).any():
                    around = (values - errors, values + errors)
                    axes.fill_between(curve["epoch"], *around, color=line["color"], alpha=0.15, linewidth=0)
            if best is not None:
                axes.axvline(best["epoch"], color=INK, linewidth=1.2, linestyle=(0, (1, 2)), label="chosen")
            _legend(axes)
        chosen = f"; epoch {best['epoch']} was chosen" if best is not None else ""
        charts.append(Chart(title, f"{title} over {int(own['epoch'].max())} epochs{chosen}", drawn[0]))
    return charts


def histogram(values: pd.Series, key: str, title: str, marks: Mapping[str, float]) -> Chart | None:
    """How a score spreads over pictures, with marks of what others score; None for fewer than ten pictures."""
    finite = values[np.isfinite(values.astype(float))].astype(float)
    if len(finite) < 10:
        return None
    with _chart(key, title) as (axes, drawn):
        edges = np.histogram_bin_edges(finite, bins=min(24, 6 + len(finite) // 8))
        axes.hist(finite, bins=edges.tolist(), color=FIRST, alpha=0.35, linewidth=0)
        for (name, value), line in zip(marks.items(), LINES, strict=False):
            axes.axvline(value, label=name, **line)
        axes.set_ylabel("pictures")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        _legend(axes)
    means = ", ".join(f"{name} {value:.3g}" for name, value in marks.items())
    text = f"{title} of {len(finite)} pictures, {finite.min():.3g} to {finite.max():.3g}; {means}"
    return Chart(f"{title} of each picture", text, drawn[0])


@contextmanager
def _chart(key: str, x: str) -> Iterator[tuple[Axes, list[str]]]:
    """Axes to draw on; the SVG is in the list afterwards. `key` tells its ids from those of the page's other drawings."""
    drawn: list[str] = []
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever this user's own style is
        mpl.rcParams.update(STYLE | {"svg.hashsalt": key})
        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), layout="constrained", facecolor="none")
        axes = figure.add_subplot(facecolor="none")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=x in COUNTS))
        axes.set_xlabel(x)
        yield axes, drawn
        axes.locator_params(axis="y", nbins=5)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    drawn.append(_inline(buffer.getvalue()))


def _from_zero(axes: Axes) -> None:
    """A loss that is never negative is drawn from zero, so that its fall is seen for what it is."""
    if axes.get_ylim()[0] > -0.02 * axes.get_ylim()[1] or axes.dataLim.y0 >= 0:
        axes.set_ylim(bottom=0)


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        axes.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=0,
            ncols=3,
            handlelength=1.6,
            columnspacing=1.2,
            handletextpad=0.5,
            borderpad=0.2,
        )


def _inline(svg: str) -> str:
    """The drawing as a part of a page: no prologue, no namespaces, no ids that nothing refers to, the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    referred = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in referred else "", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r"<svg [^>]*>", f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">', svg, count=1)
    return re.sub(r"\n\s*", "\n", svg).strip()
