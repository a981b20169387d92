"""`params.yaml` as frozen dataclasses: the one place where the pipeline's knobs enter the code."""

from .load import PARAMS_FILE, ConfigError, load_config, parse_config, parse_yaml, read_params
from .schema import (
    CNNConfig,
    Config,
    DatasetName,
    EvaluateConfig,
    ExportConfig,
    FetchConfig,
    GateConfig,
    ModelConfig,
    PrepareConfig,
    ResNetConfig,
    TrainConfig,
    ViTConfig,
)

__all__ = [
    "PARAMS_FILE",
    "CNNConfig",
    "Config",
    "ConfigError",
    "DatasetName",
    "EvaluateConfig",
    "ExportConfig",
    "FetchConfig",
    "GateConfig",
    "ModelConfig",
    "PrepareConfig",
    "ResNetConfig",
    "TrainConfig",
    "ViTConfig",
    "load_config",
    "parse_config",
    "parse_yaml",
    "read_params",
]
