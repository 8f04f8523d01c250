"""The typed, frozen mirror of params.yaml. Nothing else reads YAML parameters."""

from cyclegan.config.load import load, parse
from cyclegan.config.schema import (
    Config,
    DatasetConfig,
    EvaluateConfig,
    ExportConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    PreprocessConfig,
    RuntimeConfig,
    ScheduleConfig,
    TrackingConfig,
    TrainConfig,
)

__all__ = [
    "Config",
    "DatasetConfig",
    "EvaluateConfig",
    "ExportConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PreprocessConfig",
    "RuntimeConfig",
    "ScheduleConfig",
    "TrackingConfig",
    "TrainConfig",
    "load",
    "parse",
]
