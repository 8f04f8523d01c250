"""Several processes train as one does with the same batch: real ones, started by torchrun, that talk over gloo."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import worker
from project import run
from safetensors.torch import load_file
from test_loop import Watcher

from cyclegan.config import Config
from cyclegan.data.plan import Plan
from cyclegan.errors import UserError
from cyclegan.training import parallel
from cyclegan.training.execution import Execution
from cyclegan.training.loop import fit
from cyclegan.training.parallel import ALONE, Group, check_divisible
from cyclegan.training.program import Program
from cyclegan.training.state import TrainState

SMALL = {
    "preprocess.crop_size": 16,
    "model.ngf": 4,
    "train.batch_size": 6,
    "train.pool_size": 7,  # so that most steps show pictures that another process made
    "train.ema_decay": 0.9,
}
PLAIN: dict[str, dict[str, Any]] = {  # in float32, as in training
    "lsgan": {"model.norm": "none"},
    "a pool smaller than a batch": {
        "model.norm": "none",
        "train.pool_size": 2,
        "train.arithmetic": "textbook",
        "loss.score_per": "picture",
    },
}
DOUBLE: dict[str, dict[str, Any]] = {
    "instance": {},
    "wgangp": {"model.norm": "none", "loss.gan_mode": "wgangp"},
}


@pytest.fixture(scope="module", params=[2, 3])
def trained(request: pytest.FixtureRequest, ended: Path) -> tuple[int, Path]:
    """How many processes, and the folder with what they and one process came to."""
    run(ended, "torchrun", "--standalone", "--nproc-per-node", str(request.param), worker.__file__, str(ended))
    return request.param, ended


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, make_config: Callable[..., Config]) -> Path:
    folder = tmp_path_factory.mktemp("parallel")
    jobs = {
        name: {"config": make_config(**SMALL | changes).model_dump(mode="json"), "double": name in DOUBLE}
        for name, changes in (PLAIN | DOUBLE).items()
    }
    (folder / "jobs.json").write_text(json.dumps(jobs))
    worker.main(folder)
    return folder


def farthest(trained: tuple[int, Path], name: str) -> dict[str, float]:
    """Of each tensor, the largest difference from one process's, relative to its largest value (1e-3 if that is less)."""
    size, folder = trained
    one, several = (load_file(folder / f"{name}.{processes}.safetensors") for processes in (1, size))
    assert one.keys() == several.keys()
    assert len({key.split("/")[0] for key in one}) == 7  # four networks, averages, pools, losses
    return {
        key: ((tensor - several[key]).abs().max() / tensor.abs().max().clamp_min(1e-3)).item()
        for key, tensor in one.items()
    }


@pytest.mark.parametrize("name", PLAIN)
def test_after_ten_steps_in_float32_every_weight_is_that_of_one_process(trained: tuple[int, Path], name: str) -> None:
    """Weights, averages, the history and every step's losses.

    Without a norm: under InstanceNorm a first difference in the last digit grows tenfold a step, on one process too, as
    soon as it adds in another order (see below).
    """
    assert {key: value for key, value in farthest(trained, name).items() if value > 1e-6} == {}


@pytest.mark.parametrize("trained", [2], indirect=True)  # the losses are float32: a mean over a third is rounded
@pytest.mark.parametrize("name", DOUBLE)
def test_so_it_is_where_rounding_would_hide_it(trained: tuple[int, Path], name: str) -> None:
    """Under InstanceNorm, and for discriminators whose last bias has no gradient: in float64 behind a float32 face."""
    assert {key: value for key, value in farthest(trained, name).items() if value > 1e-6} == {}


def test_under_instance_norm_rounding_grows_on_one_process_too(make_config: Callable[..., Config]) -> None:
    """Where the first step still agrees, a whole batch and the same in two parts are apart after ten."""
    one = make_config(**SMALL)
    parts = make_config(**SMALL | {"train.accumulate": 2})
    whole, split = (worker.train(config, ALONE, double=False)["losses"] for config in (one, parts))
    apart = ((whole - split).abs() / whole.abs()).amax(1)
    assert apart[0] < 1e-6
    assert apart[-1] > 1e-4


def test_what_is_compared_has_moved(ended: Path, make_config: Callable[..., Config]) -> None:
    first = worker.first_state(make_config(**SMALL | PLAIN["lsgan"]))
    last = load_file(ended / "lsgan.1.safetensors")
    for name, network in first.networks.items():
        for key, parameter in network.named_parameters():
            assert (last[f"{name}/{key}"] - parameter).abs().max() > 1e-4


def test_processes_tell_one_another_what_they_ask_for(trained: tuple[int, Path]) -> None:
    size, folder = trained
    told = [json.loads((folder / f"told.{rank}.of.{size}.json").read_text()) for rank in range(size)]
    mean = (size - 1) / 2
    for rank, one in enumerate(told):
        assert one["mine"] == [2 * rank, 2 * rank + 1]
        assert one["gathered"] == [number / 2 for number in range(2 * size)]
        assert one["averaged"] == [[mean, 10, 20, 30], mean]
        assert one["shared"] == "from 1"
        assert one["of first"] == [0.1, -1e-300]
        assert one["stop"] == [None, None, None, None, None, 15]  # asked at calls 3 and 6, when the last has a signal
        assert one["state"] == told[0]["state"]
        assert one["agreed"] == rank
    assert told[0]["state"][:3] == [5, {"precision": "of 0"}, [[0.0, 0.0]]]
    kind, text = told[0]["failed"]
    assert kind == "UserError"
    assert text.startswith("no picture here (said by process 1 of 0..")
    assert [one["failed"] for one in told[1:]] == [["Abandoned", ""]] * (size - 1)


def test_the_slices_of_all_processes_make_up_the_whole_of_what_a_step_uses() -> None:
    whole = Plan(seed=0, n_A=9, n_B=9, batch_size=6, pool_size=3, flip=True).decisions(4)
    parts = [Group(rank, 3).share_of(whole) for rank in range(3)]
    for domain in ("A", "B"):
        for name, array in vars(getattr(whole, domain)).items():
            together = np.concatenate([getattr(getattr(part, domain), name) for part in parts])
            np.testing.assert_array_equal(together, array)
        assert all(getattr(part, f"pool_{domain}") is getattr(whole, f"pool_{domain}") for part in parts)
        np.testing.assert_array_equal(
            np.concatenate([getattr(part, f"share_{domain}") for part in parts]), getattr(whole, f"share_{domain}")
        )


def test_one_process_by_itself_changes_nothing() -> None:
    decisions = Plan(seed=0, n_A=9, n_B=9, batch_size=2, pool_size=3, flip=True).decisions(0)
    batch = torch.rand(2, 3)
    assert ALONE.share_of(decisions) is decisions
    assert ALONE.mine(batch) is ALONE.gather(batch) is batch
    assert ALONE.asking(stop := lambda: None, 20) is stop
    assert ALONE.share(b"") == b""


@pytest.mark.parametrize(
    ("size", "changes", "said"),
    [
        (2, {"train.batch_size": 5}, "train.batch_size is 5 in .*, which the 2 processes .* make it a multiple of 2"),
        (4, {"train.batch_size": 2}, "train.batch_size is 2 in .*, which the 4 processes .* make it a multiple of 4"),
        (2, {"train.batch_size": 6, "train.accumulate": 2}, "each of the 2 processes .* has 3, which cannot be split into"),
        (2, {"train.batch_size": 8, "train.accumulate": 2}, None),
        (2, {"model.norm": "batch"}, "model.norm is batch in .* set model.norm to instance, or train.launcher to python"),
        (1, {"train.batch_size": 5, "model.norm": "batch"}, None),
        (3, {"train.batch_size": 6}, None),
    ],
)
def test_what_cannot_be_split_is_refused(
    make_config: Callable[..., Config], size: int, changes: dict[str, Any], said: str | None
) -> None:
    config = make_config(**{"train.batch_size": 4, **changes})
    if said is None:
        check_divisible(config, size)
    else:
        with pytest.raises(UserError, match=said):
            check_divisible(config, size)


@pytest.mark.parametrize(
    ("wanted", "gpus", "expected"),
    [
        ("auto", 0, "cpu"),
        ("cpu", 4, "cpu"),
        ("auto", 4, "cuda:1"),
        ("cuda", 2, "cuda:1"),
        ("auto", 1, "starts 2 processes on .*, where PyTorch sees 1 GPUs, .* lower --nproc-per-node"),
        ("cuda:0", 4, "runtime.device is cuda:0 .* CUDA_VISIBLE_DEVICES"),
        ("mps", 0, "runtime.device is mps .*, which 8 processes cannot share"),
        ("cuda", 0, "PyTorch sees no such device"),
    ],
)
def test_each_process_of_a_machine_has_a_gpu_of_its_own(
    monkeypatch: pytest.MonkeyPatch, wanted: str, gpus: int, expected: str
) -> None:
    monkeypatch.setattr(parallel.torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(parallel.torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    group = Group(5, 8)
    if expected in ("cpu", "cuda:1"):
        assert str(group.device(wanted)) == expected
    else:
        with pytest.raises(UserError, match=expected):
            group.device(wanted)


def test_a_process_after_the_first_trains_alike_but_tells_and_keeps_nothing_and_drops_out_others(
    tmp_path: Path,
    make_config: Callable[..., Config],
    make_data: Callable[..., Any],
    make_state: Callable[[Config], TrainState],
) -> None:
    """Here by itself, so that it learns nothing from others either."""

    def fitted(group: Group, dropout: bool) -> tuple[TrainState, Watcher]:
        config = make_config(**SMALL | {"train.batch_size": 2, "model.dropout": dropout})
        data, state, watcher = make_data(config), make_state(config), Watcher()
        folder = tmp_path / f"{group.rank}"
        with Program(state, data.plan, data.loader, config, "float32", Execution(), group) as program:
            fit(state, program, data.samples, None, config, watcher, folder, lambda: None)
        return state, watcher

    def weights(state: TrainState) -> torch.Tensor:
        return torch.cat([parameter.flatten() for parameter in state.networks.generator_parameters()])

    (first, seen), (other, unseen) = (fitted(Group(rank, 1), dropout=False) for rank in (0, 1))
    assert torch.equal(weights(first), weights(other))
    assert (len(seen.windows), list(seen.grids)) == (5, [0, 6, 9])
    assert (unseen.windows, unseen.grids, unseen.progresses, other.history.rows) == ([], {}, [], [])
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    one, another = (weights(fitted(Group(rank, 1), dropout=True)[0]) for rank in (0, 1))
    assert not torch.equal(one, another)
