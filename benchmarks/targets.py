"""What the figures should reach, as far as a result has them."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import ge, le

from common import Result, Row


@dataclass(frozen=True)
class Target:
    """A bound for one column of one table.

    Attributes:
        rows: which of its rows it is for; of several, each must keep it.
        device: part of the name of the device that it is for; "" for any.
    """

    table: str
    column: str
    says: Callable[[float, float], bool]
    bound: float
    rows: Callable[[Row], bool]
    what: str
    device: str = ""


def _of_paper(row: Row) -> bool:
    return bool(row["case"] == "paper, batch 1" and row["step"] != "textbook")


def _of_params(row: Row) -> bool:
    return bool(row["case"] == "params.yaml" and row["step"] != "textbook" and row["precision"] == "bf16")


def _of_params_in_float32(row: Row) -> bool:
    return bool(row["case"] == "params.yaml" and row["step"] != "textbook" and row["precision"] == "float32")


def _asks_for_help(row: Row) -> bool:
    return str(row["command"]).endswith("--help")


def _trains(row: Row) -> bool:
    return bool(row["what"] == "all besides steps" and row["case"] != "tiny")


TARGETS = (
    Target("step", "times_textbook", ge, 1.8, _of_params, "times the textbook's speed, params.yaml", "cpu"),
    Target("step", "times_textbook", ge, 1.0, _of_params_in_float32, "times the textbook's speed, in float32", "cpu"),
    Target("step", "seconds", le, 0.0047, _of_paper, "seconds a step, the paper's settings at batch 1", "H100"),
    Target("step", "times_textbook", ge, 8.0, _of_paper, "times the textbook's speed, the same", "H100"),
    Target("training", "gpu_busy", ge, 0.95, lambda row: "gpu_busy" in row, "share of time that the GPU computes", "H100"),
    Target("agreement", "agrees", ge, 1, lambda row: True, "ways of making a step that agree"),  # noqa: ARG005
    Target("training", "share_in_the_long_run", le, 0.02, _trains, "share of logging, grids and checkpoints"),
    Target("startup", "seconds", le, 0.5, _asks_for_help, "seconds of a --help"),
    Target("startup", "beyond", le, 0.5, lambda row: row["command"].endswith(": ours"), "of dvc repro beyond DVC's own"),
)


def verdicts(result: Result) -> list[Row]:
    """A row a target that the result has figures for; of several rows the best for speed and agreement, else the worst."""
    found = []
    for target in TARGETS:
        if target.device not in result["machine"].get("device", ""):
            continue
        values = [row[target.column] for row in result["tables"].get(target.table, []) if target.rows(row)]
        if values:
            fastest = target.table == "step"  # any one of the ways to make a step may reach it
            value = (min if (target.says is le) == fastest else max)(values)
            bound = {le: "at most", ge: "at least"}[target.says]  # type: ignore[index]
            met = target.says(value, target.bound)
            found.append({"target": target.what, "measured": value, "bound": f"{bound} {target.bound:g}", "met": met})
    return found
