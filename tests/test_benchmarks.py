"""Every benchmark runs, in a tiny setting, and what it says is consistent. Never a figure: those depend on the machine."""

import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import agreement
import ceiling
import common
import cores
import inference
import loading
import log_cost
import memory
import phases
import pytest
import report
import startup
import step
import subject
import swap
import targets
import torch
import training
from project import ROOT

TINY = common.Options(torch.device("cpu"), tiny=True, rounds=2)
BENCHMARKS = ROOT / "benchmarks"


def rows_of(module: Any) -> list[common.Row]:
    rows = module.measure(TINY)
    result = common.measured("it", lambda _: rows, TINY)
    assert json.loads(json.dumps(result, allow_nan=False))["tables"]["it"] == rows, "plain values only"
    for row in rows:
        for name, value in row.items():
            if "second" in name and value is not None:
                assert math.isfinite(value), (name, row)
                assert value > 0, (name, row)
    return rows


def test_step_stands_beside_the_textbooks() -> None:
    rows = {row["step"]: row for row in rows_of(step)}
    book, ours = rows["textbook"], rows["ours, eager"]
    assert book["times_textbook"] == 1
    assert ours["times_textbook"] == pytest.approx(book["seconds"] / ours["seconds"])
    for row in rows.values():
        assert row["fastest"] <= row["seconds"] <= row["slowest"]
        assert row["images_per_second"] == pytest.approx(2 * subject.TINY["train.batch_size"] / row["seconds"])
    shares = [row["share_of_ceiling"] * row["seconds"] for row in rows.values()]
    assert shares[0] == pytest.approx(shares[1]), "as many operations in both"


def test_operations_of_a_step_are_those_counted_by_hand() -> None:
    """18 passes through a generator, and 16 through a discriminator, a backward pass counting two, at the paper's settings.

    But for two: nothing needs the gradient of a picture, at the first layer of a network.
    """
    generator, discriminator = 2 * 49.6e9, 2 * 3.15e9
    by_hand = 18 * generator + 16 * discriminator
    assert subject.step_flops(subject.paper(1)) == pytest.approx(by_hand, rel=0.02)
    assert subject.step_flops(subject.paper(4)) == pytest.approx(4 * subject.step_flops(subject.paper(1)))


def test_the_textbook_and_we_compute_the_same_losses() -> None:
    """Side by side they are the same training, else their times say nothing: the first step's losses agree."""
    ours = subject.Ours(subject.configured(subject.TINY | {"train.arithmetic": "textbook"}), TINY.device)
    book = subject.Textbook(ours)
    batch, decisions = ours.load()
    expected = book.step(batch)
    actual = {name: term.item() for name, term in ours.step(batch, decisions).items()}
    assert actual == pytest.approx(expected, rel=1e-4)


def test_what_makes_the_textbook_fast_is_not_left_on() -> None:
    ours = subject.Ours(subject.configured(subject.TINY), TINY.device)
    subject.Textbook(ours).step(ours.load()[0])
    assert not torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.are_deterministic_algorithms_enabled()


def test_ceiling_is_the_fastest_product() -> None:
    rows = rows_of(ceiling)
    assert {row["type"] for row in rows} == {"float32", "bf16"}
    for row in rows:
        assert row["tflops"] == pytest.approx(2 * row["size"] ** 3 / row["fastest"] / 1e12)


def test_phases_are_all_there_and_make_up_the_whole() -> None:
    rows = rows_of(phases)
    assert [row["phase"] for row in rows] == list(phases.PHASES)
    assert sum(row["share"] for row in rows) == pytest.approx(1)


def test_phases_are_measured_from_outside_and_leave_nothing_behind() -> None:
    before = torch.autograd.backward
    phases.measure(TINY)
    assert torch.autograd.backward is before


def test_loading() -> None:
    rows = rows_of(loading)
    assert [row["part"] for row in rows] == ["decisions", "pictures"]
    for row in rows:
        assert row["images_per_second"] == pytest.approx(2 * subject.TINY["train.batch_size"] / row["seconds"])


def test_ways_of_making_a_step_agree() -> None:
    rows = rows_of(agreement)
    assert [(row["precision"], row["mode"]) for row in rows] == [
        (precision, mode) for precision in ("float32", "bf16") for mode in (*subject.modes(TINY), agreement.AGAIN)
    ]
    assert all(row["agrees"] for row in rows)
    assert rows[0]["loss"] == rows[0]["gradient"] == 0, "eager float32 is what all are held to"


def test_agreement_finds_a_step_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    right = subject.Ours.gradients
    monkeypatch.setattr(subject.Ours, "gradients", lambda ours: right(ours) * (1 + (ours.mode == "compiled") * 0.01))
    rows = {(row["precision"], row["mode"]): row["agrees"] for row in agreement.measure(TINY)}
    assert rows["float32", "eager"]
    assert not rows["float32", "compiled"]


def test_inference_agrees_in_all_ways() -> None:
    rows = {row["way"]: row for row in rows_of(inference)}
    assert list(rows) == ["eager", "compiled", "ONNX"]
    for row in rows.values():
        assert row["largest_difference"] < 1e-4
        assert row["times_eager"] == pytest.approx(rows["eager"]["seconds"] / row["seconds"])


def test_memory_grows_with_the_batch_and_has_a_row_for_each_saving_there_is() -> None:
    known = type(subject.configured({}).train).model_fields
    rows = memory.measure(TINY)
    assert len(rows) == sum(known.keys() >= saving.keys() for saving in memory.SAVINGS)
    for row in rows:
        assert row["peak_bytes"] >= row["bytes_before"] > 0
        assert row["peak_gb"] == row["peak_bytes"] / 1e9


def test_memory_takes_no_other_failure_for_a_lack_of_it() -> None:
    with pytest.raises(RuntimeError, match="must be a multiple of 4"):
        memory._in_a_process(33, {}, TINY)


def test_training_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    here = Path.cwd()
    rows = {row["what"]: row for row in rows_of(training)}
    assert Path.cwd() == here
    whole = rows["whole training"]
    assert whole["calls"] == training.PICTURES // subject.TINY["train.batch_size"]
    assert whole["images_per_second"] == pytest.approx(2 * training.PICTURES / whole["seconds"])
    besides = [rows[what] for what in training.WATCHED]
    assert all(row["calls"] > 0 for row in besides)
    for column in ("seconds", "share", "share_in_the_long_run"):
        assert rows["all besides steps"][column] == pytest.approx(sum(row[column] for row in besides))
    assert rows["all besides steps"]["seconds"] < whole["seconds"]


def test_log_cost_counts_until_mlflow_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for row in rows_of(log_cost):
        assert 0 < row["ms_a_call"] <= row["ms_until_delivered"]


def test_cores_measures_preprocessing_and_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    rows = rows_of(cores)
    assert len(rows) == 5
    for row in rows:
        assert row["images_per_second"] == pytest.approx(row["pictures"] / row["seconds"])
        assert row["cores_busy"] > 0
        assert row["cores_at_most"] > 0


def test_swap_examines_both_plantings_before_and_after_the_cyclegan() -> None:
    copied, *rows = rows_of(swap)
    assert copied["cycle_l1"] == 0
    assert [(row["generators"], row["cyclegan_steps"]) for row in rows] == [
        (planted, steps) for planted in swap.PLANTED for steps in (0, 2)
    ]
    for row in rows:
        assert min(row[name] for name in ("cycle_l1", "pair_l1", "exchanged_l1")) > 0
        assert {"agreement_A_to_B", "agreement_B_to_A", "failing"} <= set(row)
    assert rows[0]["pair_l1"] != rows[2]["pair_l1"], "they were taught other things"


def test_what_is_planted_is_land_in_the_colour_of_sea() -> None:
    truth = torch.zeros(1, 3, 2, 2)
    truth[0, 2, 0] = 0.5  # the upper half is blue
    exchanged, _ = swap._exchanged((truth, truth))
    assert torch.equal(exchanged, truth.flip(2))


def test_startup_compares_with_python_and_dvc_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    rows = {row["command"]: row for row in rows_of(startup)}
    assert {f"stages/{name}.py --help" for name in ("download", "preprocess", "train", "evaluate", "export")} < set(rows)
    empty, ours = (rows[f"dvc repro, nothing to do: {what}"] for what in ("an empty pipeline", "ours"))
    assert ours["beyond"] == pytest.approx(ours["seconds"] - empty["seconds"])


def test_alternation_gives_each_its_turn() -> None:
    turns: list[str] = []

    def slow() -> None:
        turns.append("slow")
        time.sleep(0.002)

    times = common.alternate({"slow": slow, "fast": lambda: turns.append("fast")}, TINY.device, 5, block_seconds=0)
    assert turns == [*["slow"] * 2, *["fast"] * 2, *["slow", "fast"] * 5]
    assert {name: len(seconds) for name, seconds in times.items()} == {"slow": 5, "fast": 5}
    assert statistics.median(times["slow"]) >= 0.002


def test_usage_counts_cores() -> None:
    with common.usage() as idle:
        time.sleep(0.05)
    with common.usage() as busy:
        deadline = time.process_time() + 0.05
        while time.process_time() < deadline:
            pass
    assert idle.seconds >= 0.05
    assert idle.cores < 0.5
    assert busy.cores * busy.seconds >= 0.05
    assert busy.most_cores == pytest.approx(1, abs=0.2), "it was one thread's work"


def test_a_table_reads_well() -> None:
    rows = [{"what": "one", "images_per_second": 1234.5, "met": True}, {"what": "three", "images_per_second": None}]
    assert common.markdown(rows).splitlines() == [
        "| what  | images per second | met |",
        "| ----- | ----------------: | --: |",
        "| one   |             1,234 | yes |",
        "| three |                 - |   - |",
    ]


def test_machine_is_described_without_naming_it() -> None:
    about = common.machine(torch.device("cpu"))
    assert {"date", "commit", "device", "processor", "packages"} <= set(about)
    assert str(ROOT) not in str(about)


def test_targets_are_judged_where_they_apply() -> None:
    rows = [
        {"case": "paper, batch 1", "step": way, "seconds": seconds, "times_textbook": 0.048 / seconds}
        for way, seconds in (("textbook", 0.048), ("ours, eager", 0.009), ("ours, compiled", 0.004))
    ]
    gpu = {"machine": {"device": "NVIDIA H100 80GB"}, "tables": {"step": rows}}
    assert [row["met"] for row in targets.verdicts(gpu)] == [True, True], "one way that reaches it is enough"
    rows.pop()
    assert [row["met"] for row in targets.verdicts(gpu)] == [False, False]
    assert targets.verdicts(gpu | {"machine": {"device": "cpu"}}) == []
    helps = [{"command": f"{name} --help", "seconds": seconds, "beyond": 0.0} for name, seconds in (("a", 0.1), ("b", 0.6))]
    (verdict,) = targets.verdicts({"machine": {"device": "cpu"}, "tables": {"startup": helps}})
    assert (verdict["measured"], verdict["met"]) == (0.6, False), "each must keep it"


def test_a_benchmark_runs_by_itself_and_writes_json(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "loading.py"), "--tiny", "--device", "cpu", "--json", "result.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    result = json.loads((tmp_path / "result.json").read_text())
    assert common.markdown(result["tables"]["loading"]) in done.stdout
    assert result["runs"]["loading"]["rounds"] == 5


def test_make_bench_runs_every_benchmark() -> None:
    shared = {"__main__", "common", "subject", "workspace", "targets", "report"}
    shared |= {"many_processes"}  # which torchrun starts
    shared |= {"choice", "horse2zebra", "swap"}  # which take many minutes
    text = (BENCHMARKS / "__main__.py").read_text()
    scripts = {path.stem for path in BENCHMARKS.glob("*.py")} - shared
    assert all(f'"{name}",' in text for name in scripts)
    assert "python benchmarks $(ARGS)" in (ROOT / "Makefile").read_text()


def test_an_unknown_benchmark_is_refused() -> None:
    done = subprocess.run([sys.executable, BENCHMARKS, "nothing"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no benchmark nothing" in " ".join(done.stderr.split())


def test_the_document_quotes_the_committed_results() -> None:
    text = report.DOCUMENT.read_text(encoding="utf-8")
    quoted = {match["result"] for match in report.BLOCK.finditer(text)}
    assert quoted <= {path.stem for path in (BENCHMARKS / "results").glob("*.json")}
    assert report.filled(text, BENCHMARKS / "results") == text, "run python benchmarks/report.py"
