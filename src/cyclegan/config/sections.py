"""What each section of params.yaml may say: one frozen model a section, with its ranges.

The comments in params.yaml are the users' documentation of each key; a `description` here is the remedy that an
error message adds to the range.
"""

import warnings
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cyclegan.config.values import (
    Batch,
    Channels,
    Count,
    Epochs,
    Place,
    Text,
    Weight,
    Width,
    distinct,
    place,
    plain,
)

HealthCheck = Literal["colour_agreement", "copying", "output_variance", "hidden_information", "judged_right"]


class Section(BaseModel):
    """A section of params.yaml: immutable, without unknown keys and without silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelConfig(Section):
    netG: Literal["resnet_6blocks", "resnet_9blocks", "unet_128", "unet_256"]  # noqa: N815 - known from the reference code
    netD: Literal["basic", "n_layers", "pixel", "same_size"]  # noqa: N815 - as above
    norm: Literal["instance", "instance_affine", "batch", "none"]
    dropout: bool
    ngf: Width
    ndf: Width
    n_layers_D: Annotated[int, Field(ge=1, le=6)]  # noqa: N815 - as above
    input_nc: Channels
    output_nc: Channels
    init_type: Literal["normal", "xavier", "kaiming", "orthogonal"]
    init_gain: Annotated[float, Field(gt=0, le=1000, description="0.02 in the paper")]
    init_bias: Literal["zero", "uniform"]


class LossConfig(Section):
    gan_mode: Literal["lsgan", "vanilla", "hinge", "wgangp"]
    score_per: Literal["patch", "picture"]
    lambda_A: Weight
    lambda_B: Weight
    lambda_identity: Weight
    lambda_gp: Weight

    @model_validator(mode="after")
    def wgangp_has_its_penalty(self) -> "LossConfig":
        if self.gan_mode == "wgangp" and self.lambda_gp == 0:
            raise ValueError(
                "gan_mode is wgangp and lambda_gp is 0; without its gradient penalty this loss has no bound: set "
                "lambda_gp above 0 (10.0 in its paper), or gan_mode to another"
            )
        return self


class OptimizerConfig(Section):
    lr: Annotated[float, Field(gt=0, le=1)]
    beta1: Annotated[float, Field(ge=0, lt=1)]


class ScheduleConfig(Section):
    lr_policy: Literal["linear", "step", "plateau", "cosine", "constant"]
    n_epochs: Epochs
    n_epochs_decay: Epochs
    lr_decay_epochs: Count

    @model_validator(mode="after")
    def trains_at_all(self) -> "ScheduleConfig":
        if self.n_epochs + self.n_epochs_decay == 0:
            raise ValueError("n_epochs and n_epochs_decay are both 0; at least one must be 1 or more to train at all")
        return self


class TrainConfig(Section):
    launcher: Annotated[
        str,
        AfterValidator(plain),
        Field(
            max_length=1000,
            pattern=r"^(python3?|(srun .+ )?torchrun( .+)?)$",
            description="python, or torchrun with its options: torchrun --standalone --nproc-per-node 2",
        ),
    ]
    init_from: Annotated[Place, Field(description="a folder; weights/random holds none")]
    continue_from: Annotated[
        Annotated[str, Field(max_length=1000), AfterValidator(plain), AfterValidator(place)] | None,
        Field(
            pattern="^([0-9a-f]{7,40}|[^/]+/.*)$",
            description="the hash of a commit, the id of an MLflow run, or a model folder such as weights/NAME",
        ),
    ]
    keep_state: bool
    batch_size: Batch
    serial_batches: bool
    epoch_length: Literal["max", "min"]
    pool_size: Annotated[int, Field(ge=0, le=100_000, description="0 switches the history pool off")]
    ema_decay: Annotated[float, Field(ge=0, lt=1, description="0 switches the average off")]
    arithmetic: Literal["fast", "textbook"]
    precision: Literal["auto", "float32", "bf16"]
    deterministic: bool
    accumulate: Annotated[int, Field(ge=1, le=65_536, description="parts of a batch")]
    checkpoint_activations: bool
    history_every_steps: Count
    n_samples: Count
    validate_every_epochs: Annotated[int, Field(ge=0, le=1_000_000, description="0 never scores the validation pictures")]
    validate_metric: Literal[
        "auto",
        "pair_l1",
        "pair_psnr",
        "pair_ssim",
        "kid_x1000",
        "fid_clean",
        "fid_legacy",
        "cycle_l1",
        "cycle_psnr",
        "cycle_ssim",
    ]
    stop_after_validations: Annotated[int, Field(ge=0, le=1_000_000, description="0 never stops early")]

    @model_validator(mode="after")
    def what_stops_early_is_validated(self) -> "TrainConfig":
        if self.stop_after_validations > 0 and self.validate_every_epochs == 0:
            raise ValueError(
                f"stop_after_validations is {self.stop_after_validations} while validate_every_epochs is 0, so nothing is "
                f"validated; set validate_every_epochs to 1, say, or stop_after_validations to 0"
            )
        return self

    @model_validator(mode="after")
    def a_batch_has_equal_parts(self) -> "TrainConfig":
        if self.batch_size % self.accumulate != 0:
            raise ValueError(
                f"batch_size is {self.batch_size}, which cannot be split into accumulate = {self.accumulate} equal parts; "
                f"set accumulate to a divisor of it"
            )
        return self


class EvaluateConfig(Section):
    model: Annotated[Place, Field(description="a folder with generators, such as models/trained")]
    weights: Literal["auto", "best", "ema", "raw"]
    batch_size: Batch
    protocols: Annotated[
        list[Literal["fid_legacy", "fid_clean", "kid"]],
        AfterValidator(distinct),
        Field(description="a list of fid_legacy, fid_clean and kid; [] for no scores of sets"),
    ]
    against_all: bool
    feature_network: Annotated[
        str, Field(pattern="^[a-z][a-z0-9_]{0,99}$", description="inception_2015, or one as resnet50")
    ]
    feature_weights: Place
    bootstrap_samples: Annotated[int, Field(ge=100, le=1_000_000)]
    gallery_size: Count


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of pydantic's: all abstract classes, too, have a `register`

    class ExportConfig(Section):
        opset: Annotated[int, Field(ge=18, le=24)]
        tolerance: Annotated[float, Field(gt=0, le=2, description="outputs lie in [-1, 1]")]
        register: bool = Field()  # without a value given here, the other `register` would be its default
        registered_model: Annotated[
            str | None,
            Field(
                pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$",
                description="letters, digits, spaces, . _ and -; null takes the name of the data",
            ),
        ]
        champion_metric: Annotated[
            str, Field(pattern="^[a-z][a-z0-9_]{0,99}$", description="the name of a score, such as kid_x1000_test")
        ]


class TrackingConfig(Section):
    experiment: Annotated[Text, Field(max_length=250)]
    uri: Text | None
    system_metrics: bool


class RuntimeConfig(Section):
    device: Annotated[
        str, Field(pattern="^(auto|cpu|mps|cuda(:[0-9]{1,3})?)$", description="auto, cpu, cuda, cuda:N or mps")
    ]
    workers: Annotated[int, Field(ge=0, le=1024, description="0 takes one a core")]
    compile: Literal["auto", "always", "never"]
    log_every_steps: Count
    sample_every_steps: Count
    ignored_checks: list[HealthCheck]
    checkpoint_every_seconds: Annotated[float, Field(gt=0, le=1e9)]
