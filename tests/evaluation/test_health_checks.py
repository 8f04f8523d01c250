"""When a check fails, when that is said, and that the text helps."""

import math
import re
from typing import get_args

import pytest
import yaml
from project import ROOT

from cyclegan.config.sections import HealthCheck
from cyclegan.evaluation import checks
from cyclegan.evaluation.checks import CHECKS, Watch

DOCS = (ROOT / "docs/health.md").read_text()
GOOD, BAD = 0.5, 0.01  # of copying
NAME = "A_to_B/copying"


@pytest.mark.parametrize(
    ("name", "last_good", "first_bad"),
    [
        ("A_to_B/colour_agreement", -0.25, -0.26),
        ("B_to_A/copying", 0.05, 0.049),
        ("A_to_B/output_variance", 0.2, 0.19),
        ("B_to_A/hidden_information", 0.05, 0.051),
        ("D_A/judged_right", 0.998, 0.999),
    ],
)
def test_thresholds_are_those_of_the_documentation_and_belong_to_the_good_side(
    name: str, last_good: float, first_bad: float
) -> None:
    assert not checks.fails(name, last_good)
    assert checks.fails(name, first_bad)
    assert checks.fails(name, math.nan)
    check = name.rpartition("/")[2]
    row = next(line for line in DOCS.splitlines() if line.startswith(f"| `{check}` |"))
    assert f"| {CHECKS[check].bad} {last_good:g} |" in row
    further = last_good - 1 if CHECKS[check].bad == "below" else last_good + 1
    assert checks.fails(name, further)
    assert not checks.fails(name, 2 * last_good - further)


def test_the_configuration_knows_every_check() -> None:
    assert get_args(HealthCheck) == tuple(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_a_warning_says_what_it_means_and_which_parameters_help(name: str) -> None:
    check = CHECKS[name]
    line = checks.explain(f"A_to_B/{name}", 7.0)
    assert line.startswith(f"health/A_to_B/{name} is 7, {check.bad} {check.threshold:g}: {check.meaning}. ")
    assert "\n" not in line
    named = re.findall(r"\b([a-z]+)\.([a-zA-Z_]+)", check.remedy)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert named
    assert [f"{section}.{key}" for section, key in named if key not in params[section]] == []


def told(values: list[float | None], ignored: tuple[str, ...] = (), start: int = 10) -> list[int]:
    """1 where a measurement leads to a warning, -1 where it leads to all clear, 0 else; None: undefined. Of 100 steps."""
    watch, kinds = Watch(ignored), []
    for number, value in enumerate(values):
        lines = watch.lines({} if value is None else {NAME: value}, (start + number) / 100)
        assert len(lines) <= 1
        kinds.append(sum(1 if line.startswith("warning: ") else -1 if line.endswith("good again") else 9 for line in lines))
    return kinds


def test_a_warning_comes_once_when_a_fault_lasts_and_a_word_when_it_is_over() -> None:
    assert told([GOOD, BAD, BAD, BAD, BAD, GOOD, GOOD]) == [0, 0, 0, 1, 0, -1, 0]
    assert told([BAD, BAD, GOOD, BAD, BAD, GOOD]) == [0] * 6
    assert told([BAD, BAD, BAD, GOOD, BAD, BAD, BAD]) == [0, 0, 1, -1, 0, 0, 1]
    assert told([math.nan, math.nan, math.nan, GOOD]) == [0, 0, 1, -1]


def test_an_undefined_value_breaks_the_row() -> None:
    assert told([BAD, BAD, None, BAD, BAD, BAD]) == [0, 0, 0, 0, 0, 1]
    assert told([BAD, BAD, BAD, None, GOOD]) == [0, 0, 1, 0, 0]


def test_the_beginning_is_left_in_peace() -> None:
    assert told([BAD] * 13, start=1) == [0] * 11 + [1, 0]  # the tenth of 100 steps is the first that counts


def test_ignored_checks_are_quiet_and_do_not_count() -> None:
    assert told([BAD] * 3, ignored=("copying",)) == [0, 0, 0]
    assert told([BAD] * 3, ignored=("judged_right",)) == [0, 0, 1]
    values = {NAME: BAD, "B_to_A/copying": GOOD, "D_A/judged_right": 1.0}
    assert Watch().failing(values) == [NAME, "D_A/judged_right"]
    assert Watch(["copying"]).failing(values) == ["D_A/judged_right"]


def test_each_direction_is_warned_of_by_itself() -> None:
    watch = Watch()
    assert watch.lines({NAME: BAD, "B_to_A/copying": GOOD}, 0.4) == []
    assert watch.lines({NAME: BAD, "B_to_A/copying": BAD}, 0.5) == []
    (line,) = watch.lines({NAME: BAD, "B_to_A/copying": BAD}, 0.6)
    assert "A_to_B/copying is 0.01, below 0.05" in line
    lines = watch.lines({NAME: GOOD, "B_to_A/copying": BAD}, 0.7)
    assert [line.partition(" is ")[0] for line in lines] == [f"health/{NAME}", "warning: health/B_to_A/copying"]
