"""The typed, frozen mirror of params.yaml. Nothing else reads YAML parameters."""

from cyclegan.config.load import load, parse, read, read_bytes
from cyclegan.config.pictures import DatasetConfig, PreprocessConfig
from cyclegan.config.schema import Config
from cyclegan.config.sections import (
    EvaluateConfig,
    ExportConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    RuntimeConfig,
    ScheduleConfig,
    TrackingConfig,
    TrainConfig,
)
from cyclegan.config.sizes import STRIDES, smallest_judged, smallest_side, smallest_translated

__all__ = [
    "STRIDES",
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
    "read",
    "read_bytes",
    "smallest_judged",
    "smallest_side",
    "smallest_translated",
]
