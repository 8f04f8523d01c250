"""The comparison of a result with one that was made again, on results of a few numbers."""

from dataclasses import replace

import pytest

from cyclegan.history.agreement import LOSSES, SCORES, Leaf, Result, Tolerance, compare, leaves, lines

TRAIN, EVALUATE = "metrics/train.json", "metrics/evaluate.json"
RECORDED = Result(
    outs={"train": {"models/trained": "a.dir", TRAIN: "b"}, "evaluate": {EVALUATE: "c"}},
    files={"models/trained": {"G_AB": "1", "G_BA": "2"}},
    metrics={
        TRAIN: {"steps": 12, "score": 2.0, "best.weights": "ema", "weights": "best", "psnr": None},
        EVALUATE: {"kid": 0.5},
    },
)


def changed(file: str, name: str, value: Leaf) -> Result:
    """As recorded, but for one value, and the bytes that it is written to."""
    outs = {
        stage: {path: f"other {path}" if path == file else md5 for path, md5 in made.items()}
        for stage, made in RECORDED.outs.items()
    }
    return replace(
        RECORDED, outs=outs, metrics=dict(RECORDED.metrics) | {file: dict(RECORDED.metrics[file]) | {name: value}}
    )


def test_the_same_is_identical() -> None:
    verdict = compare(RECORDED, RECORDED, same_software=True)
    assert verdict.word == "identical"
    assert (verdict.outs, verdict.values) == (3, 6)
    assert lines(verdict) == ["identical: all 3 outs and all 6 values are as recorded"]


@pytest.mark.parametrize(("name", "allowed"), [("score", SCORES), ("loss.D_A", LOSSES)])
def test_a_decimal_may_be_off_by_what_roundings_do_and_no_more(name: str, allowed: Tolerance) -> None:
    recorded = replace(RECORDED, metrics={TRAIN: {name: 2.0}})
    at_most = (2.0 + allowed.absolute) / (1 - allowed.relative)  # where |made - 2| = absolute + relative * made
    within, beyond = (
        compare(recorded, replace(recorded, metrics={TRAIN: {name: at_most + change}}), same_software=True)
        for change in (-1e-6, 1e-6)
    )
    assert (within.word, beyond.word) == ("identical within tolerance", "different")
    assert within.other_values[0].share == pytest.approx(1, abs=1e-5)
    assert f"the value farthest off: {TRAIN}: {name} 2.0 -> " in lines(beyond)[-1]


def test_the_sentence_says_how_far_scores_are_off() -> None:
    said = lines(compare(RECORDED, changed(EVALUATE, "kid", 0.55), same_software=True))
    assert said[-1] == (
        "identical within tolerance (15 % + 0.02; of losses 50 % + 0.1): 2 of 3 outs and 5 of 6 values are as recorded; "
        "the farthest off is metrics/evaluate.json: kid 0.5 -> 0.55 (49 % of what is allowed)"
    )


def test_another_validation_may_have_been_the_best_of_near_ties() -> None:
    assert compare(RECORDED, changed(TRAIN, "best.weights", "raw"), same_software=True).word == "identical within tolerance"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 13),
        ("steps", 12.0),
        ("weights", "ema"),
        ("psnr", 1.0),
        ("new", 1.0),
        ("score", "2.0"),
        ("best.weights", None),
    ],
)
def test_what_is_no_decimal_must_be_as_it_was(name: str, value: Leaf) -> None:
    assert compare(RECORDED, changed(TRAIN, name, value), same_software=False).word == "different"


def test_a_value_that_is_gone_is_another_one() -> None:
    gone = replace(RECORDED, metrics={TRAIN: RECORDED.metrics[TRAIN], EVALUATE: {}})
    assert compare(RECORDED, gone, same_software=False).word == "different"


def test_other_bytes_with_the_very_same_numbers_are_explained_by_other_packages_alone() -> None:
    outs = {"train": {"models/trained": "other.dir", TRAIN: "b"}, "evaluate": {EVALUATE: "c"}}
    made = replace(RECORDED, outs=outs, files={"models/trained": {"G_AB": "1", "G_BA": "other", "state": "3"}})
    alike = compare(RECORDED, made, same_software=True)
    assert alike.word == "different"
    assert "dvc.lock hardly records this result" in alike.reason
    assert compare(RECORDED, made, same_software=False).word == "identical within tolerance"
    (out,) = alike.other_outs
    assert (out.stage, out.path, out.files) == ("train", "models/trained", ("G_BA", "state"))
    assert lines(alike)[0] == "other bytes  models/trained of the stage train (2 files: G_BA, state)"


def test_the_first_that_differs_is_the_first_in_the_pipeline() -> None:
    outs = {"train": {"models/trained": "x.dir", TRAIN: "b"}, "evaluate": {EVALUATE: "y"}}
    made = replace(RECORDED, outs=outs, files={}, metrics=dict(RECORDED.metrics) | {EVALUATE: {"kid": 5.0}})
    verdict = compare(RECORDED, made, same_software=True)
    assert [out.path for out in verdict.other_outs] == ["models/trained", EVALUATE]
    assert lines(verdict)[-1] == (
        "different: 1 of 3 outs and 5 of 6 values are as recorded; the first bytes that are not: models/trained of "
        "the stage train; the value farthest off: metrics/evaluate.json: kid 0.5 -> 5.0 (584 % of what is allowed)"
    )


def test_of_many_values_the_farthest_off_are_shown_and_the_others_counted() -> None:
    many: dict[str, Leaf] = {f"v{n}": 1.0 for n in range(20)}
    made: dict[str, Leaf] = {f"v{n}": 1.0 + n / 1000 for n in range(20)}
    recorded = replace(RECORDED, metrics={TRAIN: many})
    said = lines(compare(recorded, replace(recorded, metrics={TRAIN: made}), same_software=True), most=3)
    assert [line.split()[3] for line in said[:3]] == ["v19", "v18", "v17"]
    assert said[3].split() == [f"{TRAIN}:", "and", "16", "more"]


def test_metrics_are_read_by_dotted_name() -> None:
    data = b'{"a": {"b": 1, "c": [2.5, null]}, "d": "x"}'
    assert leaves(data) == {"a.b": 1, "a.c.0": 2.5, "a.c.1": None, "d": "x"}
    assert leaves(b"not json") == leaves(None) == {}
