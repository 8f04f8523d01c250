"""What is recorded comes to one run of MLflow, neither missing nor doubled, however often delivery is cut."""

import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pytorch
import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image
from tracking.logs import GRID, OPEN, Requests, root, runs, start, store_in, through, train, write_addition, write_only

from cyclegan import tracking
from cyclegan.config import Config
from cyclegan.errors import UserError
from cyclegan.models import specs, weights
from cyclegan.models.networks import build_generator
from cyclegan.tracking import outbox, recorder, sender, store
from cyclegan.tracking.outbox import Outbox

__all__ = ["root"]  # a fixture

AWAY = "http://user:secret@127.0.0.1:9"  # a port where nobody listens


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "SEND_SECONDS", 0.05)
    monkeypatch.setattr(sender, "PATIENCE_SECONDS", 0.5)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory, make_config: Callable[..., Config]) -> Path:
    model = make_config().model
    folder = tmp_path_factory.mktemp("generator") / "G_AB"
    spec = specs.generator_spec(model, "G_AB", 32, "k1", "raw")
    weights.save(folder, build_generator(model, "G_AB").state_dict(), spec)
    return folder


def waiting(root: Path) -> list[Path]:
    return sorted((root / outbox.FOLDER).glob("*"))


def curve(steps: range) -> list[tuple[int, float]]:
    return [(step, step / 10) for step in steps]


def whole_training(root: Path, training_id: str) -> None:
    """All that a training can say, in two processes: the second repeats what came after the first one's checkpoint."""
    log = write_only(root, training_id)
    log.text("a diff", "uncommitted.diff")
    train(log, range(1, 4), range(2))
    log.outbox.close()
    log = write_only(root, training_id)
    train(log, range(1, 6), range(2, 4))
    (root / "history.csv").write_text("step\n1\n")
    log.artifact(root / "history.csv", "some")
    log.outbox.add("end", status="FINISHED")
    log.outbox.close()


def whole_addition(root: Path, key: str, generator: Path) -> None:
    """All that evaluation and export can say."""
    log = write_addition(root, key)
    log.metrics({"test/x": 1.5, "test/y": 2.5})
    log.tags({"evaluate.weights": "raw"})
    log.text("a card", "README.md", "export")
    log.generator(generator, 32)
    log.outbox.close()


def comparable(run: Mapping[str, Any]) -> dict[str, Any]:
    tags = {name: text for name, text in run["tags"].items() if name not in (store.ID_TAG, store.KEY_TAG)}
    return {**run, "id": None, "tags": tags}


def run_of(root: Path, case: str) -> Mapping[str, Any]:
    """The one run of a training's id, or of a key."""
    (run,) = runs(root, tag=(store.ID_TAG, case)) or runs(root, tag=(store.KEY_TAG, case))
    return run


def save_little(*arguments: Any, **keywords: Any) -> None:
    """Instead of MLflow's writing of a model, which takes seconds."""
    Path(arguments[1]).mkdir()
    (Path(arguments[1]) / "MLmodel").write_text("flavors: {}\n")


def test_everything_is_there_once(root: Path, generator: Path) -> None:
    whole_training(root, "t1")
    whole_addition(root, "k1", generator)
    assert tracking.sync(root) == []
    assert waiting(root) == []
    (run,) = runs(root)
    assert run["status"] == "FINISHED"
    metrics = run["metrics"]
    assert metrics["loss/x"] == curve(range(1, 6))
    assert metrics["val/cycle_A"] == [(step, step / 7) for step in (2, 4)]
    assert metrics["health/A_to_B/copying"] == [(step, step / 11) for step in (2, 4)]
    assert metrics[sender.SYSTEM] == [(number, number) for number in range(4)]
    assert metrics["test/x"] == [(0, 1.5)]
    assert run["tags"]["evaluate.weights"] == "raw"
    assert run["inputs"] == [("shapes", "d" * 36)]
    names = [name for name, _ in run["artifacts"]]
    grids = [f"images/samples~{way}+step+{step}" for way in ("A_to_B", "B_to_A") for step in (2, 4)]
    pictures = [f"{grid}{suffix}" for grid in grids for suffix in ("+compressed.webp", ".png")]
    assert sorted(names) == sorted([*pictures, "export/README.md", "some/history.csv", "uncommitted.diff"])
    assert run["tags"][sender.PICTURES_TAG] == "True"
    assert run["models"] == [("G_AB", "READY", (("test/x", 1.5), ("test/y", 2.5)))]


def test_grids_are_found_by_the_ui_as_log_image_would_have_written_them(root: Path, tmp_path: Path) -> None:
    log = write_only(root, "t1")
    log.samples(6, {"A_to_B": GRID})
    log.outbox.close()
    tracking.sync(root)
    client = MlflowClient(store_in(root).uri)
    ours = runs(root)[0]["id"]
    theirs = client.create_run("0").info.run_id
    client.log_image(theirs, GRID, key="samples/A_to_B", step=6, synchronous=True)
    found = [{entry.path: entry for entry in client.list_artifacts(run_id, "images")} for run_id in (ours, theirs)]
    anonymous = [sorted(re.sub(r"\d{13}|[0-9a-f-]{36}", "#", name) for name in names) for names in found]
    assert anonymous[0] == anonymous[1]
    assert len(anonymous[0]) == 2
    pixels = [
        [np.asarray(Image.open(client.download_artifacts(run_id, name, str(tmp_path)))) for name in sorted(names)]
        for run_id, names in zip((ours, theirs), found, strict=True)
    ]
    np.testing.assert_array_equal(pixels[0][0], pixels[1][0])
    np.testing.assert_array_equal(pixels[0][1], pixels[1][1])
    tags = [client.get_run(run_id).data.tags[sender.PICTURES_TAG] for run_id in (ours, theirs)]
    assert tags[0] == tags[1]


EVERY = pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.complete)])


def cuts(
    root: Path, monkeypatch: pytest.MonkeyPatch, every: int, say: Callable[[str], None]
) -> tuple[dict[str, Any], list[str]]:
    """Deliver what `say` says for an id undisturbed, then cut at every so many-th request, and compare.

    Returns what came of the undisturbed one, and the names of its requests.
    """
    requests = Requests()
    through(requests, monkeypatch)
    say("undisturbed")
    assert tracking.sync(root) == []
    undisturbed = comparable(run_of(root, "undisturbed"))
    names = requests.names
    for number in range(0, len(names), every):
        for moment in ("before", "after") if every == 1 else ("after",):
            case = f"{number}-{moment}"
            say(case)
            through(Requests((number, moment)), monkeypatch)
            problems = tracking.sync(root)
            assert [problem.rpartition(" ")[2] for problem in problems] == ["cut"], (case, names[number], problems)
            through(Requests(), monkeypatch)
            assert tracking.sync(root) == [], (case, names[number])
            assert waiting(root) == []
            assert comparable(run_of(root, case)) == undisturbed, (case, names[number])
    return undisturbed, names


@EVERY
def test_a_training_cut_at_any_request_comes_out_the_same(root: Path, monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    undisturbed, names = cuts(root, monkeypatch, every, lambda case: whole_training(root, case))
    assert undisturbed["metrics"]["loss/x"] == curve(range(1, 6))
    assert {"create_run", "log_batch", "log_inputs", "log_artifact", "set_tag", "set_terminated"} <= set(names)


@EVERY
def test_an_addition_cut_at_any_request_comes_out_the_same(
    root: Path, generator: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    monkeypatch.setattr(mlflow.pytorch, "save_model", save_little)
    undisturbed, names = cuts(root, monkeypatch, every, lambda case: whole_addition(root, case, generator))
    assert undisturbed["metrics"] == {"test/x": [(0, 1.5)], "test/y": [(0, 2.5)]}
    assert undisturbed["models"] == [("G_AB", "READY", (("test/x", 1.5), ("test/y", 2.5)))]
    assert {"create_logged_model", "log_model_artifacts", "log_outputs", "finalize_logged_model"} <= set(names)


def test_many_values_are_cut_between_records(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their first curve stands for all: no request may hold it without the others."""
    log = write_only(root, "t1")
    for step in range(1, 41):
        log.curve({"epoch": 1.0} | {f"loss/{number}": float(step) for number in range(96)}, step)
    log.outbox.close()
    requests = Requests((0, "before"))
    for number in range(40):
        requests = Requests((number, "after"))
        through(requests, monkeypatch)
        if not tracking.sync(root):
            break
    (run,) = runs(root)
    for curve_name in ("epoch", "loss/0", "loss/95"):
        assert [step for step, _ in run["metrics"][curve_name]] == list(range(1, 41))
    assert requests.names.count("log_batch") >= 2


def test_a_resumed_training_is_the_same_run_without_doubled_steps(root: Path) -> None:
    first = start(root, "t1")
    train(first, range(1, 4), range(3))
    first.finish("KILLED")
    (run,) = runs(root)
    assert run["status"] == "KILLED"
    second = start(root, "t1")
    deadline = time.monotonic() + 30
    while runs(root)[0]["status"] != "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    train(second, range(1, 7), range(3, 5))
    second.finish("FINISHED")
    (again,) = runs(root)
    assert (again["id"], again["status"]) == (run["id"], "FINISHED")
    assert again["metrics"]["loss/x"] == curve(range(1, 7))
    assert again["metrics"]["val/cycle_A"] == [(step, step / 7) for step in (2, 4, 6)]
    assert [step for step, _ in again["metrics"]["system/memory"]] == list(range(5))
    assert len([name for name, _ in again["artifacts"] if name.endswith(".png")]) == 6
    assert waiting(root) == []


def test_a_run_that_was_deleted_is_replaced(root: Path) -> None:
    start(root, "t1").finish("KILLED")
    (run,) = runs(root)
    MlflowClient(store_in(root).uri).delete_run(run["id"])
    start(root, "t1").finish("FINISHED")
    (other,) = runs(root)
    assert other["id"] != run["id"]
    assert other["status"] == "FINISHED"


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_how_a_training_ended_is_how_its_run_ended(root: Path, status: str) -> None:
    log = start(root, "t1")
    train(log, range(1, 3))
    log.finish(status)
    (run,) = runs(root)
    assert run["status"] == status
    assert tracking.sync(root) == []
    assert runs(root) == [run]


def test_who_ended_without_a_word_was_killed_when_it_last_wrote(root: Path) -> None:
    sent, unsent = write_only(root, "sent"), write_only(root, "unsent", key="k2")
    for log in (sent, unsent):
        train(log, range(1, 3))
    sender.Delivery(sender._connect(sent.outbox), sent.outbox).send()
    written = time.time()
    assert [run["status"] for run in runs(root)] == ["RUNNING"]
    assert tracking.sync(root) == [], "both are at work"
    assert [run["status"] for run in runs(root)] == ["RUNNING"]
    time.sleep(0.5)
    for log in (sent, unsent):
        log.outbox.lock.release()  # as the end of the process does
    assert tracking.sync(root) == []
    assert waiting(root) == []
    client = MlflowClient(store_in(root).uri)
    for run in runs(root):
        assert run["status"] == "KILLED"
        assert run["metrics"]["loss/x"] == curve(range(1, 3))
        assert client.get_run(run["id"]).info.end_time <= written * 1000 + 50


@pytest.mark.parametrize("status", ["FINISHED", "FAILED"])
def test_who_was_killed_after_its_last_word_was_not_killed(root: Path, status: str) -> None:
    log = write_only(root, "t1")
    log.outbox.add("end", status=status)
    sender.Delivery(sender._connect(log.outbox), log.outbox).send()
    log.outbox.lock.release()  # before it could remove its outbox
    assert len(waiting(root)) == 1
    assert tracking.sync(root) == []
    assert [run["status"] for run in runs(root)] == [status]
    assert waiting(root) == []


def test_killed_and_then_resumed_before_anything_was_sent_it_ends_as_the_second_did(root: Path) -> None:
    log = write_only(root, "t1")
    train(log, range(1, 3))
    log.outbox.close()
    MlflowClient(store_in(root).uri)
    log = start(root, "t1")
    train(log, range(1, 4))
    log.finish("FINISHED")
    (run,) = runs(root)
    assert (run["status"], run["metrics"]["loss/x"]) == ("FINISHED", curve(range(1, 4)))


def away_until(back: threading.Event, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let the store be away until the event is set; returns the times at which it was tried."""
    tried: list[float] = []

    def opened(to: tracking.Store) -> Any:
        tried.append(time.monotonic())
        if not back.is_set():
            raise OSError("nobody at user:secret@home")
        return OPEN(to)

    monkeypatch.setattr(store, "open_store", opened)
    return tried


def test_a_store_that_comes_back_gets_what_waited(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sender, "MOST_SECONDS", 0.2)
    back = threading.Event()
    tried = away_until(back, monkeypatch)
    log = start(root, "t1")
    train(log, range(1, 4))
    deadline = time.monotonic() + 30
    while len(tried) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    back.set()
    while runs(root) == [] or len(log.outbox):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    train(log, range(4, 6))
    log.finish("FINISHED")
    (run,) = runs(root)
    assert (run["status"], run["metrics"]["loss/x"]) == ("FINISHED", curve(range(1, 6)))
    said = capsys.readouterr().out
    assert said.count("warning") == 1
    assert said.count("is back") == 1
    assert waiting(root) == []


def test_a_store_that_stays_away_costs_a_while_and_a_line_that_says_what_waits(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = start(root, "t1", to=store_in(root, uri=AWAY))
    train(log, range(1, 4))
    deadline = time.monotonic() + 60
    while log.sender.trouble is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    before = time.monotonic()
    log.finish("FINISHED")
    assert time.monotonic() - before < sender.PATIENCE_SECONDS + 2
    said = capsys.readouterr()
    assert "secret" not in said.out + said.err
    assert said.err == ""
    warning, last = said.out.splitlines()
    assert warning.startswith("warning: MLflow at http://127.0.0.1:9: ")
    assert "Connection refused" in warning
    assert len(waiting(root)) == 1
    assert str(waiting(root)[0]) in last
    assert re.search(r"^8 records .* `cyclegan sync` sends them", last)
    assert runs(root) == []


def test_the_next_stage_sends_what_waits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    back = threading.Event()
    away_until(back, monkeypatch)
    log = start(root, "t1")
    train(log, range(1, 4))
    log.finish("FINISHED")
    assert len(waiting(root)) == 1
    back.set()
    with tracking.add_to(store_in(root), root, "k1", "name") as addition:
        addition.metrics({"test/x": 1.0})
    assert waiting(root) == []
    (run,) = runs(root)
    assert (run["status"], run["metrics"]["test/x"]) == ("FINISHED", [(0, 1.0)])
    assert run["metrics"]["loss/x"] == curve(range(1, 4))


def test_evaluation_of_a_training_that_waits_itself_ends_in_its_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    back = threading.Event()
    away_until(back, monkeypatch)
    log = start(root, "t1")
    train(log, range(1, 4))
    log.finish("FINISHED")
    with tracking.add_to(store_in(root), root, "k1", "name") as addition:
        addition.metrics({"test/x": 1.0})
    assert len(waiting(root)) == 2
    back.set()
    assert tracking.sync(root) == []
    (run,) = runs(root)
    assert run["name"] == "name"
    assert run["metrics"]["test/x"] == [(0, 1.0)]


def test_evaluation_makes_no_run_while_another_process_holds_the_training_s(root: Path) -> None:
    log = write_only(root, "t1")
    log.outbox.add("end", status="FINISHED")
    with tracking.add_to(store_in(root), root, "k1", "name") as addition:
        addition.metrics({"test/x": 1.0})
    assert runs(root) == []
    (problem,) = tracking.sync(root)
    assert "itself must be sent first" in problem
    log.outbox.close()
    assert tracking.sync(root) == []
    (run,) = runs(root)
    assert (run["status"], run["metrics"]["test/x"]) == ("FINISHED", [(0, 1.0)])


def test_an_outbox_held_by_a_stage_at_work_keeps_no_other_waiting(root: Path) -> None:
    held = write_only(root, "held")
    other = write_only(root, "other", key="k2")
    other.outbox.close()
    assert tracking.sync(root) == []
    assert [run["tags"][store.ID_TAG] for run in runs(root)] == ["other"]
    held.outbox.close()


def test_of_two_stores_the_one_that_is_there_gets_its_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = store_in(root, uri=AWAY)
    tried: list[tracking.Store] = []
    monkeypatch.setattr(store, "open_store", lambda to: (tried.append(to), OPEN(to))[1])
    for number, to in enumerate((away, store_in(root), away, store_in(root))):
        log = write_only(root, f"t{number}", key=f"k{number}", to=to)
        train(log, range(1, 3))
        log.outbox.close()
    problems = tracking.sync(root)
    assert [run["tags"][store.ID_TAG] for run in runs(root)] == ["t1", "t3"]
    assert [path.name for path in waiting(root)] == ["t0", "t2"]
    assert len(problems) == 2
    assert not [problem for problem in problems if "secret" in problem]
    assert tried.count(away) == 1, "a store that is away is waited for once"


def test_a_stage_sends_for_its_own_store_only(root: Path) -> None:
    log = write_only(root, "t0", key="k0", to=store_in(root, uri=AWAY))
    log.outbox.close()
    start(root, "t1").finish("FINISHED")
    assert [path.name for path in waiting(root)] == ["t0"]


def test_an_outbox_that_cannot_be_sent_keeps_no_other_waiting(root: Path) -> None:
    broken = write_only(root, "broken")
    broken.outbox.add("nonsense")
    broken.outbox.close()
    log = write_only(root, "whole", key="k2")
    log.outbox.close()
    (problem,) = tracking.sync(root)
    assert problem.startswith(".tracking/broken: ")
    assert [path.name for path in waiting(root)] == ["broken"]
    assert {run["tags"][store.ID_TAG]: run["status"] for run in runs(root)} == {"broken": "RUNNING", "whole": "KILLED"}


def test_an_outbox_of_another_version_stops_neither_sync_nor_a_stage(root: Path) -> None:
    strange = Outbox(root / outbox.FOLDER / "strange", {"training_id": "x", "train_key": "k", "store": {"address": "?"}})
    strange.add("begin")
    strange.close()
    start(root, "t1").finish("FINISHED")
    assert [run["status"] for run in runs(root)] == ["FINISHED"]
    (problem,) = tracking.sync(root)
    assert problem.startswith(".tracking/strange: ")


def test_the_run_of_a_key_is_a_finished_one_and_stays_as_it_was(root: Path) -> None:
    start(root, "finished").finish("FINISHED")
    start(root, "killed").finish("KILLED")
    start(root, "other", key="other").finish("FINISHED")
    client = MlflowClient(store_in(root).uri)
    finished = runs(root)[0]["id"]
    before = client.get_run(finished).info
    with tracking.add_to(store_in(root), root, "k1", "name") as addition:
        addition.metrics({"test/x": 1.0})
    found = [run["tags"][store.ID_TAG] for run in runs(root) if "test/x" in run["metrics"]]
    assert found == ["finished"]
    after = client.get_run(finished).info
    assert (after.status, after.end_time) == ("FINISHED", before.end_time)


def test_without_a_run_of_the_training_one_is_made_that_says_so(root: Path) -> None:
    for number in range(2):
        with tracking.add_to(store_in(root), root, "unknown", "name") as addition:
            addition.metrics({f"test/{number}": 1.0})
    (run,) = runs(root)
    assert run["name"] == "name (trained elsewhere)"
    assert run["status"] == "FINISHED"
    assert "trained elsewhere" in run["tags"]["mlflow.note.content"]
    assert set(run["metrics"]) == {"test/0", "test/1"}


def test_what_can_neither_be_sent_nor_written_fails_the_stage_only_at_its_end(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "SAVE_SECONDS", 0.0)

    def full(self: Outbox) -> None:
        self.saved = False

    def no_line(self: Path, *arguments: Any, **keywords: Any) -> Any:
        raise OSError(28, "No space left on device")

    for finish in ("FINISHED", "FAILED", "KILLED"):
        log = start(root, finish, to=store_in(root, uri=AWAY))
        with monkeypatch.context() as patch:
            patch.setattr(Outbox, "_rewrite", full)
            patch.setattr(Path, "open", no_line)
            log.curve({"epoch": 1.0}, 1)
            if finish == "FINISHED":
                with pytest.raises(UserError, match="make room there"):
                    log.finish(finish)
            else:
                log.finish(finish)  # another error is on its way, and the checkpoint repeats it all
    with monkeypatch.context() as patch:

        def evaluate() -> None:
            with tracking.add_to(store_in(root, uri=AWAY), root, "k1", "name") as addition:
                patch.setattr(Outbox, "_rewrite", full)
                patch.setattr(Path, "open", no_line)
                addition.metrics({"test/x": 1.0})

        with pytest.raises(UserError, match="make room there"):
            evaluate()


def test_a_training_whose_log_is_being_sent_waits_for_that(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = write_only(root, "t1")
    threading.Timer(0.5, log.outbox.close).start()
    start(root, "t1").finish("FINISHED")
    assert [run["status"] for run in runs(root)] == ["FINISHED"]
    log = write_only(root, "t2")
    monkeypatch.setattr(recorder, "WAIT_SECONDS", 0.1)
    with pytest.raises(UserError, match="another process is sending"):
        start(root, "t2")


def test_nothing_is_sent_any_more_once_a_stage_has_given_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread may live on for a moment, while another process sends the same."""
    monkeypatch.setattr(sender, "STUCK_SECONDS", 0.3)
    goes_on = threading.Event()
    real = sender.Delivery.send

    def slow(self: sender.Delivery) -> None:
        if self.outbox.about["training_id"] == "t1":
            goes_on.wait(30)
        real(self)

    monkeypatch.setattr(sender.Delivery, "send", slow)
    log = start(root, "t1")
    train(log, range(1, 3))
    log.finish("FINISHED")
    assert len(waiting(root)) == 1
    goes_on.set()
    log.sender.thread.join(30)
    assert not log.sender.thread.is_alive()
    assert runs(root)[0]["metrics"] == {}
    assert tracking.sync(root) == []
    assert runs(root)[0]["metrics"]["loss/x"] == curve(range(1, 3))


def test_system_metrics_are_measured_and_counted_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cyclegan.tracking import system

    monkeypatch.setattr(system, "SECONDS", 0.05)
    for status in ("KILLED", "FINISHED"):
        log = tracking.start_training(
            store_in(root),
            root,
            "t1",
            "k1",
            "name",
            {},
            {},
            {"source": "s", "digest": "d", "commit": "c"},
            system_metrics=True,
        )
        deadline = time.monotonic() + 30
        before = runs(root)[0]["metrics"].get(sender.SYSTEM, []) if runs(root) else []
        while not runs(root) or len(runs(root)[0]["metrics"].get(sender.SYSTEM, [])) < len(before) + 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        log.finish(status)
    (run,) = runs(root)
    steps = [step for step, _ in run["metrics"]["system/system_memory_usage_megabytes"]]
    assert steps == list(range(len(steps)))
    assert [step for step, _ in run["metrics"][sender.SYSTEM]] == steps


def test_a_moved_clock_neither_loses_nor_doubles(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    for number, hours in enumerate((0, -5, 7, -3)):
        monkeypatch.setattr(time, "time", lambda hours=hours: real() + hours * 3600)
        log = start(root, "t1")
        train(log, range(1, 3 + 2 * number))
        log.finish("FINISHED")
    monkeypatch.undo()
    (run,) = runs(root)
    assert sorted(run["metrics"]["loss/x"]) == curve(range(1, 9))
    assert run["status"] == "FINISHED"


def test_a_screen_that_is_gone_stops_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*arguments: Any, **keywords: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(outbox, "print", gone, raising=False)
    log = start(root, "t1", to=replace(store_in(root), uri=AWAY))
    train(log, range(1, 3))
    log.finish("FINISHED")
    assert len(waiting(root)) == 1
    shutil.rmtree(waiting(root)[0])


def test_an_error_is_told_by_what_it_comes_down_to_without_passwords() -> None:
    error = ValueError("a page of text")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert sender.explain(error) == "[Errno 111] Connection refused"
    assert sender.explain(OSError("no answer of http://user:secret@host/path\nand more")) == "no answer of http://host/path"
    assert sender.explain(TimeoutError()) == "TimeoutError"


def test_a_description_leads_to_artifacts_and_leaves_what_people_wrote(root: Path) -> None:
    start(root, "t1").finish("FINISHED")
    client = MlflowClient(store_in(root).uri)
    (run_id,) = (run["id"] for run in runs(root))

    def described(text: str) -> str:
        with tracking.add_to(store_in(root), root, "k1", "name") as log:
            log.describe(text)
        note: str = client.get_run(run_id).data.tags["mlflow.note.content"]
        return note

    note = described("**Good.** [report](artifact:a b/r.html)\n\n![A](artifact:e/A.png) artifact:e/none")
    experiment_id = client.get_run(run_id).info.experiment_id
    page = f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/a%20b/r.html"
    picture = f"get-artifact?path=e%2FA.png&run_uuid={run_id}"
    ours = f"**Good.** [report]({page})\n\n![A]({picture}) artifact:e/none"
    assert note == f"<!-- evaluation -->\n{ours}\n<!-- end of the evaluation -->"
    client.set_tag(run_id, "mlflow.note.content", f"above\n{note}\nbelow")
    assert described("Bad.") == "above\n<!-- evaluation -->\nBad.\n<!-- end of the evaluation -->\nbelow"
    client.set_tag(run_id, "mlflow.note.content", "only mine")
    assert described("Good.") == "<!-- evaluation -->\nGood.\n<!-- end of the evaluation -->\n\nonly mine"
    client.set_tag(run_id, "mlflow.note.content", "x" * 7500)
    note = described("y" * 3000)
    assert note.endswith(f"yyy...\n<!-- end of the evaluation -->\n\n{'x' * 7500}"), "what people wrote stays whole"
    assert len(note) == 8000
    client.set_tag(run_id, "mlflow.note.content", "x" * 7990)
    assert described("no room for it") == "x" * 7990


def started(root: Path, tags: dict[str, str], name: str, former: list[str]) -> dict[str, Any]:
    """A start of the training t1; what its run is called and tagged then."""
    data = {"source": "s", "digest": "d", "commit": "c"}
    tracking.start_training(
        store_in(root), root, "t1", "k1", name, {}, tags, data, system_metrics=False, former_names=former
    ).finish("KILLED")
    (run,) = runs(root)
    return {"name": run["name"], **{tag: run["tags"].get(tag) for tag in ("experiment", "commit")}}


def test_a_later_start_takes_away_what_is_no_longer_true(root: Path) -> None:
    first = {"experiment": "one", "commit": "c1"}
    assert started(root, first, "x one", []) == {"name": "x one", **first}
    second = {"experiment": "", "commit": "c2"}
    assert started(root, second, "x", ["x one"]) == {"name": "x", "experiment": None, "commit": "c2"}
    (run,) = runs(root)
    MlflowClient(store_in(root).uri).update_run(run["id"], name="the good one")
    third = {"experiment": "three", "commit": "c2"}
    assert started(root, third, "x three", ["x one", "x"]) == {"name": "the good one", **third}, "a user's name stays"
