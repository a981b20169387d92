"""params.yaml: what is right is read, what is wrong is named."""

from pathlib import Path

import pytest
import yaml

from package_name.config import PARAMS_FILE, ConfigError, load_config

PROJECT = Path(__file__).parents[1]


def write_params(folder: Path, key: str, value: object) -> Path:
    params = yaml.safe_load((PROJECT / PARAMS_FILE).read_text(encoding="utf-8"))
    section, name = key.split(".")
    params[section][name] = value
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(params), encoding="utf-8")
    return path


def test_the_projects_own_params_are_valid() -> None:
    assert load_config(PROJECT / PARAMS_FILE).train.epochs >= 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.learning_rate", -1),
        ("train.epochs", 0),
        ("train.optimizer", "adamm"),
        ("prepare.channels", 2),
        ("fetch.dataset", "mnist"),
        ("gate.min_accuracy", 1.5),
    ],
)
def test_a_wrong_value_is_named_with_its_key(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(write_params(tmp_path, key, value))
    assert f"{key} = {value!r}" in str(error.value)


def test_an_unknown_key_is_an_error_and_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.learning_rat is not a known key"):
        load_config(write_params(tmp_path, "train.learning_rat", 0.1))


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("fetch: {dataset: digits, base_url: null}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="train is missing"):
        load_config(path)


def test_a_file_that_is_missing_or_empty_or_broken_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="project's root folder"):
        load_config(tmp_path / "params.yaml")
    for text in ("", "train: [1,", "just words"):
        (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"params\.yaml"):
            load_config(tmp_path / "params.yaml")
