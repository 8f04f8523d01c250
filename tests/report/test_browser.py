"""The report in a real browser, without a network: it is legible on a phone, in the dark, and by keyboard."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import browser
from PIL import Image
from playwright.sync_api import Browser, Page
from project import ROOT
from samples import evaluation, per_picture, rows

from cyclegan.comparison.page import page as comparison_page
from cyclegan.comparison.side_by_side import compare
from cyclegan.comparison.subject import Subject
from cyclegan.evaluation.certainty import with_error
from cyclegan.evaluation.gallery import gallery
from cyclegan.evaluation.outcome import Outcome
from cyclegan.report.page import page as report

__all__ = ["browser"]  # a fixture

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
SMALLEST = 14  # px, of any text
CONTRAST = 4.5  # WCAG 2.2, level AA, of text in usual sizes

LONG = "a folder/" + "name_" * 20

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "evaluation.html"
    drawn, table = rows(20, noise=True), per_picture(20)
    table["file"] = table["file"].replace("000.png", f"{LONG}.png")  # the best of both directions
    text = report(evaluation(pictures={"A_to_B": drawn, "B_to_A": drawn}, per_picture=table))
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def comparison_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three of long names, one of which was scored on other pictures, and that contradict each other."""
    path = tmp_path_factory.mktemp("comparison") / "comparison.html"
    found = [
        with_long_name("main", 30.0, 0.2, 0),
        with_long_name("experiment_" + "name_" * 12, 20.0, 0.3, 1),
        with_long_name("other", 20.0, 0.3, 2, test="u" * 64),
    ]
    path.write_text(comparison_page(compare(found)), encoding="utf-8")
    return path


def with_long_name(label: str, kid: float, l1: float, seed: int, test: str = "t" * 64) -> Subject:
    scores = {"kid_x1000_test": with_error(kid, 1.0), "pair_l1": with_error(l1, 0.01)}
    both = {"A_to_B": scores, "B_to_A": scores}
    rng = torch.Generator().manual_seed(seed)
    real, fake = (
        torch.linspace(-1, 1, 2 * 3 * 24 * 24).reshape(2, 3, 24, 24),
        torch.rand(2, 3, 24, 24, generator=rng) * 2 - 1,
    )
    buffer = io.BytesIO()
    Image.fromarray(gallery(real, fake, fake, real.flip(0), 2)).save(buffer, "PNG")
    return Subject(
        label=label,
        name="c0ffee00",
        about="a commit whose subject line is rather long, as they sometimes are",
        outcome=Outcome(both, {"kid": "50"}, {"test_A": 2, "test_B": 2}, test, "d" * 64, "best", "Drawn by nobody"),
        params={"loss.lambda_A": str(kid), "dataset.path": "pictures/" + "deep/" * 12},
        whole=True,
        galleries={"A_to_B": buffer.getvalue(), "B_to_A": buffer.getvalue()},
        files={"A_to_B": [f"{LONG}.png", "b.png"]},
        health={"A_to_B/copying": 0.01 * kid},
    )


@pytest.fixture(scope="module", params=["report", "comparison"])
def any_file(request: pytest.FixtureRequest, file: Path, comparison_file: Path) -> Path:
    return file if request.param == "report" else comparison_file


@pytest.fixture
def show(browser: Browser, file: Path) -> Iterator[Open]:
    """show(size, **options): the report in its own window; at last nothing may have been asked for or gone wrong."""
    yield from opening(browser, file)


@pytest.fixture
def show_any(browser: Browser, any_file: Path) -> Iterator[Open]:
    """The same of the report, and of a comparison."""
    yield from opening(browser, any_file)


def opening(browser: Browser, file: Path) -> Iterator[Open]:
    contexts, asked, said = [], [], []

    def show(size: Any = DESK, **options: Any) -> Page:
        context = browser.new_context(viewport=size, **options)
        context.set_offline(True)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        return page

    yield show
    for context in contexts:
        context.close()
    assert {url for url in asked if not url.startswith("data:")} == {file.as_uri()}
    assert said == []


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_with_text_large_enough_to_read(show_any: Open, size: Any, scheme: Any) -> None:
    page = show_any(size, color_scheme=scheme)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    wide, screen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert screen == size["width"]
    assert wide <= screen
    smallest = page.evaluate("""() => Math.min(...[...document.querySelectorAll('body, body *')]
        .filter(one => [...one.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()))
        .filter(one => one.checkVisibility() && !one.closest('script'))
        .map(one => {
            const drawing = one.closest('svg');
            const scale = drawing ? drawing.clientWidth / drawing.viewBox.baseVal.width : 1;
            return scale * parseFloat(getComputedStyle(one).fontSize);
        }))""")
    assert smallest >= SMALLEST


def test_a_long_name_leaves_room_for_the_score_beside_it(show: Open) -> None:
    page = show(PHONE)
    name, score = (page.locator(f".strip .{part}").first.bounding_box() for part in ("file", "value"))
    assert name is not None
    assert score is not None
    assert score["height"] < 1.9 * SMALLEST  # of one line, however long the name beside it
    assert name["height"] > score["height"]


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_what_a_finger_is_to_hit_is_large_enough(show_any: Open, size: Any) -> None:
    """44 px high where it stands by itself, and 24 px, as WCAG 2.2 (2.5.8) asks for, in the rows of a table."""
    page = show_any(size, has_touch=True)
    for selector, least in {"nav a": 44, "summary": 44, ".choose": 44, ".scores th a": 24}.items():
        for box in page.locator(selector).evaluate_all("all => all.map(one => one.getBoundingClientRect().toJSON())"):
            assert box["height"] >= least, selector
            assert box["width"] >= least, selector


def test_pictures_of_a_comparison_are_shown_with_hard_pixels_and_their_labels(
    browser: Browser, comparison_file: Path
) -> None:
    for page in (opened(PHONE) for opened in opening(browser, comparison_file)):
        shown = page.locator("#A_to_B .tests figure").first
        assert shown.locator("figcaption").inner_text() == f"{LONG}.png"
        assert shown.locator("img").count() == 2 + 2 + 2 + 2
        widths = shown.locator("img").evaluate_all(
            "all => all.map(one => [one.complete, one.naturalWidth, one.clientWidth])"
        )
        assert all(complete and natural == 24 and width >= 64 for complete, natural, width in widths)


def test_wide_tables_scroll_by_themselves_with_names_in_place(show: Open) -> None:
    page = show(PHONE)
    box = page.locator(".wide").first
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    before = box.locator("th[scope=row]").first.bounding_box()
    last = box.locator("tbody tr:not(.group) td:last-child").first
    box.evaluate("box => { box.scrollLeft = box.scrollWidth }")
    after = box.locator("th[scope=row]").first.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(before["x"] - after["x"]) < 2
    seen = last.bounding_box()
    assert seen is not None
    assert seen["x"] > after["x"] + after["width"] - 1
    assert seen["x"] + seen["width"] <= PHONE["width"] + 1


def test_every_picture_is_complete(show: Open) -> None:
    page = show()
    pictures = page.evaluate("[...document.images].map(one => [one.complete, one.naturalWidth, one.alt])")
    assert len(pictures) == 2 * (3 * 4 * 4 + 2)
    assert all(complete and width == 24 and alt for complete, width, alt in pictures)
    assert page.locator("svg").count() == 2 + 2 + 4  # histograms, validation, training


def line(page: Page) -> float:
    """Where the line of the first slider is, as a share of the stage."""
    return float(
        page.evaluate("""() => {
        const after = document.querySelector('.slider .after');
        return parseFloat(getComputedStyle(after).clipPath.match(/([\\d.]+)%\\)$/)?.[1]) / 100;
    }""")
    )


def test_the_slider_moves_by_keyboard(show: Open) -> None:
    page = show()
    assert line(page) == pytest.approx(0.5)
    handle = page.locator(".slider input").first
    for _ in range(200):
        page.keyboard.press("Tab")
        if handle.evaluate("one => one === document.activeElement"):
            break
    else:
        pytest.fail("the slider cannot be reached with the Tab key")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert line(page) == pytest.approx(0.6)
    page.keyboard.press("Home")
    assert line(page) == 0


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_the_slider_follows_the_mouse(show: Open, size: Any) -> None:
    page = show(size)
    stage = page.locator(".stage").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    assert line(page) == pytest.approx(0.75, abs=0.04)


def test_the_slider_follows_a_finger(show: Open) -> None:
    page = show(PHONE, has_touch=True)
    stage = page.locator(".stage").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
    assert line(page) == pytest.approx(0.25, abs=0.04)


def test_what_the_line_divides_is_input_and_output(show: Open) -> None:
    """Left of the line the pixels are the input's, right of it the output's."""
    page = show()
    page.add_style_tag(content=".js .stage::before, .js .stage::after { display: none }")
    stage = page.locator(".stage").first

    def colours(value: int) -> bytes:
        page.locator(".slider input").first.evaluate(
            "(range, value) => { range.value = value; range.dispatchEvent(new Event('input')) }", value
        )
        return stage.screenshot()

    whole, none, half = colours(100), colours(0), colours(50)
    assert len({whole, none, half}) == 3
    sources = page.locator(".slider").first.locator("img").evaluate_all("all => all.map(one => one.src)")
    strip = page.locator("#A_to_B .strip").filter(has_text=page.locator(".slider .file").first.inner_text())
    assert strip.locator("img").evaluate_all("all => all.map(one => one.src)")[:2] == sources


def test_another_picture_can_be_chosen_for_the_slider(show: Open) -> None:
    page = show()
    strip = page.locator("#B_to_A .strip").last
    strip.get_by_role("button").click()
    slider = page.locator("#slider-B_to_A")
    assert slider.locator(".file").inner_text() == strip.locator(".file").inner_text()
    sources = strip.locator("img").evaluate_all("all => all.map(one => one.src)")
    assert slider.locator("img").evaluate_all("all => all.map(one => one.src)") == sources[:2]
    assert slider.locator("input").evaluate("one => one === document.activeElement")


def test_parts_open_by_click_and_by_a_link_into_them(show: Open) -> None:
    page = show(PHONE)
    settings, meanings = page.locator("#settings"), page.locator("#meanings")
    assert not page.get_by_text("lambda_A").is_visible()
    settings.locator("summary").click()
    assert page.get_by_text("lambda_A").is_visible()
    assert meanings.get_attribute("open") is None
    page.locator("a[href='#score-pair_l1']").first.click()
    assert meanings.get_attribute("open") is not None
    assert page.locator("#score-pair_l1 dd").is_visible()


def test_without_scripts_both_pictures_stand_side_by_side(show: Open) -> None:
    page = show(PHONE, java_script_enabled=False)
    before, after = (page.locator(f".stage .{name}").first.bounding_box() for name in ("before", "after"))
    assert before is not None
    assert after is not None
    assert before["x"] + before["width"] <= after["x"]
    assert before["width"] > 100
    assert page.locator(".stage input").first.is_hidden()
    assert page.locator(".choose").first.is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(show: Open, scheme: Any) -> None:
    page = show(color_scheme=scheme)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(channels(dark)) < 3 * 64) == (scheme == "dark")
    checked = (
        "h1",
        ".note",
        ".headline",
        ".verdicts h2",
        "nav a",
        ".interval",
        ".best .value",
        ".mark",
        ".file",
        "summary",
    )
    for selector in (*checked, ".label", ".scores thead th", ".chart svg text"):
        colour, behind = page.locator(selector).first.evaluate("""one => {
            const style = getComputedStyle(one);
            let under = one;
            while (getComputedStyle(under).backgroundColor === 'rgba(0, 0, 0, 0)') under = under.parentElement;
            return [one instanceof SVGElement ? style.fill : style.color, getComputedStyle(under).backgroundColor];
        }""")
        assert contrast(channels(colour), channels(behind)) >= CONTRAST, selector


def channels(colour: str) -> list[float]:
    """Red, green and blue of rgb(...), in 0..255; transparent ones are not expected."""
    assert colour.startswith("rgb("), colour
    return [float(value) for value in colour.removeprefix("rgb(").removesuffix(")").split(",")]


def contrast(one: list[float], other: list[float]) -> float:
    """The contrast ratio of WCAG 2.2, 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: list[float]) -> float:
    shares = [value / 255 for value in colour]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_ci_does_not_pass_by_skipping() -> None:
    assert "export CI_NEEDS_BROWSER=1\n" in (ROOT / ".ci/run").read_text()


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast([0, 0, 0], [255, 255, 255]) == pytest.approx(21)
    assert contrast([119, 119, 119], [255, 255, 255]) == pytest.approx(4.48, abs=0.01)
