"""`params.yaml` as frozen dataclasses: the one place where settings enter the code."""

from .fields import Location, Precision
from .load import PARAMS_FILE, ConfigError, load_config, parse_config, parse_yaml, read_params
from .networks import ModelConfig, NetworkName
from .schema import (
    CompressConfig,
    Config,
    DatasetName,
    EvaluateConfig,
    ExportConfig,
    GateConfig,
    PrepareConfig,
    TrainConfig,
)

__all__ = [
    "PARAMS_FILE",
    "CompressConfig",
    "Config",
    "ConfigError",
    "DatasetName",
    "EvaluateConfig",
    "ExportConfig",
    "GateConfig",
    "Location",
    "ModelConfig",
    "NetworkName",
    "Precision",
    "PrepareConfig",
    "TrainConfig",
    "load_config",
    "parse_config",
    "parse_yaml",
    "read_params",
]
