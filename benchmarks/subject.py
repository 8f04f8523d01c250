"""What is measured: our training step and the textbook's. The only file here that knows how training is put together."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from common import ROOT, Options
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cyclegan import config as configuration
from cyclegan import presets, randomness
from cyclegan.config import Config
from cyclegan.data.batches import Batch, Loader, Resident, ResidentSet, Streaming
from cyclegan.data.plan import Decisions, Plan, pack, unpack
from cyclegan.data.store import PixelSet
from cyclegan.device import Precision, choose_precision, make_deterministic
from cyclegan.images import Pixels
from cyclegan.models.networks import Networks, build_generator
from cyclegan.models.specs import generator_spec
from cyclegan.models.weights import load_generator, save
from cyclegan.training import ema
from cyclegan.training.execution import Execution
from cyclegan.training.program import Program
from cyclegan.training.state import Canvas, initial
from cyclegan.training.step import step

sys.path.append(str(ROOT / "tests/training"))  # the textbook step is the tests' oracle
from textbook import Draws, Objective, TextbookCycleGAN

PICTURES = 64  # of each domain, in memory
TINY_BACKEND = "aot_eager"  # of torch.compile, in tests: inductor takes minutes
OVERLAY = {  # whatever params.yaml says, what is measured needs no files and crops squares
    "preprocess.mode": "resize_and_crop",
    "train.init_from": "weights/random",
    "train.continue_from": None,
}
FAST = {"train.arithmetic": "fast", "train.precision": "auto", "train.ema_decay": 0.999}
TINY = {
    "preprocess.load_size": 36,
    "preprocess.crop_size": 32,
    "model.netG": "resnet_6blocks",
    "model.ngf": 4,
    "model.ndf": 4,
    "train.batch_size": 2,
    "train.pool_size": 3,
    "train.precision": "float32",
}


def modes(options: Options) -> tuple[str, ...]:
    """How our step can run there; each must give what eager gives."""
    replayed = ("replayed", "compiled, replayed") if options.device.type == "cuda" else ()
    return ("eager", "compiled", *replayed)


def cases(options: Options) -> dict[str, Config]:
    """The settings to measure: params.yaml as it is and, where the device can bear them, the paper's at batch 1 and 4."""
    if options.tiny:
        return {"tiny": configured(TINY)}
    found = {"params.yaml": configured({})}
    if options.complete or options.device.type == "cuda":
        found |= {f"paper, batch {size}": paper(size) for size in (1, 4)}
    return found


def paper(batch_size: int) -> Config:
    """The paper's networks and pictures (9 blocks, 64 channels, 256 px) in our fast arithmetic."""
    return configured(presets.resolve("reference", ROOT / "presets") | FAST | {"train.batch_size": batch_size})


def configured(overrides: dict[str, Any]) -> Config:
    """params.yaml with other values, by dotted name."""
    params: Any = configuration.read(ROOT / "params.yaml")
    for name, value in (OVERLAY | overrides).items():
        *section, key = name.split(".")
        (params[section[0]] if section else params)[key] = value
    return configuration.parse(params, "params.yaml")


class Ours:
    """A training by this project, on random pictures in memory, a step at a time.

    Args:
        config: its settings.
        device: where it trains.
        mode: one of `modes`.
        precision: None for what `train.precision` says.
        backend: of torch.compile.
        sets: pictures of A and of B to train on instead, at least as large as the crop.
    """

    def __init__(
        self,
        config: Config,
        device: torch.device,
        mode: str = "eager",
        precision: Precision | None = None,
        backend: str = "inductor",
        sets: tuple[PixelSet, PixelSet] | None = None,
    ) -> None:
        make_deterministic()
        self.config, self.device, self.mode = config, device, mode
        self.precision = precision or choose_precision(config.train.precision, device)
        canvas = Canvas(config.preprocess.crop_size, config.preprocess.crop_size)
        self.state = initial(config, canvas, canvas, device)
        channels = (config.model.input_nc, config.model.output_nc)
        drawn = (_random_pictures(config.preprocess.load_size, depth) for depth in channels)
        train_A, train_B = sets or drawn
        self.plan = Plan(
            seed=0,
            n_A=len(train_A),
            n_B=len(train_B),
            batch_size=config.train.batch_size,
            pool_size=config.train.pool_size,
            flip=config.preprocess.flip,
        )
        self.loader: Loader = Streaming(train_A, train_B, config.preprocess.crop_size)
        if device.type == "cuda":
            there = ResidentSet.of(train_A, device), ResidentSet.of(train_B, device)
            self.loader = Resident(*there, config.preprocess.crop_size)
        execution = Execution(resident=device.type == "cuda", replayed="replayed" in mode)
        self.program = Program(self.state, self.plan, self.loader, config, self.precision, execution)
        if "compiled" in mode:
            compiled = (torch.compile(network, backend=backend) for _, network in self.state.networks.items())
            self.program.networks = Networks(*cast(Iterator[nn.Module], compiled))

    def load(self) -> tuple[Batch, Decisions]:
        """What the next step uses, on the device."""
        return self.bring(self.plan.decisions(self.state.step))

    def bring(self, decisions: Decisions) -> tuple[Batch, Decisions]:
        """Pictures and decisions, on the device."""
        there = unpack(pack(decisions).to(self.device))
        fetched = tuple(tensor.to(self.device) for tensor in self.loader.fetch(decisions))
        return self.loader.batch(there, fetched), there

    def step(self, batch: Batch, decisions: Decisions) -> dict[str, Tensor]:
        """Update the networks, eagerly; the unweighted losses, on the device."""
        state, mode = self.state, self.program.mode
        terms = step(state.networks, state.optimizers, state.pools, batch, decisions, self.config.loss, mode)
        state.step += 1
        return terms

    def average(self) -> None:
        """Move the generators' averages, which the textbook has none of."""
        for name, average in self.state.average.items():
            decay = ema.decay_at(self.state.step, self.config.train.ema_decay)
            ema.update(average, self.state.networks.generators()[name], decay)

    def iterate(self) -> Tensor:
        """All that training does for a step but tell of it, in this training's mode; the losses, on the device."""
        return self.program.step(self.config.optimizer.lr)

    def gradients(self) -> Tensor:
        """Of all four networks in their last step, one after another."""
        parameters = (p for _, network in self.state.networks.items() for p in network.parameters())
        return torch.cat([p.grad.flatten().float() for p in parameters if p.grad is not None])


class Textbook:
    """The same training as a textbook has it, in float32, one pass after another.

    On NVIDIA GPUs with all that it gets for the asking: TF32, and cuDNN's choice of the fastest algorithms.
    """

    def __init__(self, ours: Ours) -> None:
        config, loss = ours.config, ours.config.loss
        self.batch_size, self.pool_size = config.train.batch_size, config.train.pool_size
        networks = {name: deepcopy(network) for name, network in ours.state.networks.items()}
        self.training = TextbookCycleGAN(
            **{name: network.to(memory_format=torch.contiguous_format) for name, network in networks.items()},
            objective=Objective(
                gan_mode=loss.gan_mode,
                of_mean_score=loss.score_per == "picture",
                lambda_A=loss.lambda_A,
                lambda_B=loss.lambda_B,
                lambda_identity=loss.lambda_identity,
                lambda_gp=loss.lambda_gp,
            ),
            lr=config.optimizer.lr,
            beta1=config.optimizer.beta1,
            pool_size=config.train.pool_size,
        )
        self.done = 0

    def step(self, batch: Batch) -> dict[str, float]:
        """Update the networks; the unweighted losses, on the host."""
        rng, n = randomness.generator(self.done, "benchmark"), self.batch_size
        draws = [draw for _ in "AB" for draw in ((rng.random(n) < 0.5).tolist(), rng.integers(self.pool_size, size=n))]
        self.done += 1
        with _all_that_is_fast():
            losses: dict[str, float] = self.training.step(
                batch.real_A, batch.real_B, Draws(*draws, *rng.random((2, n)).tolist())
            )
            return losses


@contextmanager
def _all_that_is_fast() -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    matmul.allow_tf32 = cudnn.allow_tf32 = cudnn.benchmark = True
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before
        make_deterministic()


def step_flops(config: Config) -> float:
    """Floating-point operations of one step's convolutions, a multiplication and an addition counting two.

    Counted on shapes alone: nothing is computed. Both arithmetics make as many.
    """
    plain = config.model_copy(update={"train": config.train.model_copy(update={"arithmetic": "textbook"})})
    nowhere = torch.device("meta")  # fused Adam has no shape-only form
    ours = Ours(plain, nowhere, precision="float32")
    side, n = config.preprocess.crop_size, config.train.batch_size
    channels = (config.model.input_nc, config.model.output_nc)
    batch = Batch(*(torch.empty(n, depth, side, side, device=nowhere) for depth in channels))
    decisions = unpack(pack(ours.plan.decisions(0)).to(nowhere))
    with FlopCounterMode(display=False) as counter:
        ours.step(batch, decisions)
    return float(counter.get_total_flops())


def generator(config: Config, device: torch.device) -> nn.Module:
    """G_AB with random weights, loaded from its files as translation, evaluation and export do."""
    spec = generator_spec(config.model, "G_AB", config.preprocess.crop_size, "", "raw")
    with TemporaryDirectory() as folder:
        save(Path(folder), build_generator(config.model, "G_AB").state_dict(), spec)
        return load_generator(Path(folder), device)[0]


def _random_pictures(side: int, channels: int) -> PixelSet:
    shape = (PICTURES, side, side, channels)
    return packed(randomness.generator(0, "benchmark/pictures").integers(0, 256, shape, dtype=np.uint8))


def packed(pictures: Pixels) -> PixelSet:
    """uint8 [N, H, W, C] as a training set."""
    count, height, width, channels = pictures.shape
    offsets = np.arange(count) * height * width * channels
    manifest = pd.DataFrame({"file": [f"{i}.png" for i in range(count)], "offset": offsets})
    return PixelSet(pictures.reshape(-1), manifest.assign(height=height, width=width), channels)
