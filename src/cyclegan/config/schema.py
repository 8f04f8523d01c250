"""The whole of params.yaml, and what in one section contradicts another."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from cyclegan.config.pictures import DatasetConfig, PreprocessConfig
from cyclegan.config.sections import (
    EvaluateConfig,
    ExportConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    RuntimeConfig,
    ScheduleConfig,
    Section,
    TrackingConfig,
    TrainConfig,
)
from cyclegan.config.sizes import STRIDES, smallest_side


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
    def continues_what_dvc_can_watch(self) -> "Config":
        there, first = self.train.continue_from, self.train.init_from
        if there is None:
            return self
        if "/" in there and first != there:
            raise ValueError(
                f"train.continue_from is the folder {there}, while train.init_from is {first}; set train.init_from to the "
                f"same folder, so that DVC watches it"
            )
        if "/" not in there and first != "weights/random":
            raise ValueError(
                f"train.continue_from is {there}, while train.init_from is {first}, but a continued training has its own "
                f"weights; set train.init_from to weights/random"
            )
        return self

    @model_validator(mode="after")
    def sections_agree(self) -> "Config":
        if Path(os.path.normpath(self.train.init_from)).parts[:1] == ("models",):
            raise ValueError(
                f"train.init_from is {self.train.init_from}, which training itself writes; copy the folder to weights/NAME "
                f"and name that"
            )
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
        own = os.path.normpath(self.evaluate.model) == "models/trained"
        if own and self.evaluate.weights == "best" and self.train.validate_every_epochs == 0:
            raise ValueError(
                "evaluate.weights is 'best' while train.validate_every_epochs is 0, so none is chosen; "
                "set evaluate.weights to auto, or train.validate_every_epochs to 1, say"
            )
        stride = STRIDES[self.model.netG]
        if self.preprocess.crop_size % stride != 0:
            raise ValueError(
                f"preprocess.crop_size is {self.preprocess.crop_size}; with model.netG {self.model.netG}, which halves "
                f"pictures {stride.bit_length() - 1} times, it must be a multiple of {stride}"
            )
        smallest = smallest_side(self.model)
        if self.preprocess.crop_size < smallest:
            raise ValueError(
                f"preprocess.crop_size is {self.preprocess.crop_size}, too small for networks with model.netG "
                f"{self.model.netG}, model.netD {self.model.netD} and model.n_layers_D {self.model.n_layers_D}, which need "
                f"{smallest} px; raise the one or choose others"
            )
        if self.loss.gan_mode == "wgangp" and not self.preprocess.crops:
            raise ValueError(
                f"loss.gan_mode is wgangp, whose penalty mixes real and translated pictures of one size, while "
                f"preprocess.mode {self.preprocess.mode} trains on whole pictures; choose a mode that crops"
            )
        if self.schedule.lr_policy == "plateau":
            self._plateau_can_watch()
        if self.train.checkpoint_activations:
            self._activations_can_be_computed_twice()
        return self

    def _plateau_can_watch(self) -> None:
        drawn, own = self.dataset.drawn and self.dataset.n_val > 0, self.dataset.name == "folder"  # which may have valA
        if self.dataset.val_fraction == 0 and not drawn and not own:
            raise ValueError(
                "schedule.lr_policy is plateau while dataset.val_fraction is 0, so there are no validation pictures to "
                "watch; set dataset.val_fraction to 0.1, say, or schedule.lr_policy to another"
            )
        if self.loss.lambda_A == 0 and self.loss.lambda_B == 0:
            raise ValueError(
                "schedule.lr_policy is plateau, which watches the weighed cycle loss of validation pictures, while "
                "loss.lambda_A and loss.lambda_B are both 0; set one above 0, or schedule.lr_policy to another"
            )

    def _activations_can_be_computed_twice(self) -> None:
        if self.model.norm == "batch":
            raise ValueError(
                "train.checkpoint_activations is true, which computes activations twice, while model.norm is batch, which "
                "would count each batch twice in its running statistics; set the one to false, or the other to instance"
            )
        if not self.model.netG.startswith("resnet"):
            raise ValueError(
                f"train.checkpoint_activations is true, but model.netG {self.model.netG} hands the features of every level "
                f"across, so that nothing would be saved; set it to false, or choose a resnet"
            )
