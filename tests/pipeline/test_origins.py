"""A training that goes on elsewhere than it began: on another commit, with other edits, for no experiment."""

import pytest

from cyclegan import lineage
from cyclegan.pipeline import origins
from cyclegan.training.state import TrainState


@pytest.fixture
def state() -> TrainState:
    return TrainState(*[None] * 5)  # type: ignore[arg-type]  # nothing but its words is used


def revision(commit: str = "c" * 40, diff: str = "") -> lineage.Revision:
    return lineage.Revision(commit, "main", diff)


@pytest.fixture(autouse=True)
def by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DVC_STAGE", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)


def test_where_it_is_the_same_it_is_not_noted_again(state: TrainState) -> None:
    assert origins.note_origin(state, revision())
    state.step = 7
    assert not origins.note_origin(state, revision())
    assert [origin["step"] for origin in state.origins] == ["0"]
    assert origins.origin_tags(state)["origins"] == ""


@pytest.mark.parametrize("changed", ["commit", "diff", "other diff", "experiment", "by"])
def test_whatever_is_another_is_noted(state: TrainState, changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    origins.note_origin(state, revision(diff="+ a" if changed == "other diff" else ""))
    state.step = 7
    if changed == "experiment":
        monkeypatch.setenv("DVC_EXP_NAME", "softer")
    if changed == "by":
        monkeypatch.setenv("DVC_STAGE", "train")
    diff = {"diff": "+ a", "other diff": "+ b"}.get(changed, "")
    assert origins.note_origin(state, revision("d" * 40 if changed == "commit" else "c" * 40, diff))
    assert [origin["step"] for origin in state.origins] == ["0", "7"]
    tags = origins.origin_tags(state)
    assert tags["git.commit"] == tags["mlflow.source.git.commit"] == ("d" * 40 if changed == "commit" else "c" * 40)
    assert tags["git.dirty"] == ("true" if diff else "false")
    assert tags["git.uncommitted"].startswith("uncommitted/") == bool(diff)
    assert tags["dvc.experiment"] == ("softer" if changed == "experiment" else "")
    assert tags["started_by"] == {"experiment": "dvc exp run", "by": "dvc repro"}.get(changed, "python script")
    first, second = tags["origins"].split("; ")
    assert first.startswith(f"from step 0: {'c' * 12}")
    assert second.startswith("from step 7: ")
    assert first.removeprefix("from step 0") != second.removeprefix("from step 7")


def test_each_difference_has_a_file_of_its_own() -> None:
    assert revision(diff="+ a").uncommitted == revision("d" * 40, "+ a").uncommitted
    names = {revision(diff=diff).uncommitted for diff in ("", "+ a", "+ b", "+ \udce9")}  # the last of a file in Latin-1
    assert len(names) == 4
    assert "" in names


def test_runs_are_called_by_data_preset_and_experiment(state: TrainState, monkeypatch: pytest.MonkeyPatch) -> None:
    origins.note_origin(state, revision())
    assert origins.run_names("maps", None, "0123456789", state) == ["maps 01234567"]
    assert origins.run_names("maps", "maps", "0123456789", state) == ["maps 01234567"]
    monkeypatch.setenv("DVC_EXP_NAME", "softer")
    origins.note_origin(state, revision())
    named = origins.run_names("photos", "reference", "0123456789", state)
    assert named == ["photos reference 01234567", "photos reference softer 01234567"]
