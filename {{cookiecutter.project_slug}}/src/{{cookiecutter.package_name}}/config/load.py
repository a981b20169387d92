"""Read `params.yaml`, and reject invalid values before any stage starts."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ..errors import UserError
from .rules import conflicts
from .schema import Config

PARAMS_FILE = Path("params.yaml")


class ConfigError(UserError):
    """An invalid value in `params.yaml`; the message names key and value."""


def load_config(path: Path = PARAMS_FILE) -> Config:
    """Read and check `params.yaml`.

    Raises:
        ConfigError: one line per invalid, missing or unknown key, with its value and what is valid.
    """
    return parse_config(read_params(path), path)


def read_params(path: Path = PARAMS_FILE) -> str:
    """The text of `params.yaml`.

    Raises:
        ConfigError: the file is missing, or not in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} not found: run from the project's root folder") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not in UTF-8 (byte {error.start}): save it as such") from None


def parse_config(text: str, path: Path = PARAMS_FILE) -> Config:
    """Check the text of `params.yaml`, or what is to be written there.

    Raises:
        ConfigError: as from `load_config`.
    """
    params = parse_yaml(text, path)
    try:
        config = TypeAdapter(Config).validate_python(params)
    except ValidationError as error:
        problems = [_sentence(problem) for problem in error.errors()]
    else:
        problems = list(conflicts(config))
        if not problems:
            return config
    raise ConfigError(f"{path}: " + "\n".join(problems))


def parse_yaml(text: str, path: Path = PARAMS_FILE) -> dict[str, Any]:
    """The sections of `params.yaml`, unchecked.

    DVC uses the same reader, YAML 1.2. In YAML 1.1, 1e-3 is a string and 010 is 8.

    Raises:
        ConfigError: invalid YAML, a duplicate key, or no sections.
    """
    try:
        params = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{place}: {error.problem}") from None
    except (YAMLError, ValueError) as error:  # a control character; a date such as 2026-13-01
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(params, dict):
        sections = ", ".join(field.name for field in fields(Config))
        given = "is empty" if params is None else f"holds {params!r}"
        raise ConfigError(f"{path} {given}: it needs the sections {sections}")
    return params


def _sentence(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case "missing":
            return f"{key} is missing"
        case "unexpected_keyword_argument":
            return f"{key} is not a known key"
        case "dataclass_type":
            return f"{key} = {problem['input']!r}: must be a section with keys of its own"
        case _:
            right = problem["msg"].removeprefix("Value error, ")
            return f"{key} = {problem['input']!r}: {right[0].lower()}{right[1:]}"
