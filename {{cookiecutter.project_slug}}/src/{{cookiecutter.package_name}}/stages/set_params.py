"""Change values in `params.yaml` from `PARAMETERS`, as in `model.name=resnet train.epochs=5`."""

import os

import yaml

from ..config import PARAMS_FILE, load_config
from ..errors import UserError
from ._main import run


def main() -> None:
    """Write all of the values, or none of them if one cannot be used.

    They come by the environment, so that no shell and no make reads what somebody typed.

    Raises:
        UserError: a word that is not `key=value`, or a key that `params.yaml` does not have.
        ConfigError: a value that the key cannot take.
    """
    before = text = PARAMS_FILE.read_text(encoding="utf-8")
    for assignment in os.environ.get("PARAMETERS", "").split():
        text = set_value(text, assignment)
    PARAMS_FILE.write_text(text, encoding="utf-8", newline="\n")
    try:
        load_config()
    except UserError:
        PARAMS_FILE.write_text(before, encoding="utf-8", newline="\n")
        raise


def set_value(text: str, assignment: str) -> str:
    """Replace one value; comments and all other lines stay as they are."""
    key, equals, value = assignment.partition("=")
    if not (key and equals and value):
        raise UserError(f"PARAMETERS: {assignment!r} is not of the form key=value")
    node = yaml.compose(text)
    for part in key.split("."):
        children = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((child for name, child in children if name.value == part), None)
    if not isinstance(node, yaml.ScalarNode):
        raise UserError(f"PARAMETERS: {key} is no value of params.yaml")
    return text[: node.start_mark.index] + value + text[node.end_mark.index :]


if __name__ == "__main__":
    run(main)
