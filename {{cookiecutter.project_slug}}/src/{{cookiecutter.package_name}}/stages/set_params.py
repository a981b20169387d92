"""Write the values of `PARAMETERS` into `params.yaml`, as in `model.name=resnet train.epochs=5`.

They come by the environment and not by the command line, so that no shell interprets them: in a
workflow they are what somebody typed.
"""

import os

import yaml

from ..config import PARAMS_FILE, parse_config, parse_yaml, read_params
from ..errors import UserError
from ._main import run_main


def main() -> None:
    """Write all of the values, or none of them if one cannot be used.

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
    """Replace one value in the text of `params.yaml`; comments and all other lines stay.

    Raises:
        UserError: not `key=value`, no such key, or not a value that fits into one line of YAML.
    """
    key, equals, value = assignment.partition("=")
    if not (key and equals and value):
        raise UserError(f"PARAMETERS: {assignment!r} is not of the form key=value")
    if not _is_scalar(value):
        raise UserError(
            f"PARAMETERS: {assignment!r}: {value!r} is not a number, text, true, false or null"
        )
    node = yaml.compose(text)
    for part in key.split("."):
        children = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((child for name, child in children if name.value == part), None)
    if not isinstance(node, yaml.ScalarNode):
        raise UserError(f"PARAMETERS: {key} is not a key with a value in params.yaml")
    return text[: node.start_mark.index] + value + text[node.end_mark.index :]


def _is_scalar(value: str) -> bool:
    """Whether YAML reads the whole text as one scalar.

    A list, an open quote, a comment alone and the start of a block (`|`) are not.
    """
    try:
        node = yaml.compose(value)
    except yaml.YAMLError:
        return False
    if not isinstance(node, yaml.ScalarNode) or node.style in ("|", ">"):
        return False
    return bool(node.end_mark.index == len(value))


if __name__ == "__main__":
    run_main(main)
