"""Change values in `params.yaml` from `PARAMETERS`, as in `model.name=resnet train.epochs=5`."""

import os

import yaml

from ..config import PARAMS_FILE, parse_config, parse_yaml, read_params
from ..errors import UserError
from ._main import run


def main() -> None:
    """Write all of the values, or none of them if one cannot be used.

    They come by the environment, so that no shell and no make reads what somebody typed.

    Raises:
        UserError: a word that is not `key=value`, or a key that `params.yaml` does not have.
        ConfigError: a value that the key cannot take, or a broken `params.yaml`.
    """
    text = read_params()
    parse_yaml(text)
    for assignment in os.environ.get("PARAMETERS", "").split():
        text = set_value(text, assignment)
    parse_config(text)
    PARAMS_FILE.write_text(text, encoding="utf-8", newline="\n")


def set_value(text: str, assignment: str) -> str:
    """Replace one value; comments and all other lines stay as they are.

    Raises:
        UserError: no `key=value`, no such key, or no value that can stand in one line of YAML.
    """
    key, equals, value = assignment.partition("=")
    if not (key and equals and value):
        raise UserError(f"PARAMETERS: {assignment!r} is not of the form key=value")
    if not _is_scalar(value):
        raise UserError(f"PARAMETERS: {assignment!r}: {value!r} is no number, text, true or null")
    node = yaml.compose(text)
    for part in key.split("."):
        children = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((child for name, child in children if name.value == part), None)
    if not isinstance(node, yaml.ScalarNode):
        raise UserError(f"PARAMETERS: {key} is no value of params.yaml")
    return text[: node.start_mark.index] + value + text[node.end_mark.index :]


def _is_scalar(value: str) -> bool:
    """Whether YAML reads all of it as one scalar; a # alone, [, an open quote or a | is none."""
    try:
        node = yaml.compose(value)
    except yaml.YAMLError:
        return False
    if not isinstance(node, yaml.ScalarNode) or node.style in ("|", ">"):
        return False
    return bool(node.end_mark.index == len(value))


if __name__ == "__main__":
    run(main)
