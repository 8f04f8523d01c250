"""What is chosen for a GPU, and that nothing but a GPU needs a choice."""

from collections.abc import Callable
from typing import Any

import pytest

from cyclegan.config import Config
from cyclegan.training import execution
from cyclegan.training.execution import REPAID_PIXELS, Execution, can_compile, choose_execution

GPU = {"cuda": True, "free_bytes": 40_000, "pixel_bytes": 10_000, "one_shape": True, "steps": 10, "compiler": True}
LONG = REPAID_PIXELS  # steps that repay compilation, however small they are


def chosen(make_config: Callable[..., Config], params: dict[str, Any] | None = None, **facts: Any) -> Execution:
    return choose_execution(make_config(**(params or {})), **(GPU | facts))


def test_a_cpu_needs_nothing(make_config: Callable[..., Config]) -> None:
    assert chosen(make_config, {"runtime.compile": "always"}, cuda=False, steps=LONG) == Execution()


def test_pixels_lie_on_the_device_where_they_take_a_quarter_of_what_is_free(make_config: Callable[..., Config]) -> None:
    assert chosen(make_config).resident
    assert not chosen(make_config, pixel_bytes=10_001).resident
    assert not chosen(make_config, {"preprocess.mode": "scale_width"}).resident


def test_a_step_is_replayed_unless_it_has_dropout_many_shapes_or_the_textbooks_arithmetic(
    make_config: Callable[..., Config],
) -> None:
    assert chosen(make_config).replayed
    assert not chosen(make_config, {"model.dropout": True}).replayed
    assert not chosen(make_config, {"train.arithmetic": "textbook"}).replayed
    assert chosen(make_config, {"preprocess.mode": "none"}).replayed
    assert not chosen(make_config, {"preprocess.mode": "none"}, one_shape=False).replayed


def test_networks_are_compiled_where_the_whole_training_repays_it(make_config: Callable[..., Config]) -> None:
    config = make_config()
    repaid = -(-REPAID_PIXELS // (config.train.batch_size * config.preprocess.crop_size**2))
    assert chosen(make_config, steps=repaid).compiled
    assert not chosen(make_config, steps=repaid - 1).compiled
    assert not chosen(make_config, steps=LONG, compiler=False).compiled
    assert not chosen(make_config, {"loss.gan_mode": "wgangp"}, steps=LONG).compiled
    always = {"loss.gan_mode": "wgangp", "runtime.compile": "always"}
    assert not chosen(make_config, always, steps=LONG).compiled
    assert not chosen(make_config, {"train.arithmetic": "textbook"}, steps=LONG).compiled
    assert not chosen(make_config, steps=LONG, one_shape=False).compiled
    assert not chosen(make_config, {"runtime.compile": "never"}, steps=LONG).compiled
    assert chosen(make_config, {"runtime.compile": "always"}).compiled


@pytest.mark.parametrize("before", [False, True])
def test_a_training_goes_on_as_it_began(make_config: Callable[..., Config], before: bool) -> None:
    for wish in ("always", "never", "auto"):
        assert chosen(make_config, {"runtime.compile": wish}, compiled_before=before).compiled == before


def test_a_choice_is_said_in_words(make_config: Callable[..., Config]) -> None:
    assert str(chosen(make_config)) == "all pixels on the device, steps replayed as a CUDA graph, networks not compiled"
    streamed = chosen(make_config, {"runtime.compile": "always", "model.dropout": True}, pixel_bytes=10**9)
    assert str(streamed) == "pixels streamed to the device, steps launched one by one, networks compiled"


def test_compiling_needs_triton_and_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(execution.shutil, "which", lambda name: "/bin/cc" if name == "cc" else None)
    assert can_compile()
    monkeypatch.setattr(execution.shutil, "which", lambda name: None)
    assert not can_compile()
    monkeypatch.setattr(execution.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(execution.shutil, "which", lambda name: "/bin/cc")
    assert not can_compile()
