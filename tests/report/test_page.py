"""The report says what its numbers say, whatever is missing, and refers to nothing outside of itself."""

import base64
import io
import itertools
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from project import ROOT
from samples import BEST, FACTORS, HEALTH, KEY, METRICS, SOURCE, evaluation, history, per_picture, rows, scores, validation

from cyclegan.evaluation import catalogue
from cyclegan.evaluation.certainty import Score
from cyclegan.report import curves, galleries, health, numbers, pictures, tables, verdicts
from cyclegan.report.contents import Origin
from cyclegan.report.page import page

VOID = {"meta", "link", "img", "input", "br", "use", "path"}


class Reader(HTMLParser):
    """The page as a list of tags, its visible text, and a complaint about what is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), tag
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def whole() -> str:
    return page(evaluation())


def test_the_same_evaluation_makes_the_same_bytes(whole: str) -> None:
    assert page(evaluation()) == whole
    assert page(evaluation(), commit="c0ffee") != whole


def test_nothing_outside_is_referred_to_but_the_licence(whole: str) -> None:
    read = Reader(whole)
    for tag, attributes in read.tags:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action", "poster", "srcset", "data") and value:
                if (tag, value) == ("a", "https://creativecommons.org/licenses/by-sa/4.0/"):
                    continue
                assert value.startswith(("data:", "#")), (tag, name, value[:80])
    without_links = re.sub(r'<a href="[^"]*"', "<a", whole)
    assert not re.search(r"(?i)https?:|//\w+\.|@import|url\((?!#)", without_links)
    (policy,) = (meta["content"] for meta in read.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_ids_are_given_once_and_links_lead_to_one(whole: str) -> None:
    read = Reader(whole)
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {link["href"] for link in read.of("a") + read.of("use") if (link.get("href") or "").startswith("#")}
    assert {"#training", "#settings", "#origin", "#A_to_B", "#score-pair_l1"} <= targets
    assert {target.removeprefix("#") for target in targets if target} <= set(ids)
    assert set(re.findall(r"url\(#([\w-]+)\)", whole)) <= set(ids)


def test_text_of_others_is_escaped() -> None:
    table = per_picture(3)
    table["file"] = "<script>alert(1)</script>.png"
    bad = dict(SOURCE, name="<b>", domain_A='"><img src=x>', attribution="<i>", licence="<u>")
    read = Reader(page(evaluation(3, per_picture=table, source=bad, settings={"loss.x": "<s>"})))
    assert len(read.of("script")) == 1
    assert not {"b", "i", "u", "s"} & {tag for tag, _ in read.tags}
    assert "<script>alert(1)</script>.png" in read.text
    assert {str(image["src"])[:10] for image in read.of("img")} == {"data:image"}


def test_every_score_stands_in_the_table_with_its_meaning_within_reach(whole: str) -> None:
    read = Reader(whole)
    for name in METRICS:
        about = catalogue.metric(name)
        assert about.meaning in read.text
        assert {"href": f"#score-{name}", "title": about.meaning} in read.of("a")
    for subject in FACTORS:
        assert catalogue.SUBJECTS[subject] in read.text
    assert "0.0960 to 0.1040" in read.text  # the interval of pair_l1
    assert "20 test pictures" in read.text
    for name, value in {"lambda_A": "10.0", "flip": "true", "url": "null", "seed": "0"}.items():
        assert f"{name}{value}" in read.text.replace(" ", "")


def test_origin_names_training_data_weights_and_commit(whole: str) -> None:
    read = Reader(whole)
    assert KEY in read.text
    assert "Training data (data_digest)d1ge57" in read.text.replace(" d1", "d1")
    assert "Test set (test_digest)7e57d1ge57" in read.text.replace(" 7e", "7e")
    assert "averaged weights of epoch 3 (step 300), where KID x 1000, val was 30.0 ± 2.0" in read.text  # spaces are joined
    assert f"git log --reverse -S {KEY[:16]} -- metrics/train.json" in read.text
    named = Reader(page(evaluation(), commit="c0ffee")).text
    assert "c0ffee" in named
    assert "git log" not in named


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"history": pd.DataFrame()}, "Losses of the discriminators"),
        ({"validation": pd.DataFrame()}, "KID x 1000, val, A"),
        ({"settings": {}}, "lambda_A"),
        ({"per_picture": per_picture(20).iloc[:0]}, "Ordered by"),
        ({"pictures": {}}, "Ordered by"),
        ({"scores": scores(20).iloc[:0]}, "What the scores mean"),
    ],
)
def test_what_is_missing_is_left_out(whole: str, changes: dict[str, Any], gone: str) -> None:
    assert gone in Reader(whole).text
    read = Reader(page(evaluation(**changes)))
    assert gone not in read.text
    assert "nan" not in read.text.lower().split()
    assert not {"None", "inf"} & set(read.text.split())


def test_an_imported_model_has_neither_curves_nor_commit() -> None:
    origin = Origin("weights/maps", f"imported {KEY}", "raw", None, None, "d1ge57", "7e57")
    nothing = pd.DataFrame()
    read = Reader(page(evaluation(origin=origin, history=nothing, validation=nothing, settings={"evaluate.batch_size": 8})))
    assert "#training" not in {link["href"] for link in read.of("a")}
    assert "not recorded" in read.text
    assert "Commit" not in read.text


def test_one_picture_is_enough() -> None:
    read = Reader(page(evaluation(1)))
    assert "1 test picture" in read.text
    assert read.text.count("The only one") == 2
    assert len(read.of("img")) == 2 * (4 + 2)  # a strip and the slider


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("paired", [True, False])
def test_pictures_of_any_channels_come_with_or_without_truth(channels: int, paired: bool) -> None:
    drawn = rows(5, channels=channels, paired=paired)
    shown = galleries.gallery(per_picture(5, paired=paired).iloc[:5], drawn)
    assert shown is not None
    assert shown.name == ("pair_l1" if paired else "cycle_l1")
    (strips,) = shown.groups.values()
    order = range(5) if paired else reversed(range(5))
    for index, strip in zip(order, strips, strict=True):
        row = drawn[index]
        expected = {"input": row.input, "output": row.output, "truth": row.truth, "rebuilt": row.rebuilt}
        assert [picture.label for picture in strip.pictures] == [name for name, one in expected.items() if one is not None]
        for picture in strip.pictures:
            assert np.array_equal(decoded(picture.uri), np.asarray(expected[picture.label]))


def decoded(uri: str) -> Any:
    kind, data = uri.removeprefix("data:").split(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.get_format_mimetype() == kind
        pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def test_galleries_show_the_best_the_median_and_the_worst_in_order() -> None:
    shown = galleries.gallery(per_picture(101).iloc[:101], rows(101))
    assert shown is not None
    places = {title: [strip.score for strip in strips] for title, strips in shown.groups.items()}
    assert places["Best"] == ["0.01", "0.02", "0.03", "0.04"]
    assert places["Median"] == ["0.49", "0.50", "0.51", "0.52"]
    assert places["Worst"] == ["0.98", "0.99", "1.00", "1.01"]
    assert shown.first.score == "0.51"


def test_a_picture_without_a_score_counts_as_the_worst() -> None:
    table = per_picture(20).iloc[:20].copy()
    table.iloc[3, table.columns.get_loc("pair_l1")] = np.nan
    shown = galleries.gallery(table, rows(20))
    assert shown is not None
    assert [strip.score for strip in shown.groups["Worst"]] == ["0.180", "0.190", "0.200", numbers.MISSING]


def test_large_pictures_are_reduced_and_the_page_stays_below_its_bound() -> None:
    many = rows(40, side=700, noise=True)
    text = page(evaluation(40, pictures={"A_to_B": many, "B_to_A": many}, history=history(5000)))
    images = [decoded(str(image["src"])) for image in Reader(text).of("img")]
    assert len(images) == 2 * (3 * galleries.EACH * 4 + 2)
    assert {image.shape[:2] for image in images} == {(pictures.MOST_SIDE, pictures.MOST_SIDE)}
    assert len(text) < 8e6  # noise is what takes most
    assert len(page(evaluation(40))) < 0.5e6


def test_pictures_that_are_no_squares_keep_their_shape() -> None:
    wide = np.zeros((100, 640, 1), dtype=np.uint8)
    assert decoded(pictures.data_uri(wide)).shape == (40, 256, 1)


# --- verdicts and tables ----------------------------------------------------------------------------------------------


def of(**values: tuple[float, ...]) -> dict[tuple[str, str], Score]:
    """Scores by "subject__metric": a value, its error (NaN: not known), and perhaps that of its lead on the model."""
    return {tuple(name.split("__")): scored(*value) for name, value in values.items()}  # type: ignore[misc]


def scored(value: float, se: float, se_from_model: float | None = None) -> Score:
    return Score(value, None if np.isnan(se) else se, se_from_model=se_from_model)


@pytest.mark.parametrize(
    ("pair", "copied", "mark", "said"),
    [
        ((0.10, 0.01), (0.20, 0.01), "✓", "50\N{NO-BREAK SPACE}% better than copying the input (0.200)"),
        ((0.20, 0.01), (0.10, 0.01), "✗", "100\N{NO-BREAK SPACE}% worse than copying the input (0.100)"),
        ((0.10, 0.01), (0.11, 0.0), "≈", "not shown to differ from copying the input (0.110)"),
        ((0.10, 0.01), (0.1195, 0.0), "≈", "not shown to differ"),  # 1.96 errors
        ((0.10, 0.01), (0.1197, 0.0), "✓", "better"),
        ((0.10, 0.01), (0.1197, 0.01), "≈", "not shown to differ"),  # of both
        ((0.10, 0.01), (0.1197, 0.01, 0.01), "✓", "better"),  # of the difference, where it is known
        ((0.10, 0.01), (0.1197, 0.0, 0.02), "≈", "not shown to differ"),
        ((0.10, 0.0001), (0.1005, 0.0), "✓", "less than 1\N{NO-BREAK SPACE}% better"),
        ((0.10, 0.01), (0.20, np.nan), "≈", "but of which error is not known, so that no difference is shown"),
    ],
)
def test_a_verdict_is_what_the_numbers_say(
    pair: tuple[float, ...], copied: tuple[float, ...], mark: str, said: str
) -> None:
    found = verdicts.verdict(of(model__pair_l1=pair, copy_input__pair_l1=copied, mean_colour__pair_l1=(0.5, np.nan)))
    assert found.mark == mark
    (sentence,) = found.evidence
    assert said in sentence


def test_a_verdict_looks_at_the_best_trivial_answer_and_names_the_floor() -> None:
    found = verdicts.verdict(
        of(
            model__kid_x1000_test=(20.0, 1.0),
            copy_input__kid_x1000_test=(90.0, 1.0),
            mean_colour__kid_x1000_test=(10.0, 1.0),
            real_train__kid_x1000_test=(-0.25, 1.0),
        )
    )
    assert found.headline == "Not better than a trivial answer."
    assert "than one flat colour (10.0)" in found.evidence[0]
    assert "Real pictures score \N{MINUS SIGN}0.2." in found.evidence[0]


def test_scores_that_disagree_are_both_told() -> None:
    found = verdicts.verdict(
        of(
            model__pair_l1=(0.1, 0.001),
            copy_input__pair_l1=(0.2, 0.001),
            model__fid_clean_test=(90.0, 1.0),
            copy_input__fid_clean_test=(50.0, 1.0),
        )
    )
    assert found.mark == "±"
    assert "contradict each other: better by pair L1, worse by FID (clean), test." in found.contradiction
    assert ["better" in found.evidence[0], "worse" in found.evidence[1]] == [True, True]


def test_without_trivial_answers_nothing_is_claimed() -> None:
    assert verdicts.verdict(of(model__pair_l1=(0.1, 0.01))).evidence == []
    assert verdicts.verdict({}).mark == "?"


def test_a_share_of_a_score_around_zero_is_not_told() -> None:
    found = verdicts.verdict(of(model__kid_x1000_test=(5.0, 0.1), copy_input__kid_x1000_test=(-1.0, 0.1)))
    assert "%" not in found.evidence[0]
    assert "worse than copying the input (\N{MINUS SIGN}1.00)" in found.evidence[0]


def test_the_best_of_a_row_is_marked_and_what_cannot_compete_is_not() -> None:
    own = of(
        model__pair_l1=(0.2, 0.0),
        copy_input__pair_l1=(0.1, 0.0),
        real_train__pair_l1=(0.01, 0.0),
        model__cycle_l1=(0.04, 0.0),
        copy_input__cycle_l1=(0.0, 0.0),
        mean_colour__cycle_l1=(0.5, 0.0),
        model__cycle_psnr=(20.0, 0.0),
        mean_colour__cycle_psnr=(10.0, 0.0),
        model__pair_psnr=(13.91, 0.0),
        copy_input__pair_psnr=(13.88, 0.0),
        real_train__pair_psnr=(13.9, 0.0),
        model__diversity=(0.3, 0.0),
        mean_colour__diversity=(0.0, 0.0),
    )
    drawn = tables.table(own)
    assert list(drawn.heads) == ["model", "copy_input", "mean_colour", "real_train"]
    best = {
        line.name: [subject for subject, cell in zip(drawn.heads, line.cells, strict=True) if cell.standing == "best"]
        for lines in drawn.groups.values()
        for line in lines
    }
    expected = {"pair_l1": ["copy_input"], "cycle_l1": ["model"], "cycle_psnr": ["model"], "diversity": []}
    assert best == expected | {"pair_psnr": ["model"]}
    assert [cell.value for cell in drawn.groups["Like the true counterpart"][0].cells][2] == numbers.MISSING


def test_what_is_not_shown_to_differ_from_the_best_is_marked_by_the_rule_of_the_verdict() -> None:
    own = of(
        model__kid_x1000_test=(10.0, 1.0),
        copy_input__kid_x1000_test=(12.0, 1.0),
        mean_colour__kid_x1000_test=(90.0, 1.0),
        last__kid_x1000_test=(11.0, 1.0, 0.1),
    )
    ((line,),) = tables.table(own).groups.values()
    assert [(cell.value, cell.standing) for cell in line.cells] == [
        ("10.0", "best"),
        ("12.0", "alike"),
        ("90.0", ""),
        ("11.0", ""),  # of the same pictures, and so surely worse
    ]
    assert verdicts.verdict(own).mark == "≈"


def test_directions_that_differ_are_said_to() -> None:
    good = verdicts.verdict(of(model__pair_l1=(0.1, 0.001), copy_input__pair_l1=(0.2, 0.001)))
    bad = verdicts.verdict(of(model__pair_l1=(0.2, 0.001), copy_input__pair_l1=(0.1, 0.001)))
    assert verdicts.across({"A → B": good, "B → A": good}) == ""
    said = "The directions differ. A → B: better than trivial answers; B → A: not better than a trivial answer."
    assert verdicts.across({"A → B": good, "B → A": bad}) == said


def test_errors_are_read_from_the_table_as_far_as_there_are_any() -> None:
    table = scores(20).assign(se_from_model=np.nan)
    table.loc[table["subject"] == "copy_input", "se_from_model"] = 0.5
    found = numbers.scores_of(table, "A_to_B")
    assert found["copy_input", "pair_l1"].se_from_model == 0.5
    assert found["model", "pair_l1"].se_from_model is None
    assert found["real_train", "pair_l1"].se is None
    without = numbers.scores_of(scores(20), "A_to_B")
    assert without["copy_input", "pair_l1"].se_from_model is None


@pytest.mark.parametrize(
    ("errors", "expected"),
    [([4.5, 2.0], 1), ([45.0], 0), ([0.0089], 4), ([0.0], 3), ([None], 3), ([3e-12], numbers.MOST_DECIMALS)],
)
def test_decimals_follow_the_smallest_error(errors: list[float | None], expected: int) -> None:
    assert numbers.decimals_of(Score(0.1, error) for error in errors) == expected


def test_there_is_no_minus_zero_and_errors_have_the_decimals_of_their_value() -> None:
    assert numbers.text(-0.0001, 2) == "0.00"
    assert numbers.text(-0.01, 2) == "\N{MINUS SIGN}0.01"
    assert numbers.within(0.1477, 0.00886).replace("\N{NO-BREAK SPACE}", " ") == "0.1477 ± 0.0089"
    assert numbers.within(0.1477, None) == "0.148"


# --- health -----------------------------------------------------------------------------------------------------------


def test_health_stands_on_the_page_and_says_what_fails() -> None:
    healthy = Reader(page(evaluation())).text
    assert "No check fails." in healthy
    cells = healthy.replace(" ", "")
    assert "colouragreementbad:below\N{MINUS SIGN}0.2500.8000.700" in cells
    assert "judgedrightbad:above0.9980.7500.900" in cells  # of D_B, which judges A to B, and of D_A
    sick = Reader(page(evaluation(health=HEALTH | {"A_to_B": HEALTH["A_to_B"] | {"copying": 0.01}}))).text
    assert "1 check fails at the end of the training" in sick
    assert "health/A_to_B/copying is 0.01, below 0.05: the output is the input, all but unchanged" in sick
    assert "Health" not in Reader(page(evaluation(health={}))).text


def test_a_critic_that_is_always_right_is_no_fault() -> None:
    values = {"D_A": {"judged_right": 1.0}, "D_B": {"judged_right": 1.0}}
    found, other = health.health(values, "wgangp"), health.health(values, "lsgan")
    assert found is not None
    assert other is not None
    assert (len(found.faults), len(other.faults)) == (0, 2)


def test_a_score_the_catalogue_does_not_know_is_shown_by_its_name() -> None:
    assert "my_own" in Reader(page(evaluation(scores=scores(20, METRICS | {"my_own": 3.0})))).text


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((123.456, 0.5), ["123.5", "0.5"]),
        ((0.1234,), ["0.123"]),
        ((-1.5, 2), ["\N{MINUS SIGN}1.50", "2.00"]),
        ((0.0012,), ["0.0012"]),
    ],
)
def test_numbers_of_a_row_share_their_decimals(values: tuple[float, ...], texts: list[str]) -> None:
    places = numbers.decimals(values)
    assert [numbers.text(value, places) for value in values] == texts


# --- curves -----------------------------------------------------------------------------------------------------------


def test_curves_take_the_colours_of_the_page_and_are_bounded() -> None:
    charts = curves.training(history(20_000))
    assert [chart.title for chart in charts] == list(curves.TERMS)[:4]
    for chart in charts:
        assert len(chart.svg) < 30_000
        assert "var(--first)" in chart.svg
        assert not set(re.findall(r"#[0-9a-f]{6}\b", chart.svg)) & set(curves.VARIABLES)
        assert "2026" not in chart.svg
    assert "cycle_A 0.671 to 0.00474" in charts[0].description


def test_the_chosen_epoch_is_marked() -> None:
    marked, plain = curves.validation(validation(), BEST), curves.validation(validation(), None)
    assert [chart.title for chart in marked] == ["KID x 1000, val, A → B", "KID x 1000, val, B → A"]
    assert "epoch 3 was chosen" in marked[0].description
    assert ">chosen<" in marked[0].svg
    assert ">chosen<" not in plain[0].svg


def test_a_drawing_does_not_depend_on_the_users_own_style(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    before = curves.training(history())
    with mpl.rc_context({"lines.linewidth": 9.0, "font.size": 30.0}):
        assert curves.training(history()) == before
        assert mpl.rcParams["lines.linewidth"] == 9.0


# --- files ------------------------------------------------------------------------------------------------------------


def test_an_installed_package_holds_the_files_that_the_page_is_made_of() -> None:
    folders = {name: ROOT / f"src/cyclegan/{name}" for name in ("report", "comparison")}
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    others = {
        f"{name}/{path.name}"
        for name, folder in folders.items()
        for path in folder.iterdir()
        if path.is_file() and path.suffix != ".py"
    }
    pages = {f"{name}/page.{kind}" for name, kind in itertools.product(folders, ("html", "css"))}
    assert others == pages | {"report/page.js", "report/base.css"}
    assert set(packaged["cyclegan"]) == {f"{Path(name).parent}/*{Path(name).suffix}" for name in others}
    assert Path(curves.__file__).parent == folders["report"]
