"""What training takes from the prepared folder: its plan, its pictures, and their sizes."""

from dataclasses import dataclass

import torch

from cyclegan.config import STRIDES, Config, smallest_side
from cyclegan.data.batches import Loader, Resident, ResidentSet, Streaming
from cyclegan.data.layout import DOMAINS
from cyclegan.data.plan import Plan
from cyclegan.data.store import PixelSet, Store
from cyclegan.errors import UserError
from cyclegan.levels import from_pixels
from cyclegan.training.loop import Samples
from cyclegan.training.state import Canvas
from cyclegan.training.validation import Validation


@dataclass(frozen=True)
class Pictures:
    """What training takes its pictures from, and the sizes of A's and of B's."""

    plan: Plan
    loader: Streaming
    samples: Samples
    validation: Validation | None
    canvases: tuple[Canvas, Canvas]

    @staticmethod
    def of(store: Store, config: Config, device: torch.device) -> "Pictures":
        """The prepared pictures; samples and validation pictures on the device.

        Raises:
            UserError: the pictures were prepared for other crops, or their sizes do not suit networks or batches.
        """
        loader = make_loader(store, config)
        shown = (store.open("test", domain).stack(0, config.train.n_samples) for domain in DOMAINS)
        samples = Samples(*(from_pixels(pictures).to(device) for pictures in shown))
        validation = None
        if "valA" in store.summary["sets"]:
            held_out = (store.open("val", domain) for domain in DOMAINS)
            real_A, real_B = (from_pixels(pictures.stack(0, len(pictures))).to(device) for pictures in held_out)
            validation = Validation(real_A, real_B, config.train.batch_size)
        canvas_A, canvas_B = (_canvas(pictures, loader.crop_size, config) for pictures in (loader.train_A, loader.train_B))
        return Pictures(make_plan(store, config), loader, samples, validation, (canvas_A, canvas_B))

    def loader_on(self, device: torch.device, *, resident: bool) -> Loader:
        """What brings the pictures to the device, or what has them there."""
        size = self.loader.crop_size
        if not resident or size is None:
            return self.loader
        return Resident(ResidentSet.of(self.loader.train_A, device), ResidentSet.of(self.loader.train_B, device), size)


def make_plan(store: Store, config: Config) -> Plan:
    """What each step of a training on the prepared pictures uses."""
    return Plan(
        seed=config.seed,
        n_A=len(store.open("train", "A")),
        n_B=len(store.open("train", "B")),
        batch_size=config.train.batch_size,
        pool_size=config.train.pool_size,
        flip=config.preprocess.flip,
        serial=config.train.serial_batches,
        epoch_length=config.train.epoch_length,
    )


def make_loader(store: Store, config: Config) -> Streaming:
    """What gathers a step's pictures.

    Raises:
        UserError: the pictures were prepared for smaller crops.
    """
    crop_size = config.preprocess.crop_size if config.preprocess.crops else None
    sets = store.open("train", "A"), store.open("train", "B")
    smallest = min(min(pictures.heights + pictures.widths) for pictures in sets)
    if crop_size is not None and smallest < crop_size:
        raise UserError(
            f"{store.folder} holds pictures of {smallest} px, too small for preprocess.crop_size of {crop_size} in "
            f"params.yaml, so they were prepared under other settings; run `dvc repro preprocess`"
        )
    return Streaming(*sets, crop_size)


def _canvas(pictures: PixelSet, crop_size: int | None, config: Config) -> Canvas:
    if crop_size is not None:
        return Canvas(crop_size, crop_size)
    stride, smallest = STRIDES[config.model.netG], smallest_side(config.model)
    for file, height, width in zip(pictures.files, pictures.heights, pictures.widths, strict=True):
        if height % stride or width % stride or min(height, width) < smallest:
            raise UserError(
                f"{file} is {width} x {height} px as prepared in mode {config.preprocess.mode}, but model.netG "
                f"{config.model.netG} needs multiples of {stride} px, and the networks at least {smallest} px; use another "
                f"preprocess.load_size, a mode that crops, or a resnet generator"
            )
    if not pictures.one_size and config.train.batch_size > 1:
        raise UserError(
            f"train.batch_size is {config.train.batch_size} in params.yaml, but preprocess.mode {config.preprocess.mode} "
            f"leaves pictures of different sizes, which cannot share a batch; set train.batch_size to 1, or use a mode "
            f"that crops"
        )
    return Canvas(max(pictures.heights), max(pictures.widths), varied=not pictures.one_size)
