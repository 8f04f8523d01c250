"""What params.yaml may say: one frozen model a section, with its ranges and what contradicts what.

The comments in params.yaml are the users' documentation of each key; a `description` here is the remedy that an
error message adds to the range.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Size = Annotated[int, Field(ge=4, le=16384)]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0, le=1e6, description="0 switches the term off")]
Byte = Annotated[int, Field(ge=0, le=255)]
Channels = Annotated[Literal[1, 3], Field(description="1 greyscale, 3 colour")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="64 hexadecimal digits in lower case")]


class Section(BaseModel):
    """A section of params.yaml: immutable, without unknown keys and without silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DatasetConfig(Section):
    name: Literal[
        "openmoji",
        "shapes",
        "earth",
        "folder",
        "apple2orange",
        "cezanne2photo",
        "facades",
        "horse2zebra",
        "iphone2dslr_flower",
        "maps",
        "monet2photo",
        "summer2winter_yosemite",
        "ukiyoe2photo",
        "vangogh2photo",
    ]
    image_size: Annotated[int, Field(ge=16, le=1024)]
    n_train: Count | None
    n_test: Count
    path: Annotated[str, Field(min_length=1, description="a folder that holds trainA/ and trainB/")]
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    paired_test: bool
    url: Annotated[str, Field(pattern="^(https?|file)://.", description="an http, https or file address")] | None
    sha256: Sha256 | None
    on_bad_image: Literal["error", "skip"]


class PreprocessConfig(Section):
    load_size: Size
    crop_size: Annotated[Size, Field(multiple_of=4, description="the generators halve the picture twice")]
    flip: bool
    min_side: Count
    background: Annotated[list[Byte], Field(min_length=3, max_length=3, description="red, green, blue in 0..255")]

    @model_validator(mode="after")
    def crop_fits_load(self) -> "PreprocessConfig":
        if self.crop_size > self.load_size:
            raise ValueError(
                f"crop_size is {self.crop_size} and load_size is {self.load_size}; a crop cannot be larger than the "
                f"picture it is cut from: lower crop_size or raise load_size"
            )
        return self


class ModelConfig(Section):
    netG: Literal["resnet_6blocks", "resnet_9blocks"]  # noqa: N815 - the name users of the reference code know
    ngf: Count
    n_layers_D: Annotated[int, Field(ge=1, le=6)]  # noqa: N815 - as above
    ndf: Count
    input_nc: Channels
    output_nc: Channels
    init_gain: Annotated[float, Field(gt=0)]


class LossConfig(Section):
    lambda_A: Weight
    lambda_B: Weight
    lambda_identity: Weight


class OptimizerConfig(Section):
    lr: Annotated[float, Field(gt=0, le=1)]
    beta1: Annotated[float, Field(ge=0, lt=1)]


class ScheduleConfig(Section):
    n_epochs: Annotated[int, Field(ge=0)]
    n_epochs_decay: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def trains_at_all(self) -> "ScheduleConfig":
        if self.n_epochs + self.n_epochs_decay == 0:
            raise ValueError("n_epochs and n_epochs_decay are both 0; at least one must be 1 or more to train at all")
        return self


class TrainConfig(Section):
    batch_size: Count
    pool_size: Annotated[int, Field(ge=0, description="0 switches the history pool off")]
    ema_decay: Annotated[float, Field(ge=0, lt=1, description="0 switches the average off")]
    precision: Literal["auto", "float32", "bf16"]
    history_every_steps: Count
    n_samples: Count


class EvaluateConfig(Section):
    weights: Literal["auto", "ema", "raw"]
    batch_size: Count
    kid_subsets: Count
    kid_subset_size: Annotated[int, Field(ge=2)]
    gallery_size: Count


class ExportConfig(Section):
    opset: Annotated[int, Field(ge=18, le=24)]
    tolerance: Annotated[float, Field(gt=0)]


class TrackingConfig(Section):
    experiment: Annotated[str, Field(min_length=1)]
    uri: Annotated[str, Field(min_length=1)] | None
    system_metrics: bool


class RuntimeConfig(Section):
    device: Annotated[str, Field(pattern="^(auto|cpu|mps|cuda(:[0-9]+)?)$", description="auto, cpu, cuda, cuda:N or mps")]
    workers: Annotated[int, Field(ge=0)]
    log_every_steps: Count
    sample_every_steps: Count
    checkpoint_every_seconds: Annotated[float, Field(gt=0)]


class Config(Section):
    """The whole of params.yaml."""

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    dataset: DatasetConfig
    preprocess: PreprocessConfig
    model: ModelConfig
    loss: LossConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    export: ExportConfig
    tracking: TrackingConfig
    runtime: RuntimeConfig

    @model_validator(mode="after")
    def sections_agree(self) -> "Config":
        if self.loss.lambda_identity > 0 and self.model.input_nc != self.model.output_nc:
            raise ValueError(
                f"loss.lambda_identity is {self.loss.lambda_identity} while model.input_nc is {self.model.input_nc} "
                f"and model.output_nc is {self.model.output_nc}; a generator can only be shown pictures of its own "
                f"output domain if both have as many channels: set loss.lambda_identity to 0 or the channels equal"
            )
        if self.evaluate.weights == "ema" and self.train.ema_decay == 0:
            raise ValueError(
                "evaluate.weights is 'ema' while train.ema_decay is 0, so no average is kept; "
                "set evaluate.weights to auto or raw, or train.ema_decay above 0 (0.999, say)"
            )
        smallest = 3 * 2**self.model.n_layers_D
        if self.preprocess.crop_size < smallest:
            raise ValueError(
                f"preprocess.crop_size is {self.preprocess.crop_size}, too small for discriminators with "
                f"model.n_layers_D of {self.model.n_layers_D}, which need {smallest} px; raise the one or lower the other"
            )
        return self
