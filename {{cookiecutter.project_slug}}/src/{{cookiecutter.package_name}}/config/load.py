"""Read `params.yaml` and refuse what cannot be used, before any stage works."""

import re
from collections.abc import Hashable
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from ..errors import UserError
from .rules import conflicts
from .schema import Config

PARAMS_FILE = Path("params.yaml")


class ConfigError(UserError):
    """A value in `params.yaml` that cannot be used; the message names key and value."""


class _Loader(yaml.SafeLoader):
    """YAML as DVC reads it: no key comes twice, and 1e-3 is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if (name := str(key.value)) in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {name} comes twice", problem_mark=key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML follows, wants a point in such a number, and takes 1e-3 for a text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load_config(path: Path = PARAMS_FILE) -> Config:
    """Read and check `params.yaml`.

    Raises:
        ConfigError: one line per wrong, missing or unknown key, with its value and what is right.
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
    """Check a text that is, or is to be, in `params.yaml`.

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

    Raises:
        ConfigError: it is not YAML, a key comes twice, or there are no sections.
    """
    try:
        params = yaml.load(text, _Loader)  # noqa: S506, a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{place}: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:  # a control character; a date such as 2026-13-01
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
