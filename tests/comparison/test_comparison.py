"""Commits and runs side by side: only what differs, marks that say no more than the errors allow, one page for it all."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console

from cyclegan.comparison.page import page
from cyclegan.comparison.screen import MARKS, show
from cyclegan.comparison.side_by_side import Comparison, compare
from cyclegan.comparison.subject import Subject
from cyclegan.errors import UserError
from cyclegan.evaluation.certainty import Score, with_error
from cyclegan.evaluation.gallery import gallery
from cyclegan.evaluation.outcome import Outcome


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
    return {row.name: [MARKS[cell.standing] for cell in row.cells] for row in comparison.tables["A_to_B"]}


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
    assert [(cell.value, cell.interval, MARKS[cell.standing]) for cell in row.cells] == [
        ("0.123", "", "*"),
        ("0.200", "", ""),
    ]
    assert row.verdict == "0.077, error unknown"
    assert [cell.value for cell in odd.cells] == ["-", "1.00"]
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


def gallery_of(seed: int) -> bytes:
    """Two test pictures, the same for all seeds, and translations that differ."""
    generator = torch.Generator().manual_seed(seed)
    real = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
    fake = torch.rand(2, 3, 8, 8, generator=generator) * 2 - 1
    buffer = io.BytesIO()
    Image.fromarray(gallery(real, fake, fake, real.flip(0), 2)).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_page_needs_nothing_else_and_shows_the_same_test_pictures_in_rows() -> None:
    galleries = [{"A_to_B": gallery_of(0), "B_to_A": picture("blue")}, {"A_to_B": gallery_of(1)}]
    files = [{"A_to_B": ["emoji.png", "face.png"]}, {}]
    subjects = [
        subject(f"s{n}", scored(n, 0.9), galleries=own, files=names)
        for n, (own, names) in enumerate(zip(galleries, files, strict=True))
    ]
    html = page(compare(subjects))
    parts = Parts()
    parts.feed(html)
    shown = [(attributes["alt"], attributes["src"] or "") for tag, attributes in parts.tags if tag == "img"]
    assert [alt for alt, _ in shown] == [
        *(
            f"{what}: {name}"
            for name in ("emoji.png", "face.png")
            for what in ("input", "truth", "output by s0", "rebuilt by s0", "output by s1", "rebuilt by s1")
        ),
        "Gallery B_to_A of s0",  # which is no gallery as this version draws them
    ]
    assert all(source.startswith("data:image/png;base64,") for _, source in shown)
    assert html.count("<figcaption>emoji.png</figcaption>") == 1
    links = {value for _, attributes in parts.tags for key, value in attributes.items() if key in ("href", "src", "srcset")}
    assert all((link or "").startswith(("#", "data:")) for link in links)
    assert not re.search(r"url\(|@import|<script|https?://", html)
    assert html.count('class="mark"') == 2 * 2 * 2  # a best and one like it, in two scores, both ways


def test_scores_that_contradict_each_other_are_said_in_sentences() -> None:
    kid, l1 = (
        (lambda value: {"kid_x1000_test": with_error(value, 1.0)}),
        (lambda value: {"pair_l1": with_error(value, 0.01)}),
    )
    found = compare([subject("old", kid(30) | l1(0.1)), subject("new", kid(20) | l1(0.2))])
    said = "A → B: the scores contradict each other: new is better by KID x 1000, test; old is better by pair L1."
    assert said in found.contradictions
    assert len(found.contradictions) == 2  # the same of B to A
    assert said in " ".join(shown(found, 80).split())
    assert "new is better by KID x 1000, test" in page(found)
    assert compare([OLD, NEW]).contradictions == []


def test_directions_that_contradict_each_other_are_said_too() -> None:
    def both(label: str, there: float, back: float) -> Subject:
        made = subject(label, {})
        scores = {"A_to_B": {"pair_l1": with_error(there, 0.01)}, "B_to_A": {"pair_l1": with_error(back, 0.01)}}
        return replace(made, outcome=replace(made.outcome, scores=scores))

    found = compare([both("old", 0.1, 0.2), both("new", 0.2, 0.1)])
    assert found.contradictions == [
        "pair L1: the directions contradict each other: old is better in A → B, new is better in B → A."
    ]


def test_what_is_better_than_copying_in_one_way_only_is_said_as_its_report_says_it() -> None:
    def beside_a_copy(copied_there: float, copied_back: float) -> Subject:
        made = subject("new", {"pair_l1": with_error(0.2, 0.01)})
        own = {
            direction: {("model", "pair_l1"): with_error(0.2, 0.01), ("copy_input", "pair_l1"): with_error(copied, 0.01)}
            for direction, copied in (("A_to_B", copied_there), ("B_to_A", copied_back))
        }
        return replace(made, outcome=replace(made.outcome, everybodys=own))

    found = compare([OLD, beside_a_copy(0.3, 0.1)], directions=["A_to_B", "B_to_A"])
    assert found.contradictions == [
        "new: The directions differ. A → B: better than trivial answers; B → A: not better than a trivial answer."
    ]
    facts = found.subjects[1].facts
    assert facts["verdict A → B"] == "Better than trivial answers."
    assert found.subjects[0].facts["verdict A → B"] == "-"
    assert compare([OLD, beside_a_copy(0.3, 0.3)]).contradictions == []


def test_of_three_the_one_that_is_better_than_all_others_is_counted() -> None:
    found = compare([OLD, NEW, subject("third", scored(10, 0.5))])
    assert [row.better for row in found.tables["A_to_B"]] == ["third", "", None]
    assert [row.verdict for row in found.tables["A_to_B"]] == ["", "", ""]
    assert found.summaries["A_to_B"] == "Of 2 scores: third is best in 1, no single best that the test set can show in 1."


def test_health_and_both_digests_are_facts() -> None:
    sick = subject("sick", {}, health={"A_to_B/copying": 0.01, "A_to_B/output_variance": 0.9, "failing": 1.0})
    assert sick.facts["health"] == "bad: A_to_B/copying"
    assert subject("well", {}, health={"A_to_B/copying": 0.4}).facts["health"] == "good"
    always_right = {"D_A/judged_right": 1.0}
    assert subject("gan", {}, health=always_right).facts["health"] == "bad: D_A/judged_right"
    assert subject("critic", {}, {"loss.gan_mode": "wgangp"}, health=always_right).facts["health"] == "good"
    assert OLD.facts["health"] == "-"
    known = replace(OLD, outcome=replace(OLD.outcome, data_digest="d" * 64))
    assert (known.facts["prepared data"], known.facts["test set"]) == ("d" * 8, "t" * 8)


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
