"""`cyclegan ui`, and what MLflow's pages then show of two trainings, in a real browser.

    WRITE_SCREENSHOTS=1 pytest tests/pipeline/test_browse.py

writes the pictures of docs/mlflow.md, too.
"""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from browser import browser
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from project import ROOT, child_environment, run, set_params
from repositories import copy_repository, tags_of
from typer.testing import CliRunner

from cyclegan.cli import app
from cyclegan.pipeline import browse

__all__ = ["browser"]  # a fixture

DOCUMENTATION = ROOT / "docs/mlflow.md"
SCREENSHOTS = ROOT / "docs/images/mlflow"
LARGEST = 150_000  # bytes of a screenshot
SCREEN = {"width": 1280, "height": 800}
SECONDS = 60.0  # for a page on a busy machine
expect.set_options(timeout=1000 * SECONDS)
# At first MLflow's assistant covers a third of each page, and pages are those for language models.
QUIET = """
    localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');
    localStorage.setItem('mlflow.workflowType_v1', '"machine_learning"');
    localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');
"""
EXPERIMENT, SOFTER = "softer-cycle", {"loss.lambda_A": 5.0}


@dataclass(frozen=True)
class Served:
    """A project whose runs are shown.

    Attributes:
        address: as `cyclegan ui` says it.
        runs: the ids of both runs by "first" and "second".
    """

    project: Path
    address: str
    runs: dict[str, str]

    @property
    def base(self) -> str:
        return self.address.partition("/#")[0]

    def at(self, path: str) -> str:
        """The address of a page of the experiment."""
        return self.address.partition("/runs")[0] + path

    def tags(self, run: str) -> dict[str, str]:
        return tags_of(self.project, self.runs[run])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, finished: Path) -> Path:
    """Two trainings of drawn shapes, the first evaluated and exported; the folder was moved since."""
    folder = copy_repository(finished, tmp_path_factory.mktemp("pages") / "before")
    set_params(folder, SOFTER)
    run(folder, sys.executable, "stages/train.py", DVC_STAGE="train", DVC_EXP_NAME=EXPERIMENT)
    return folder.rename(folder.with_name("moved"))


class Ui:
    """`cyclegan ui` as a user starts it."""

    def __init__(self, project: Path, *options: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            ["cyclegan", "ui", *options],
            cwd=project,
            env=child_environment(project) | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # in the background shells ignore Ctrl-C
        )

    def lines(self, last: str) -> list[str]:
        """What it prints, up to a line that begins so."""
        said: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said.append(line.rstrip())
            if line.startswith(last):
                return said
        raise AssertionError("\n".join(said))

    def end(self, number: int) -> str:
        """Send a signal to it alone; returns what it printed since."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=SECONDS)
        return rest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def served(project: Path) -> Iterator[Served]:
    """`cyclegan ui`, until Ctrl-C; it must end without a trace then."""
    port = free_port()
    ui = Ui(project, "--port", str(port))
    try:
        said = ui.lines("Ctrl-C")
        assert said[0] == "this project was moved or copied: its runs' files are found here now"
        with sqlite3.connect(project / "mlflow.db") as database:
            ids = [run_id for (run_id,) in database.execute("select run_uuid from runs order by start_time")]
        yield Served(project, said[-2], dict(zip(("first", "second"), ids, strict=True)))
    finally:
        rest = ui.end(signal.SIGINT)
    assert (ui.process.returncode, rest) == (0, "")
    assert not answers(port)


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, served: Served) -> Iterator[Open]:
    """open_page(address): a page of MLflow in a window of its own; nothing beyond this machine may be asked for."""
    contexts, elsewhere = [], []

    def open_page(address: str) -> Page:
        context = browser.new_context(viewport=SCREEN)  # type: ignore[arg-type]
        context.set_default_timeout(1000 * SECONDS)
        context.add_init_script(QUIET)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: elsewhere.append(request.url) if is_elsewhere(request.url) else None)
        page.goto(address)
        return page

    def is_elsewhere(url: str) -> bool:
        return url.startswith("http") and not url.startswith(served.base)

    yield open_page
    for context in contexts:
        context.close()
    assert elsewhere == []


def picture(page: Page, name: str) -> None:
    """Where asked to, write the page as a picture of docs/mlflow.md."""
    if os.environ.get("WRITE_SCREENSHOTS"):
        page.wait_for_timeout(1000)  # until nothing moves any more
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        file = SCREENSHOTS / f"{name}.png"
        page.screenshot(path=file)
        with Image.open(file) as whole:
            whole.quantize(128).save(file, optimize=True)


def test_the_address_leads_to_the_runs_by_readable_names(served: Served, open_page: Open) -> None:
    page = open_page(served.address)
    key = {run: served.tags(run)["train_key"][:8] for run in served.runs}
    names = [f"shapes {key['first']}", f"shapes {EXPERIMENT} {key['second']}"]
    for name in names:
        expect(page.get_by_role("link", name=name)).to_be_visible()
    assert "workflowType=machine_learning" in page.url
    picture(page, "runs")


def test_the_documentation_shows_every_picture_that_there_is_and_none_is_large() -> None:
    shown = re.findall(r"!\[[^]]+\]\(images/mlflow/(\S+)\)", DOCUMENTATION.read_text())
    assert len(shown) == len(set(shown)) == 5
    sizes = {file.name: file.stat().st_size for file in SCREENSHOTS.iterdir()}
    assert sizes.keys() == set(shown)
    assert {name: size for name, size in sizes.items() if size >= LARGEST} == {}


def filters() -> list[str]:
    """Those that docs/mlflow.md names."""
    return re.findall(r"^\| [^|]+ \| ``(.+)`` \|$", DOCUMENTATION.read_text(), re.MULTILINE)


def test_every_filter_of_the_documentation_finds_what_it_says(served: Served) -> None:
    assert len(filters()) == 9
    for text in filters():
        search(served, text)  # it is understood; the values are of other runs
    commit = served.tags("first")["git.commit"]
    ours = {
        "tags.dataset = 'shapes'": {"first", "second"},
        "tags.preset = 'none'": {"first", "second"},
        "tags.`dvc.experiment` = 'softer-cycle'": {"second"},
        "tags.`git.dirty` = 'false'": {"first"},
        f"tags.`git.commit` LIKE '{commit[:7]}%'": {"first"},
        "tags.started_by = 'dvc exp run'": {"second"},
        "tags.device = 'cpu'": {"first", "second"},
        "tags.device = 'another'": set(),
        "params.`loss.lambda_A` = '5.0'": {"second"},
        "metrics.`test/A_to_B/model/pair_l1` < 99": {"first"},
    }
    assert {text: search(served, text) for text in ours} == ours


def search(served: Served, text: str) -> set[str]:
    """The runs that a filter finds, as the page asks for them."""
    ids = {run_id: name for name, run_id in served.runs.items()}
    asked = {"experiment_ids": ["1"], "filter": text}
    answer = requests.post(f"{served.base}/api/2.0/mlflow/runs/search", json=asked, timeout=SECONDS)
    assert answer.ok, f"{text}: {answer.text}"
    return {ids[run["info"]["run_id"]] for run in answer.json().get("runs", [])}


def test_a_run_says_what_it_came_to_and_where_it_is_from(served: Served, open_page: Open) -> None:
    run_id = served.runs["first"]
    page = open_page(served.at(f"/runs/{run_id}"))
    expect(page.get_by_text("A → B:").first).to_be_visible()
    body = page.inner_text("body")
    assert "copying the input (" in body
    assert "<!--" not in body
    assert served.tags("first")["data_digest"][:36] in body
    for shown in ("started_by", "git.commit", "preset", "train.py", "loss.lambda_A"):
        assert shown in body or page.get_by_text(shown).count(), shown
    picture(page, "run")
    page.get_by_placeholder("Search parameters").fill("loss.")
    expect(page.get_by_text("train.batch_size", exact=True)).to_have_count(0)
    for name in ("loss.lambda_A", "loss.lambda_identity"):
        expect(page.get_by_text(name, exact=True)).to_be_visible()
    page.get_by_text("Show more").first.click()
    for direction in ("A_to_B", "B_to_A"):
        gallery = page.locator(f"img[src*='gallery_{direction}.png']")
        gallery.scroll_into_view_if_needed()
        page.wait_for_function("one => one.complete && one.naturalWidth > 64", arg=gallery.element_handle())
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="The whole report").click()
    page = opened.value
    report = page.frame_locator("iframe").first
    expect(report.get_by_role("heading", name="shapes", exact=True)).to_be_visible()
    hide_path(page)
    picture(page, "report")


def hide_path(page: Page) -> None:
    """Of the folder in which this happens to run."""
    page.evaluate("""() => { for (const one of document.querySelectorAll('*'))
        if (!one.children.length && one.textContent.includes('/mlartifacts/'))
            one.textContent = one.textContent.replace(/\\/\\S*(?=\\/mlartifacts\\/)/, '/home/you/cyclegan') }""")


def test_one_slider_sets_the_step_of_both_runs_grids(served: Served, open_page: Open) -> None:
    page = open_page(f"{served.address}&compareRunsMode=CHART")
    charts = page.get_by_placeholder("Search metric charts")
    charts.fill("loss/cycle")
    for name in ("loss/cycle_A", "loss/cycle_B"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .scatterlayer .js-line').length >= 4")  # of two runs
    charts.fill("samples")  # then grids alone are shown
    expect(page.get_by_text("samples/B_to_A", exact=True)).to_be_visible()
    for direction in ("A_to_B", "B_to_A"):
        page.wait_for_function(f"{shown(direction)}.length === 2")
    slider = page.get_by_role("slider").first
    for step in (0, 6):
        assert slider.get_attribute("aria-valuenow") == str(step)
        page.wait_for_function(f"{shown('A_to_B')}.filter(src => src.includes('%2Bstep%2B{step}%2B')).length === 2")
        slider.press("ArrowRight")
    assert page.evaluate(f"{shown('B_to_A')}.every(src => src.includes('%2Bstep%2B0%2B'))"), "each direction has its own"
    page.get_by_test_id("experiment-view-compare-runs-card-menu").first.click()
    page.get_by_role("menuitem", name="Configure").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("switch").click()  # of the parameters that stand above each grid
    dialog.get_by_role("button", name="Save changes").click()
    page.locator("[data-component-id='fullscreen_button_chartcard']").first.click()
    picture(page, "grids")


def shown(direction: str) -> str:
    """A script for the addresses of the grids that are shown, loaded and whole."""
    loaded = f"[...document.querySelectorAll(\"img[src*='samples~{direction}']\")].filter(one => one.naturalWidth > 64)"
    return f"{loaded}.map(one => one.src)"


def test_a_generator_s_page_has_its_scores_and_leads_to_run_and_data(served: Served, open_page: Open) -> None:
    with sqlite3.connect(served.project / "mlflow.db") as database:
        ((model_id,),) = database.execute("select model_id from logged_models where name = 'G_AB'")
    page = open_page(served.at(f"/models/{model_id}"))
    expect(page.get_by_text("test/A_to_B/model/pair_l1").first).to_be_visible()
    body = page.inner_text("body")
    assert f"shapes {served.tags('first')['train_key'][:8]}" in body
    assert served.tags("first")["data_digest"][:20] in body
    picture(page, "model")


# --- the command by itself ------------------------------------------------------------------------------------------------


@pytest.fixture
def alone(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which nothing has run, as the current folder; nothing may be started."""

    def started(*_: object, **__: object) -> None:
        raise AssertionError("MLflow is started")

    monkeypatch.setattr(browse.subprocess, "Popen", started)
    return workspace


def ui(*options: str) -> tuple[int, str]:
    """Exit status and all that it prints."""
    result = CliRunner().invoke(app, ["ui", *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_of_runs_that_a_server_keeps_the_address_is_said_without_the_password(alone: Path) -> None:
    port = free_port()
    set_params(alone, {"tracking.uri": f"http://user:secret@127.0.0.1:{port}"})
    status, said = ui()
    assert status == 0
    assert said == f"the runs are kept by the server http://127.0.0.1:{port}, but it does not answer (ConnectionError)\n"


def test_without_a_run_it_says_what_makes_one(alone: Path) -> None:
    (alone / "mlflow.db").unlink()
    status, said = ui()
    assert (status, "`dvc repro` makes it" in said) == (1, True)
    assert not (alone / "mlflow.db").exists()


def test_a_port_that_is_taken_is_an_error_that_names_the_option(alone: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        status, said = ui("--port", str(other.getsockname()[1]))
    assert (status, "give another one with --port" in said) == (1, True)


def test_a_database_that_is_none_is_an_error_that_names_it(alone: Path) -> None:
    (alone / "mlflow.db").write_bytes(b"no database" * 100)
    status, said = ui("--port", str(free_port()))
    assert (status, "mlflow.db cannot be used: file is not a database" in said) == (1, True)


def test_where_mlflow_does_not_start_the_last_that_it_says_is_shown(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys; print('first'); sys.exit('no such revision')"
    monkeypatch.setattr(browse, "COMMAND", [sys.executable, "-c", code])
    status, said = ui("--port", str(free_port()))
    assert (status, said.splitlines()[-2:]) == (1, ["  first", "  no such revision"])
