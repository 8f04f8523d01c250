"""What an evaluation comes to in a few lines of Markdown, for the description of its MLflow run."""

import html
from collections.abc import Mapping

from cyclegan.report.contents import DIRECTIONS, Evaluation
from cyclegan.report.numbers import scores_of
from cyclegan.report.page import weights_line
from cyclegan.report.verdicts import verdict


def description(evaluation: Evaluation, galleries: Mapping[str, str], report: str) -> str:
    """The verdict on each direction with the scores that make it, which weights were scored, and the galleries.

    MLflow shows the first lines, and the rest on demand: the galleries come last.

    Args:
        evaluation: what was evaluated.
        galleries: the address of each direction's gallery.
        report: the address of the whole report.
    """
    verdicts, pictures = [], []
    for key, (here, there) in DIRECTIONS.items():
        found = verdict(scores_of(evaluation.scores, key))
        verdicts.append(f"**{here} → {there}: {found.headline}** {' '.join(found.evidence)}")
        domains = f"{here} → {there}: from {evaluation.source[f'domain_{here}']} to {evaluation.source[f'domain_{there}']}"
        pictures += [_plain(domains), f"![{here} to {there}]({galleries[key]})"]
    return "\n\n".join([*verdicts, f"Scored: {weights_line(evaluation.origin)}. [The whole report]({report})", *pictures])


def _plain(text: str) -> str:
    """Names of domains are the user's, and may hold what Markdown takes for its own."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]()#+-.!|" else letter for letter in html.escape(text, quote=False))
