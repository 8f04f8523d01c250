"""`cyclegan runs`: from a commit to its runs, and from a run to the commits that hold its result."""

from pathlib import Path
from typing import Any

import pytest
from history.past import Past, client_of
from project import git_commit, run, set_params
from rich.console import Console
from typer.testing import CliRunner

from cyclegan import tracking
from cyclegan.cli import app
from cyclegan.history import listing, screen
from cyclegan.history.runs import REPRODUCES, HistoricRun, results, runs_of_key, the_run, workspace_store
from cyclegan.history.subject import commit_of


def runs(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["runs", *arguments])
    return result.exit_code, " ".join(result.output.split())


def rows(root: Path, name: str) -> list[tuple[str, str, bool | None, str]]:
    """Id, kind, dirtiness and the commits that hold the result."""
    lines = listing.of_revision(root, name).lines
    return [(line.run.id, line.run.kind, line.run.dirty, line.held_by) for line in lines if line.run]


# --- from a commit ----------------------------------------------------------------------------------------------------


def test_a_commit_leads_to_the_run_that_was_started_on_the_one_before(past: Past) -> None:
    held = f"{past.first[:8]}; now in experiment keen-ape, tag v1"
    for name in ("v1", "keen-ape", past.first, "HEAD~1"):
        assert rows(past.root, name) == [
            (past.runs[0], "training", False, held),
            (past.runs[2], "reproduction", None, held),
        ]
    (line, _) = listing.of_revision(past.root, "v1").lines
    assert line.run is not None
    assert (line.run.commit, line.run.train_key) == (past.code, past.keys[0])
    assert len(line.run.data_digest) == 64
    assert line.run.seconds is not None
    assert 0 < line.run.seconds < 600


def test_a_run_of_uncommitted_edits_belongs_to_the_commit_that_holds_them(past: Past) -> None:
    held = f"{past.second[:8]}; now in branch main, branch stale"
    assert rows(past.root, "main") == [(past.runs[1], "training", True, held)]
    status, output = runs()
    assert status == 0
    assert f"{past.runs[1][:8]} shapes {past.keys[1][:8]} training {past.first[:8]} dirty" in output
    edits = f"run {past.runs[1][:8]} was started on {past.first[:8]} with uncommitted edits, which {past.second[:8]} holds"
    assert edits in output


def test_a_commit_that_changed_since_its_result_leads_to_that_one_and_says_so(past: Past) -> None:
    found = listing.of_revision(past.root, "stale")
    assert [line.run.id for line in found.lines if line.run] == [past.runs[1]]
    (nothing, other) = found.notes
    assert nothing.startswith(f"{past.stale[:8]}: no run of its train key ")
    assert nothing.endswith("`dvc repro` there trains it")
    assert f"the result in it is of {past.keys[1][:8]}, while its own parameters, code and data make " in other


def test_a_commit_before_any_result_has_no_key(past: Past) -> None:
    status, output = runs("--rev", past.code)
    assert status == 0
    assert output == (
        f"{past.code[:8]}: its train key cannot be computed: it holds no prepared data's digest (metrics/dataset.json); "
        f"`dvc repro` and a commit of what it writes do"
    )


def test_experiments_of_one_name_are_all_listed(past: Past) -> None:
    reference = f"refs/exps/{past.first[:2]}/{past.first[2:]}/keen-ape"
    run(past.root, "git", "update-ref", reference, past.second)
    try:
        assert {row[0] for row in rows(past.root, "keen-ape")} == set(past.runs)
    finally:
        run(past.root, "git", "update-ref", "-d", reference)


# --- from a run -------------------------------------------------------------------------------------------------------


def test_a_run_leads_to_every_commit_that_holds_its_result(past: Past) -> None:
    status, output = runs(past.runs[0][:12])
    assert status == 0
    assert output.endswith(f"{past.first[:8]} holds its result: first result (experiment keen-ape, tag v1)")
    again = runs(past.runs[2])[1]
    assert "reproduction" in again
    assert again.endswith("first result (experiment keen-ape, tag v1)")
    dirty = listing.of_run(past.root, past.runs[1]).notes
    assert dirty[0] == f"{past.second[:8]} holds its result: second result (branch main)"
    assert dirty[1].endswith(f"with uncommitted edits, which {past.second[:8]} holds: it makes the same")


def test_a_result_that_was_committed_with_other_parameters_is_told(past: Past) -> None:
    set_params(past.root, {"loss.lambda_A": 3.0})
    lock = Path("dvc.lock")
    lock.write_text(lock.read_text() + "# touched\n")
    commit = git_commit(past.root, "another lambda")
    (false, true, _) = listing.of_run(past.root, past.runs[1]).notes
    assert false.startswith(
        f"{commit[:8]} holds its result: another lambda (branch main); but its parameters, code and data"
    )
    assert true.startswith(f"{past.second[:8]} holds its result: second result")
    assert "they were changed after that training" in runs("--all")[1]


def test_a_run_belongs_to_the_commit_of_its_own_settings_though_an_older_one_holds_its_result(past: Past) -> None:
    run(past.root, "git", "checkout", "-q", "-b", "false", past.code)
    run(past.root, "git", "checkout", past.second, "--", ".")
    set_params(past.root, {"loss.lambda_A": 3.0})
    run(past.root, "git", "add", "--all")
    run(past.root, "git", "commit", "-q", "-m", "older", GIT_COMMITTER_DATE="2001-01-01T00:00:00Z")
    try:
        assert len(results(past.root).commits[past.keys[1]]) == 2
        assert commit_of(past.root, past.runs[1]) == past.second
    finally:
        run(past.root, "git", "checkout", "-q", "main")
        run(past.root, "git", "branch", "-q", "-D", "false")


def test_a_run_whose_result_no_commit_holds_and_one_of_something_else(past: Past) -> None:
    client = client_of(past.root)
    tags = {"train_key": "e" * 64, "mlflow.source.git.commit": past.first, "git.dirty": "false", "training_id": "t"}
    loose, foreign = (
        client.create_run("1", tags=each, run_name=name).info.run_id for each, name in ((tags, "l"), ({}, "f"))
    )
    try:
        said = f"no commit holds its result: it was started on {past.first[:8]}; commit dvc.lock, metrics/ and reports/"
        assert said in runs(loose)[1]
        assert "this run has no train key" in runs(foreign)[1]
    finally:
        for each in (loose, foreign):
            client.delete_run(each)


# --- all --------------------------------------------------------------------------------------------------------------


def test_all_lists_runs_and_the_results_without_one(past: Past) -> None:
    client = client_of(past.root)
    found = listing.of_all(past.root)
    assert {line.run.id for line in found.lines if line.run} == set(past.runs)
    client.delete_run(past.runs[1])
    try:
        found = listing.of_all(past.root)
        assert [line.key for line in found.lines if line.run is None] == [past.keys[1]]
        assert found.notes == [
            f"results without a run were trained elsewhere, or their store is not {workspace_store(past.root)}"
        ]
    finally:
        client.restore_run(past.runs[1])


# --- kinds ------------------------------------------------------------------------------------------------------------


def test_a_finished_training_is_the_run_of_a_result_whatever_came_later(past: Past) -> None:
    client, store, key = client_of(past.root), workspace_store(past.root), "a" * 64
    kinds: list[tuple[str, dict[str, str], str]] = [
        ("finished", {"train_key": key, "training_id": "1"}, "FINISHED"),
        ("killed", {"train_key": key, "training_id": "2"}, "KILLED"),
        ("elsewhere", {"train_key": key}, "FINISHED"),
        ("again", {"train_key": key, "training_id": "3", REPRODUCES: key}, "FINISHED"),
        ("of another", {"train_key": key, REPRODUCES: "b" * 64}, "FINISHED"),
    ]
    ids = []
    for number, (name, tags, state) in enumerate(kinds, start=1):  # MLflow takes a time of 0 for none
        made = client.create_run("1", start_time=1000 * number, tags=tags, run_name=name).info.run_id
        client.set_terminated(made, state, end_time=1000 * number + 500)
        ids.append(made)
    try:
        found = runs_of_key(store, key)
        assert [(each.entry.name, each.kind, each.seconds) for each in found] == [
            ("killed", "training", 0.5),
            ("finished", "training", 0.5),
            ("elsewhere", "evaluation", 0.5),
            ("again", "reproduction", 0.5),
        ]
        assert [the_run(some).entry.name for some in (found, found[2:]) if the_run(some)] == ["finished", "elsewhere"]
        assert the_run(found[3:]) is None
    finally:
        for each in ids:
            client.delete_run(each)


def test_more_runs_than_one_answer_holds_are_all_read(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    from cyclegan.tracking import runs as reading

    monkeypatch.setattr(reading, "PAGE", 2)
    assert {entry.id for entry in tracking.list_runs(workspace_store(past.root), {})} == set(past.runs)


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_mistakes_are_one_line(past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, status, words in (
        (["--rev", "nothing"], 1, "there is no commit, branch, tag or experiment nothing; `git log --all --oneline`"),
        (["f" * 32], 1, f"there is no run {'f' * 32} in sqlite:///"),
        (["v1"], 1, "there is no run v1 in sqlite:///"),
        (["v1", "--all"], 2, "give one of RUN, --rev and --all"),
    ):
        found, output = runs(*arguments)
        assert (found, words in output) == (status, True), output
    set_params(past.root, {"tracking.uri": "http://127.0.0.1:1"})
    for arguments in ([], ["--all"], ["f" * 32]):
        found, output = runs(*arguments)
        assert found == 1
        assert output.startswith("error: MLflow at http://127.0.0.1:1 cannot be used: it does not answer")
    monkeypatch.chdir(tmp_path)
    assert runs() == (
        1,
        f"error: {tmp_path} is in no git repository, which commits are read from; run in a clone of the project",
    )


def test_without_a_database_none_is_made(past: Past) -> None:
    place = past.root / "mlflow.db"
    place.rename(past.root / "away.db")
    try:
        assert f"no run of its train key {past.keys[1][:8]} is in sqlite:///" in runs()[1]
        assert runs("--all")[1].startswith("run key result in")
        assert runs("f" * 32)[0] == 1
        assert not place.exists()
    finally:
        (past.root / "away.db").rename(place)


# --- on the screen ----------------------------------------------------------------------------------------------------


def shown(lines: list[screen.Line], width: int) -> str:
    console = Console(width=width, force_terminal=True, record=True, color_system=None)
    with console.capture() as capture:
        screen.show_listing(lines, ["a note"], console)
    return capture.get()


def test_a_table_becomes_blocks_where_it_does_not_fit() -> None:
    tags = {"train_key": "k" * 64, "training_id": "t", "mlflow.source.git.commit": "c" * 40, "git.dirty": "true"}
    metrics: dict[str, Any] = {"test/A_to_B/model/pair_l1": 0.12345, "test/B_to_A/model/pair_l1": 0.5}
    entry = tracking.Entry("r" * 32, "shapes", "FINISHED", 0, 125_000, tags, metrics)
    lines = [screen.Line(HistoricRun(entry), "k" * 64, "abcdef12")]
    wide, narrow = shown(lines, 200), shown(lines, 60)
    assert "rrrrrrrr shapes training cccccccc dirty pair_l1 0.1235 / 0.5" in " ".join(wide.split())
    assert "2 min 05 s" in wide
    assert "\nscores      pair_l1 0.1235 / 0.5\n" in narrow
    assert "data" not in wide, "a column that no run fills is left out"
    assert all(len(line) <= 60 for line in narrow.splitlines())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (3.2, "3 s"), (59.6, "1 min 00 s"), (245, "4 min 05 s"), (7500, "2 h 05 min"), (93_600, "1 d 02 h")],
)
def test_durations_read_well(seconds: float | None, text: str) -> None:
    assert screen.duration(seconds) == text


def test_scores_are_the_most_telling_there_are() -> None:
    everything = {
        f"test/{way}/model/{name}": 1.0 for way in ("A_to_B", "B_to_A") for name in ("cycle_l1", "fid_clean_test")
    }
    assert screen.scores(everything) == "fid_clean_test 1 / 1, cycle_l1 1 / 1"
    assert screen.scores({"test/A_to_B/model/pair_l1": 0.25}) == "pair_l1 0.25 / -"
    assert screen.scores({"val/cycle_A": 0.5, "val/cycle_B": 0.25}) == "val/cycle 0.5 / 0.25"
    assert screen.scores({}) == ""
