"""Commits and runs side by side: only what differs, marks that say no more than the errors allow, one page for it all."""

import io
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from cyclegan.errors import UserError
from cyclegan.evaluation.outcome import Outcome, Score, with_error
from cyclegan.report.comparison import Comparison, Subject, compare, page
from cyclegan.report.comparison_screen import show


def picture(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def subject(label: str, scores: dict[str, Score], params: dict[str, str] | None = None, **changes: Any) -> Subject:
    outcome = Outcome(
        {"A_to_B": scores, "B_to_A": scores},
        {"kid": "50"},
        {"test_A": 4, "test_B": 4},
        changes.pop("test", "t" * 64),
        None,
        "ema",
    )
    values = {"name": "c0ffee00", "about": "a commit", "whole": True, "galleries": {}} | changes
    return Subject(label=label, outcome=outcome, params=params or {}, **values)


def scored(kid: float, ssim: float) -> dict[str, Score]:
    return {
        "kid_x1000_test": with_error(kid, 2.0),
        "pair_ssim": with_error(ssim, 0.01),
        "copy_l1": with_error(kid / 100, 0.01),
    }


OLD = subject("old", scored(30, 0.90), {"loss.lambda_A": "10.0", "seed": "0"})
NEW = subject("new", scored(20, 0.91), {"loss.lambda_A": "5.0", "seed": "0"})


def marks(comparison: Comparison) -> dict[str, list[str]]:
    return {row.name: [cell.mark for cell in row.cells] for row in comparison.tables["A_to_B"]}


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {row.name: row.verdict for row in comparison.tables["A_to_B"]}


def shown(comparison: Comparison, width: int, terminal: bool = True) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
    show(comparison, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_best_is_marked_and_so_is_what_the_test_set_cannot_tell_from_it() -> None:
    found = compare([OLD, NEW])
    assert marks(found) == {"kid_x1000_test": ["", "*"], "pair_ssim": ["~", "*"], "copy_l1": ["", ""]}
    assert verdicts(found) == {
        "kid_x1000_test": "new is better: 10.0 ± 5.5",
        "pair_ssim": "no difference shown: 0.010 ± 0.028",
        "copy_l1": "they differ: 0.100 ± 0.028",
    }
    assert found.summaries["A_to_B"] == ("Of 2 scores: new is better in 1, no difference that the test set can show in 1.")
    assert found.statements == []
    cell = found.tables["A_to_B"][0].cells[0]
    assert (cell.value, cell.interval) == ("30.0", "[26.1, 33.9]")
    assert cell.place is not None
    assert cell.place[2] == 1.0
    assert found.tables["A_to_B"][0].cells[1].place[0] == 0.0  # type: ignore[index]


def test_only_differing_parameters_are_shown_and_a_run_lacks_none() -> None:
    run = subject("run", scored(30, 0.9), {"loss.lambda_A": "10.0"}, whole=False)
    older = subject("older", scored(30, 0.9), {"loss.lambda_A": "10.0"})
    assert compare([OLD, NEW]).params == {"loss.lambda_A": ["10.0", "5.0"]}
    assert compare([OLD, run]).params == {}
    assert compare([OLD, older]).params == {"seed": ["0", "-"]}
    assert compare([OLD, run, NEW]).params == {"loss.lambda_A": ["10.0", "10.0", "5.0"]}


def test_what_was_scored_on_other_pictures_is_said_not_to_be_comparable_and_not_marked() -> None:
    other = subject("other", scored(1, 0.99), test="u" * 64)
    found = compare([OLD, other])
    assert found.statements == ["other cannot be compared with old: the test pictures are others (tttttttt, uuuuuuuu)"]
    assert marks(found)["kid_x1000_test"] == ["", ""]
    assert set(verdicts(found).values()) == {""}
    assert found.summaries["A_to_B"] == ""
    three = compare([OLD, other, NEW])
    assert marks(three)["kid_x1000_test"] == ["", "", "*"]  # among those that can be compared
    assert three.statements == ["other cannot be compared with old, new: the test pictures are others (tttttttt, uuuuuuuu)"]


def test_scores_without_errors_are_compared_by_value_and_nothing_is_said_to_be_shown() -> None:
    found = compare(
        [subject("one", {"pair_l1": Score(0.123456)}), subject("two", {"pair_l1": Score(0.2), "odd": Score(1)})]
    )
    (row, odd) = found.tables["B_to_A"]
    assert [(cell.value, cell.interval, cell.mark) for cell in row.cells] == [("0.1235", "", "*"), ("0.2", "", "")]
    assert row.verdict == "0.07654, error unknown"
    assert [cell.value for cell in odd.cells] == ["-", "1"]
    assert found.summaries["A_to_B"] == ""


def test_scores_and_directions_can_be_chosen() -> None:
    found = compare([OLD, NEW], ["pair_ssim"], ["B_to_A"])
    assert [(direction, [row.name for row in rows]) for direction, rows in found.tables.items()] == [
        ("B_to_A", ["pair_ssim"])
    ]
    with pytest.raises(UserError, match="there is no score nonsense in any of them; there are kid_x1000_test, pair_ssim"):
        compare([OLD, NEW], ["nonsense"])


@pytest.mark.parametrize("width", [40, 50, 70, 90, 200])
def test_on_a_terminal_every_line_fits_and_nothing_is_lost(width: int) -> None:
    text = shown(compare([OLD, NEW]), width)
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    for part in ("kid_x1000_test", "10.0", "c0ffee00", "loss.lambda_A"):
        assert part in words
    if width >= 50:
        for part in ("30.0", "20.0 *", "[26.1, 33.9]", "new is better: 10.0 ± 5.5", "no difference shown: 0.010 ± 0.028"):
            assert part in words


def test_in_a_pipe_a_score_is_one_line_without_colours() -> None:
    many = [subject(f"a-rather-long-name-of-a-branch-{n}", scored(n, 0.9)) for n in range(5)]
    console = Console(file=io.StringIO())
    show(compare(many), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in text
    (line, _) = [line for line in text.splitlines() if "kid_x1000_test" in line]
    assert line.count("[") == 5
    assert "No parameter differs." in text


def test_names_from_outside_are_not_taken_for_markup() -> None:
    odd = subject("[bold]x[/bold]", scored(1, 0.9), about="[link=evil]fix[/link] [/]")
    text = shown(compare([OLD, odd]), 200)
    assert "[bold]x[/bold]" in text
    assert "[link=evil]fix[/link] [/]" in text


class Parts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_needs_nothing_else_and_shows_the_galleries_beside_each_other() -> None:
    pictures = [{"A_to_B": picture("red"), "B_to_A": picture("blue")}, {"A_to_B": picture("green")}]
    subjects = [subject(f"s{n}", scored(n, 0.9), galleries=own) for n, own in enumerate(pictures)]
    html = page(compare(subjects))
    parts = Parts()
    parts.feed(html)
    sources = [attributes["src"] or "" for tag, attributes in parts.tags if tag == "img"]
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert len(set(sources)) == 3
    links = {value for _, attributes in parts.tags for key, value in attributes.items() if key in ("href", "src", "srcset")}
    assert all((link or "").startswith(("#", "data:")) for link in links)
    assert not re.search(r"url\(|@import|<script|https?://", html)
    assert html.count('class="mark"') == 2 * 2 * 2  # a best and one like it, in two scores, both ways


def test_names_from_outside_are_text_on_the_page() -> None:
    evil = "<script>alert(1)</script>\"'"
    odd = subject(evil, scored(1, 0.9), {evil: evil}, about=evil, name=evil, galleries={"A_to_B": b"x"}, test=evil * 9)
    html = page(compare([OLD, odd]))
    parts = Parts()
    parts.feed(html)
    assert "script" not in {tag for tag, _ in parts.tags}
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 8


def test_the_same_comparison_is_the_same_page() -> None:
    assert page(compare([OLD, NEW])) == page(compare([OLD, NEW]))
