"""A checkpoint holds everything: whoever continues it reaches the same bytes."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from torch import Tensor

from cyclegan.config import Config
from cyclegan.data.batches import load
from cyclegan.device import choose_precision
from cyclegan.errors import UserError
from cyclegan.training import checkpoint, ema
from cyclegan.training.checkpoint import DamagedError, Saver, checkpoints, read_state, restore_checkpoint, save_checkpoint
from cyclegan.training.program import step_mode
from cyclegan.training.selection import Scored, Selection
from cyclegan.training.state import TrainState
from cyclegan.training.step import step

CPU = torch.device("cpu")
HAS_BF16 = choose_precision("auto", CPU) == "bf16"


def train(state: TrainState, config: Config, data: Any, until: int) -> None:
    """The loop without its surroundings."""
    mode = step_mode(config, config.train.precision, CPU)
    while state.step < until:
        decisions = data.plan.decisions(state.step)
        terms = step(
            state.networks,
            state.optimizers,
            state.pools,
            load(data.loader, decisions),
            decisions,
            config.loss,
            mode,
        )
        for name, average in state.average.items():
            ema.update(average, state.networks.generators()[name], ema.decay_at(state.step, config.train.ema_decay))
        state.step += 1
        state.history.add(state.step, 1, [*(term.item() for term in terms.values()), 0.1], last=False)


def contents(state: TrainState) -> dict[str, Tensor]:
    """Every tensor of a state, by name."""
    tensors = {
        f"{name}.{key}": tensor
        for name, network in [*state.networks.items(), *((f"average {n}", net) for n, net in state.average.items())]
        for key, tensor in network.state_dict().items()
    }
    for name, optimizer in vars(state.optimizers).items():
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"{name} {index} {key}": tensor for key, tensor in moments.items()}
    for name, pool in vars(state.pools).items():
        tensors |= {f"pool {name} {key}": tensor[:-1] for key, tensor in vars(pool).items()}
    return tensors | state.selection.tensors() | state.history.tensors()


def assert_equal(one: TrainState, other: TrainState) -> None:
    first, second = contents(one), contents(other)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert one.step == other.step
    assert one.validation == other.validation
    assert one.selection.about() == other.selection.about()


CASES: dict[str, dict[str, Any]] = {
    "as published": {},
    "without identity or average": {"loss.lambda_identity": 0.0, "train.ema_decay": 0.0},
    "batch norm": {"model.norm": "batch"},
    "gradient penalty": {"loss.gan_mode": "wgangp", "model.norm": "instance_affine"},
    "no history": {"train.pool_size": 0},
    "other networks": {"model.netD": "same_size", "model.norm": "none", "loss.score_per": "picture"},
    "bf16": {"train.precision": "bf16"},
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.skipif(case == "bf16" and not HAS_BF16, reason="this CPU has no bf16"))
        for case in CASES
    ],
)
def test_a_restored_state_trains_on_to_the_bytes_of_an_undisturbed_one(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
    case: str,
) -> None:
    config = make_config(**{"train.ema_decay": 0.9, "model.ngf": 8, **CASES[case]})
    data = make_data(config)
    state = make_state(config)
    train(state, config, data, until=3)
    state.training_id, state.computed_by = "abc123", {"device": "x"}
    state.origins = [{"step": "0", "commit": "c"}, {"step": "2", "commit": "d"}]
    state.validation = [(0.1, 0.2), (1 / 3, 1e-9)]
    state.selection = Selection("pair_l1 on 12 and 34", stopped=2)
    for weights, values in (("raw", (0.5, 1 / 3)), ("ema", (None, 0.1))):
        rows = [
            Scored(3, 1, weights, direction, "pair_l1", v, 1e-9)
            for direction, v in zip(("A_to_B", "B_to_A"), values, strict=True)
        ]
        state.selection.consider(rows, state.networks.generators(), "lower")
    path = save_checkpoint(state, tmp_path)
    resumed = make_state(config.model_copy(update={"seed": 99}))
    assert restore_checkpoint(resumed, tmp_path) == path
    assert (resumed.training_id, resumed.computed_by) == ("abc123", {"device": "x"})
    assert resumed.origins == state.origins
    assert_equal(resumed, state)
    for one in (state, resumed):
        train(one, config, data, until=6)
    assert_equal(resumed, state)


@pytest.fixture
def state(
    make_config: Callable[..., Config], make_data: Callable[..., Any], make_state: Callable[[Config], TrainState]
) -> TrainState:
    config = make_config()
    state = make_state(config)
    train(state, config, make_data(config), until=1)
    return state


def save_at(state: TrainState, folder: Path, *steps: int) -> None:
    for number in steps:
        state.step = number
        save_checkpoint(state, folder)


def test_restored_moments_lie_in_memory_as_their_parameters_do(
    tmp_path: Path, make_config: Callable[..., Config], make_state: Callable[[Config], TrainState], state: TrainState
) -> None:
    """The fused Adam walks parameter, gradient and moments side by side through memory, whatever their strides say."""
    save_checkpoint(state, tmp_path)
    resumed = make_state(make_config())
    restore_checkpoint(resumed, tmp_path)
    for optimizer in vars(resumed.optimizers).values():
        for parameter, moments in optimizer.state.items():
            assert moments["exp_avg"].stride() == moments["exp_avg_sq"].stride() == parameter.stride()


def test_only_the_newest_two_are_kept_and_no_temporary_file(tmp_path: Path, state: TrainState) -> None:
    folder = tmp_path / "new"
    save_at(state, folder, 2, 9, 10, 100)
    assert [path.name for path in checkpoints(folder)] == ["step-000000100.safetensors", "step-000000010.safetensors"]
    assert sorted(folder.iterdir()) == sorted(checkpoints(folder))


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, -1])
def test_a_damaged_newest_one_is_passed_over_for_the_one_before(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_state: Callable[[Config], TrainState],
    state: TrainState,
    keep: float,
) -> None:
    save_at(state, tmp_path, 7, 8)
    newest, before = checkpoints(tmp_path)
    data = newest.read_bytes()
    newest.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    resumed = make_state(make_config())
    assert restore_checkpoint(resumed, tmp_path) == before
    state.step = 7
    assert_equal(resumed, state)


def test_where_nothing_can_be_read_the_state_stays_as_it_was(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_state: Callable[[Config], TrainState],
    state: TrainState,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fresh = make_state(make_config())
    assert restore_checkpoint(fresh, tmp_path / "none") is None
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 0)
        save_at(state, tmp_path, 1)
    save_at(state, tmp_path, 2)
    checkpoints(tmp_path)[0].write_bytes(b"\x08" + b"\x00" * 7 + b'{"a": 1}')
    assert restore_checkpoint(fresh, tmp_path) is None
    assert_equal(fresh, make_state(make_config()))


@pytest.mark.parametrize("where", ["save_file", "replace"])
def test_a_crash_while_writing_leaves_the_earlier_one_and_the_next_save_works(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_state: Callable[[Config], TrainState],
    state: TrainState,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    def crash(*arguments: Any, **keywords: Any) -> None:
        (tmp_path / "writing.tmp").write_bytes(b"half")
        raise KeyboardInterrupt

    save_at(state, tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(*((checkpoint, "save_file") if where == "save_file" else (Path, "replace")), crash)
        with pytest.raises(KeyboardInterrupt):
            save_at(state, tmp_path, 2)
    resumed = make_state(make_config())
    assert restore_checkpoint(resumed, tmp_path) is not None
    assert resumed.step == 1
    save_at(state, tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []
    restore_checkpoint(resumed, tmp_path)
    assert resumed.step == 2


def test_a_damaged_one_does_not_outlive_those_that_are_written_after_it(
    tmp_path: Path, make_config: Callable[..., Config], make_state: Callable[[Config], TrainState], state: TrainState
) -> None:
    """It bears a later step than they do, which must not make them the ones to remove."""
    save_at(state, tmp_path, 8, 9)
    for path in checkpoints(tmp_path):
        path.write_bytes(path.read_bytes()[:-1])
    assert restore_checkpoint(make_state(make_config()), tmp_path) is None
    save_at(state, tmp_path, 3)
    assert [path.stem for path in checkpoints(tmp_path)] == ["step-000000003"]
    save_at(state, tmp_path, 4)
    assert [path.stem for path in checkpoints(tmp_path)] == ["step-000000004", "step-000000003"]


def test_what_a_killed_process_left_half_written_is_removed_by_the_next_one(tmp_path: Path, state: TrainState) -> None:
    save_at(state, tmp_path, 1)
    for name in ("writing.tmp", ".tmpYd5qVA"):  # ours, and one of safetensors' own
        (tmp_path / name).write_bytes(b"half")
    save_at(state, tmp_path, 2)
    assert sorted(tmp_path.iterdir()) == sorted(checkpoints(tmp_path))
    assert len(checkpoints(tmp_path)) == 2


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory, make_config: Callable[..., Config], make_state: Callable[[Config], TrainState]
) -> tuple[Path, bytes]:
    """A small checkpoint and its bytes."""
    folder = tmp_path_factory.mktemp("written")
    config = make_config(**{"model.ngf": 2, "model.ndf": 2, "train.ema_decay": 0.0, "preprocess.crop_size": 16})
    state = make_state(config)
    state.training_id, state.computed_by, state.continued = "abc", {"device": "cpu"}, {"from": "0123456"}
    path = save_checkpoint(state, folder)
    return path, path.read_bytes()


def regions(data: bytes) -> dict[str, tuple[int, int]]:
    """First and last byte of everything in a safetensors file: the header's length, the header's parts, each tensor."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    about = data.index(b"__metadata__", 8)
    found = {"length": (0, 7), "about": (about, data.index(b"}", about)), "header": (8, 7 + length)}
    for name, entry in header.items():
        if name != "__metadata__" and entry["data_offsets"][0] < entry["data_offsets"][1]:
            start, end = entry["data_offsets"]
            found[name] = (8 + length + start, 8 + length + end - 1)
    return found


@pytest.mark.parametrize("region", ["length", "about", "header", "everything"])
@given(choices=st.data())
@settings(max_examples=120)
def test_no_flipped_bit_goes_unnoticed(written: tuple[Path, bytes], region: str, choices: st.DataObject) -> None:
    path, data = written
    first, last = (regions(data) | {"everything": (0, len(data) - 1)})[region]
    place, bit = choices.draw(st.integers(first, last)), choices.draw(st.integers(0, 7))
    damaged = bytearray(data)
    damaged[place] ^= 1 << bit
    path.write_bytes(damaged)
    with pytest.raises(DamagedError):
        read_state(path)


def test_a_bit_flipped_in_each_tensor_is_noticed(written: tuple[Path, bytes]) -> None:
    path, data = written
    path.write_bytes(data)
    about, _ = read_state(path)
    assert (about["training_id"], about["computed_by"], about["continued"]) == (
        "abc",
        {"device": "cpu"},
        {"from": "0123456"},
    )
    places = regions(data)
    assert len(places) > 60
    for first, last in places.values():
        for place in (first, last):
            damaged = bytearray(data)
            damaged[place] ^= 1
            path.write_bytes(damaged)
            with pytest.raises(DamagedError):
                read_state(path)


def test_one_whose_digest_is_wrong_is_passed_over_and_said_so(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_state: Callable[[Config], TrainState],
    state: TrainState,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_at(state, tmp_path, 7, 8)
    newest, before = checkpoints(tmp_path)
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    resumed = make_state(make_config())
    assert restore_checkpoint(resumed, tmp_path) == before
    assert resumed.step == 7
    said = capsys.readouterr().out
    assert f"warning: the checkpoint {newest} is damaged (its contents do not have the digest they were written" in said


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["G_AB", "G_BA", "D_A", "D_B"])
def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path, state: TrainState, name: str, value: float) -> None:
    save_at(state, tmp_path, 1)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with torch.no_grad():
        list(dict(state.networks.items())[name].parameters())[-1].view(-1)[-1] = value
    with pytest.raises(UserError, match=rf"^{name} has weights that are not finite after step 2; .*Lower optimizer\.lr"):
        save_at(state, tmp_path, 2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept


class Clock:
    """Time that passes only where a test lets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(checkpoint.time, "monotonic", lambda: self.now)


def saved_at(saver: Saver, state: TrainState, clock: Clock, seconds: int) -> list[float]:
    """Ask every second whether to save, and do; returns when it was done."""
    times, start = [], clock.now
    while clock.now < start + seconds:
        clock.now += 1
        state.step += 1
        if saver.due():
            times.append(clock.now - start)
            saver.save(state)
            saver.wait()
    return times


def test_checkpoints_are_written_as_often_as_asked_for(
    tmp_path: Path, state: TrainState, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    saver = Saver(tmp_path, every_seconds=60, saved_step=state.step)
    assert saved_at(saver, state, clock, 200) == [60, 120, 180]
    assert saver.saved_step == state.step - 20
    assert [path.stem for path in checkpoints(tmp_path)] == [f"step-{step:09d}" for step in (181, 121)]


@pytest.mark.parametrize("fails", [False, True])
def test_slow_ones_are_written_less_often_so_that_they_take_a_hundredth_of_the_time(
    tmp_path: Path, state: TrainState, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    clock, spent = Clock(monkeypatch), []

    def slow(*_: Any) -> None:
        clock.now += 5
        spent.append(5.0)
        if fails:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_checkpoint", slow)
    saver = Saver(tmp_path, every_seconds=60)
    times = saved_at(saver, state, clock, 5000)
    assert times[0] == 60
    assert len(times) == 10
    assert sum(spent[1:]) / (times[-1] - times[0]) <= 0.01
    assert all(later - time == 500 for time, later in pairwise(times))


def test_one_that_cannot_be_written_is_a_warning_and_leaves_the_one_before(
    tmp_path: Path, state: TrainState, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saver = Saver(tmp_path, every_seconds=60)
    state.step = 3
    saver.save(state)
    saver.wait()
    assert capsys.readouterr().out == ""
    before = [(path.name, path.read_bytes()) for path in tmp_path.iterdir()]

    def half(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", half)
        state.step = 4
        saver.save(state)
        saver.wait()
    assert capsys.readouterr().out == (
        f"warning: the checkpoint of step 4 cannot be written to {tmp_path}: I/O error: No space left on device (os error "
        f"28); that of step 3 stays, and training goes on\n"
    )
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == before
    assert saver.saved_step == 3
    state.step = 5
    saver.save(state)
    saver.wait()
    assert (saver.saved_step, checkpoints(tmp_path)[0].stem) == (5, "step-000000005")


def test_training_may_go_on_while_one_is_written(
    tmp_path: Path, state: TrainState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the state of the moment at which it began, and the next one waits until it is there."""
    written, release, reached = state.step, Event(), Event()
    real = checkpoint.save_file

    def slow(*arguments: Any, **keywords: Any) -> None:
        reached.set()
        assert release.wait(60)
        real(*arguments, **keywords)

    monkeypatch.setattr(checkpoint, "save_file", slow)
    before = contents(state)
    before = {name: tensor.clone() for name, tensor in before.items()}
    with Saver(tmp_path, every_seconds=60) as saver:
        saver.save(state)
        assert reached.wait(60)
        state.step += 1
        with torch.no_grad():
            for tensor in contents(state).values():
                tensor.zero_()
        assert checkpoints(tmp_path) == []
        release.set()
    assert saver.saved_step == written
    restore_checkpoint(state, tmp_path)
    assert state.step == written
    for name, tensor in contents(state).items():
        assert torch.equal(tensor, before[name]), name
