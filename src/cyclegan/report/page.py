"""The page: what an evaluation comes to, in one file that needs nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
import yaml
from markupsafe import Markup

from cyclegan.evaluation import catalogue
from cyclegan.report import curves
from cyclegan.report.contents import DIRECTIONS, Evaluation, Origin
from cyclegan.report.galleries import Gallery, gallery
from cyclegan.report.health import health
from cyclegan.report.numbers import MARKS, MISSING, RULE, SAID, Scores, metric, scores_of, within
from cyclegan.report.tables import FLOOR, HEADS, Table, table
from cyclegan.report.verdicts import TRIVIAL, Verdict, across, verdict

FOLDER = Path(__file__).parent
LICENCES = {"CC BY-SA 4.0": "https://creativecommons.org/licenses/by-sa/4.0/"}


@dataclass(frozen=True)
class _Direction:
    """A direction's part of the page."""

    key: str
    name: str
    domains: tuple[str, str]
    verdict: Verdict
    table: Table
    pictures: int | None
    gallery: Gallery | None
    histogram: curves.Chart | None


def page(evaluation: Evaluation, commit: str | None = None) -> str:
    """The report as HTML: one file, without network; the bytes depend on the arguments alone.

    It shows at most 12 test pictures a direction, none with a side above 256 px, and curves of at most 300 points, so that
    its size is bounded whatever was scored: 8 MB for noise, 2 to 4 MB for photographs, less for drawings.

    Args:
        evaluation: what to show; whatever it lacks is left out.
        commit: the commit that was checked out. None in a file that DVC records, which is committed after it is made.
    """
    directions = [_direction(evaluation, key) for key in DIRECTIONS if _is_shown(evaluation, key)]
    lines = [line for one in directions for group in one.table.groups.values() for line in group]
    subjects = dict.fromkeys(subject for one in directions for subject in one.table.heads)
    return _template().render(
        style=style(FOLDER / "page.css"),
        script=Markup(_file("page.js")),  # noqa: S704 - this package's own file
        source=evaluation.source,
        licence_url=LICENCES.get(evaluation.source["licence"]),
        directions=directions,
        differing=across({one.name: one.verdict for one in directions}),
        health=health(evaluation.health, evaluation.settings.get("loss.gan_mode")),
        meanings={line.name: line.about for line in lines},
        subjects={HEADS.get(name, name): catalogue.SUBJECTS.get(name, "") for name in subjects},
        training=curves.training(evaluation.history),
        validation=curves.validation(evaluation.validation, evaluation.origin.best),
        settings=_sections(evaluation.settings),
        weights=weights_line(evaluation.origin),
        origin=_origin(evaluation.origin, commit),
        drawing=Markup,  # of charts, whose words come from this package and from scores' names
    )


def _is_shown(evaluation: Evaluation, direction: str) -> bool:
    return bool((evaluation.scores["direction"] == direction).any()) or direction in evaluation.pictures


def _direction(evaluation: Evaluation, key: str) -> _Direction:
    here, there = DIRECTIONS[key]
    scores = scores_of(evaluation.scores, key)
    rows = evaluation.per_picture[evaluation.per_picture["direction"] == key]
    shown = gallery(rows, evaluation.pictures[key]) if key in evaluation.pictures and len(rows) else None
    counts = evaluation.scores.loc[evaluation.scores["direction"] == key, "pictures"].dropna()
    return _Direction(
        key,
        f"{here} → {there}",
        (evaluation.source[f"domain_{here}"], evaluation.source[f"domain_{there}"]),
        verdict(scores),
        table(scores),
        int(counts.iloc[0]) if len(counts) else None,
        shown,
        curves.histogram(rows[shown.name], key, shown.title, _marks(scores, shown.name)) if shown else None,
    )


def _marks(scores: Scores, name: str) -> dict[str, float]:
    """The mean, and the best trivial answer's where it is not perfect by definition."""
    rivals = [scores[subject, name].value for subject in TRIVIAL if (subject, name) in scores]
    marks = {"mean": scores["model", name].value} if ("model", name) in scores else {}
    return marks | ({"best trivial answer": min(rivals)} if rivals and min(rivals) > 0 else {})


def _sections(settings: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Settings as params.yaml groups and writes them."""
    sections: dict[str, dict[str, str]] = {}
    for name, value in settings.items():
        section, _, key = name.rpartition(".")
        written = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True)
        sections.setdefault(section, {})[key] = written.removesuffix("\n...\n").removesuffix("\n")
    return sections


def weights_line(origin: Origin) -> str:
    """Which weights were scored, and what chose them."""
    best = origin.best
    if origin.weights == "best" and best is not None:
        kind = {"ema": "averaged weights", "raw": "weights as trained"}.get(best["weights"], best["weights"])
        return (
            f"the best by validation: {kind} of epoch {best['epoch']} (step {best['step']}), "
            f"where {metric(best['metric']).title} was {within(float(best['value']), best.get('se'))}"
        )
    return {
        "best": "the best by validation",
        "ema": "averaged weights (EMA) of the last step",
        "raw": "weights as trained, of the last step",
    }.get(origin.weights, origin.weights)


def _origin(origin: Origin, commit: str | None) -> dict[str, str]:
    imported = origin.trained_on is None
    lines = {
        "Generators": origin.model,
        "Weights": weights_line(origin),
        "Import" if imported else "Training": origin.train_key,
        "Training data (data_digest)": origin.trained_on or "not recorded",
        "Test set (test_digest)": origin.test_digest,
    }
    if origin.scored_on != origin.trained_on:
        lines["Prepared pictures that the test set is of (data_digest)"] = origin.scored_on
    if commit:
        return lines | {"Commit": commit}
    return (
        lines
        if imported
        else lines | {"Commit": f"the first of: git log --reverse -S {origin.train_key[:16]} -- metrics/train.json"}
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"MISSING": MISSING, "FLOOR": FLOOR, "MARKS": MARKS, "SAID": SAID, "RULE": RULE}
    return environment.get_template("page.html")


def style(own: Path) -> Markup:
    """What all pages look like, and what is one page's own, from its file."""
    return Markup(_file("base.css") + own.read_text(encoding="utf-8"))  # noqa: S704 - this package's own files


def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
