"""params.yaml: valid values are read, invalid ones are named."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from package_name.config import (
    PARAMS_FILE,
    Config,
    ConfigError,
    load_config,
)

PROJECT = Path(__file__).parents[1]
TEXT = (PROJECT / PARAMS_FILE).read_text(encoding="utf-8")
VALID = {
    "fetch.dataset": "digits",
    "fetch.base_url": "https://a.b",
    "prepare.image_size": 8,
    "model.vit.width": 64,
    "model.vit.num_heads": 4,
    "train.batch_size": 64,
    "train.accumulation_steps": 1,
    "train.crop_padding": 0,
}


def write_params(folder: Path, changes: dict[str, Any]) -> Path:
    params = yaml.safe_load(TEXT)
    for key, value in changes.items():
        *sections, name = key.split(".")
        section = params
        for part in sections:
            section = section[part]
        section[name] = value
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(params), encoding="utf-8")
    return path


def test_the_projects_own_params_are_valid() -> None:
    assert load_config(PROJECT / PARAMS_FILE).train.epochs >= 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.learning_rate", -1),
        ("train.learning_rate", float("inf")),
        ("train.weight_decay", float("nan")),
        ("train.epochs", 0),
        ("train.epochs", True),
        ("train.epochs", 2.0),
        ("train.compile", 1),
        ("train.seed", 2**32),
        ("train.optimizer", "adamm"),
        ("prepare.channels", 2),
        ("prepare.channels", True),
        ("fetch.dataset", "mnist"),
        ("fetch.base_url", "mirror.example.com"),
        ("gate.min_accuracy", 1.5),
        ("export.opset", 99),
        ("train", 5),
    ],
)
def test_an_invalid_value_is_named_with_its_key(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(write_params(tmp_path, {key: value}))
    assert f"{key} = {value!r}" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("network", "key", "value", "sentence"),
    [
        ("cnn", "fetch.dataset", "image-folder", "fetch.base_url = 'https://a.b': must begin with"),
        ("cnn", "prepare.image_size", 3, "prepare.image_size = 3: model.name = cnn needs at least"),
        ("cnn", "train.accumulation_steps", 64, "micro-batches of 1; model.name = cnn needs at"),
        ("resnet", "train.accumulation_steps", 32, "micro-batches of 2; model.name = resnet needs"),
        ("vit", "train.accumulation_steps", 65, "micro-batches of 0; model.name = vit needs at"),
        ("vit", "model.vit.patch_size", 3, "must divide prepare.image_size = 8"),
        ("vit", "model.vit.num_heads", 5, "must divide model.vit.width = 64"),
        ("cnn", "train.crop_padding", 8, "must be below prepare.image_size = 8"),
        ("cnn", "train.fused_loss", True, "true: needs train.device = cuda, not auto"),
        ("resnet", "train.shard_weights", True, "true: needs model.name = vit, not resnet"),
        ("vit", "train.ema_decay", 0.9, "train.shard_weights = true: needs train.ema_decay = 0"),
        ("vit", "train.optimizer", "sgd", "train.shard_weights = true: needs train.optimizer"),
    ],
)
def test_values_that_conflict_are_one_sentence(
    tmp_path: Path, network: str, key: str, value: object, sentence: str
) -> None:
    patch_size = 2 if network == "vit" else 3  # only the chosen network's section has to fit
    valid = VALID | {"model.name": network, "model.vit.patch_size": patch_size}
    valid["train.shard_weights"] = network == "vit"
    assert load_config(write_params(tmp_path, valid)).model.name == network
    with pytest.raises(ConfigError) as error:
        load_config(write_params(tmp_path, valid | {key: value}))
    assert sentence in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_an_unknown_key_is_an_error_and_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.learning_rat is not a known key"):
        load_config(write_params(tmp_path, {"train.learning_rat": 0.1}))


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("fetch: {dataset: digits, base_url: null}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="train is missing"):
        load_config(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", " is empty: it needs the sections fetch, prepare,"),
        (b"just words", " holds 'just words': it needs the sections"),
        (b"train: [1,", ", line 1, column 11: expected the node content"),
        (b"train: {epochs: 1,\n  epochs: 2}", ', line 2, column 3: found duplicate key "epochs"'),
        (b"train: 2026-13-01", " is not valid YAML: month must be in 1..12"),
        ("# größer".encode("latin-1"), " is not in UTF-8 (byte 4)"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value).startswith(f"{path}{sentence}")
    assert len(str(error.value).splitlines()) == 1


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="project's root folder"):
        load_config(tmp_path / "params.yaml")


def test_a_number_without_a_point_is_a_number_as_it_is_for_dvc(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(re.sub(r"learning_rate: \S+", "learning_rate: 1e-3", TEXT), encoding="utf-8")
    assert load_config(path).train.learning_rate == 0.001


def test_every_key_is_explained_in_its_class_and_in_the_file() -> None:
    schema = TypeAdapter(Config).json_schema()["$defs"]
    keys = [(name, key) for name, section in schema.items() for key in section["properties"]]
    assert ("TrainConfig", "batch_size") in keys
    assert [(n, k) for n, k in keys if "description" not in schema[n]["properties"][k]] == []
    assert "global" in schema["TrainConfig"]["properties"]["batch_size"]["description"]
    with_values = re.findall(r"^ +\w+: .*", TEXT, re.MULTILINE)
    assert len(with_values) > 40
    assert [line for line in with_values if " # " not in line] == []
