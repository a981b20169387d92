"""The loop learns, stops, is reproducible, and goes on after an interruption."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from package_name.config import ExportConfig, TrainConfig
from package_name.data.dataset import Split
from package_name.errors import UserError
from package_name.export import check_onnx, export_onnx
from package_name.models.cnn import CNN
from package_name.models.normalize import Normalize
from package_name.preprocess import ImageSpec
from package_name.training.checkpoint import load_run, save_run
from package_name.training.device import choose_device
from package_name.training.loop import TrainResult, train
from package_name.training.muon import orthogonalize
from package_name.training.optimizer import (
    build_optimizer,
    build_schedule,
)
from package_name.training.run import EpochResult

from .train_config import TRAIN_CONFIG

Optimizer = Literal["adamw", "sgd", "muon"]
Schedule = Literal["one-cycle", "cosine"]

CPU = torch.device("cpu")


def digits(start: int, stop: int) -> Split:
    data = load_digits()
    images = np.round(data.images * (255 / 16)).astype(np.uint8)[:, None]
    return Split(images[start:stop], data.target[start:stop].astype(np.int64))


def build_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Normalize([0.3], [0.38]), CNN(1, 10, width=8, dropout=0.2))


def run(
    folder: Path,
    config: TrainConfig = TRAIN_CONFIG,
    on_epoch: Callable[[EpochResult], None] = lambda _: None,
) -> TrainResult:
    return train(
        build_model(),
        digits(0, 600),
        digits(600, 800),
        config,
        device=CPU,
        checkpoint=folder / "last.pt",
        fingerprint="a",
        on_epoch=on_epoch,
    )


def same_weights(one: TrainResult, other: TrainResult) -> bool:
    pairs = zip(one.best_weights.values(), other.best_weights.values(), strict=True)
    return all(a.equal(b) for a, b in pairs)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_it_learns_digits(tmp_path: Path, optimizer: Optimizer, schedule: Schedule) -> None:
    rate = 0.1 if optimizer == "sgd" else 0.01
    config = replace(TRAIN_CONFIG, optimizer=optimizer, schedule=schedule, learning_rate=rate)
    result = run(tmp_path, replace(config, epochs=8))
    assert result.best.validation_accuracy > 0.8
    assert result.history[-1].train_loss < result.history[0].train_loss


def test_the_moving_average_of_the_weights_is_what_is_measured_and_kept(tmp_path: Path) -> None:
    config = replace(TRAIN_CONFIG, ema_decay=0.9)
    averaged, plain = run(tmp_path / "a", config), run(tmp_path / "b")
    assert averaged.best.validation_accuracy > 0.8
    assert averaged.history[0].train_loss == plain.history[0].train_loss  # the same steps
    assert averaged.history[0].validation_loss != plain.history[0].validation_loss
    state = load_run(tmp_path / "a" / "last.pt")
    assert state is not None
    last = state["average"]["module.1.head.weight"]
    assert not last.equal(state["model"]["1.head.weight"])


@pytest.mark.parametrize("shape", [(16, 9), (9, 16), (8, 72)])
def test_orthogonalize_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    singular_values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
    assert singular_values.shape == (min(shape),)
    assert singular_values.min() > 0.5
    assert singular_values.max() < 1.5


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_it_learns_in_16_bits_and_keeps_weights_in_32(
    tmp_path: Path, precision: Literal["bfloat16", "float16"]
) -> None:
    result = run(tmp_path, replace(TRAIN_CONFIG, epochs=8, precision=precision))
    assert result.best.validation_accuracy > 0.8
    assert {weight.dtype for weight in result.best_weights.values()} <= {torch.float32, torch.int64}
    in_32 = run(tmp_path / "other", replace(TRAIN_CONFIG, epochs=8))
    assert result.history[0].train_loss != in_32.history[0].train_loss


def test_two_runs_give_the_same_weights_to_the_bit(tmp_path: Path) -> None:
    assert same_weights(run(tmp_path / "a"), run(tmp_path / "b"))
    assert not same_weights(run(tmp_path / "c"), run(tmp_path / "d", replace(TRAIN_CONFIG, seed=1)))


class InterruptionError(Exception):
    """Stands for a machine that goes away."""


def test_an_interrupted_run_ends_with_the_same_weights_to_the_bit(tmp_path: Path) -> None:
    undisturbed = run(tmp_path / "a")

    def interrupt(result: EpochResult) -> None:
        if result.epoch == 2:
            raise InterruptionError

    with pytest.raises(InterruptionError):
        run(tmp_path / "b", on_epoch=interrupt)
    seen: list[int] = []
    resumed = run(tmp_path / "b", on_epoch=lambda result: seen.append(result.epoch))
    assert same_weights(undisturbed, resumed)
    assert seen == [1, 2, 3, 4]
    assert [row.validation_loss for row in resumed.history] == [
        row.validation_loss for row in undisturbed.history
    ]


def test_a_runs_time_is_that_of_all_its_parts(tmp_path: Path) -> None:
    run(tmp_path)
    state = load_run(tmp_path / "last.pt")
    assert state is not None
    save_run({**state, "finished": False, "seconds": 1000.0}, tmp_path / "last.pt")
    assert 1000 < run(tmp_path).seconds < 1100


def test_a_finished_run_or_one_of_other_code_or_data_is_not_resumed(tmp_path: Path) -> None:
    run(tmp_path)
    seen: list[EpochResult] = []
    run(tmp_path, on_epoch=seen.append)
    assert len({row.images_per_second for row in seen}) == TRAIN_CONFIG.epochs
    state = load_run(tmp_path / "last.pt")
    assert state is not None
    assert state["finished"]
    save_run({**state, "finished": False, "fingerprint": "other"}, tmp_path / "last.pt")
    assert len(run(tmp_path).history) == TRAIN_CONFIG.epochs


def test_it_stops_when_validation_no_longer_improves(tmp_path: Path) -> None:
    result = run(tmp_path, replace(TRAIN_CONFIG, learning_rate=1e-12, epochs=30, patience=3))
    assert len(result.history) == result.best.epoch + 3 < 30


def test_the_best_epochs_weights_are_kept_and_not_the_last(tmp_path: Path) -> None:
    result = run(tmp_path, replace(TRAIN_CONFIG, epochs=12, learning_rate=0.3, optimizer="sgd"))
    model = build_model()
    model.load_state_dict(result.best_weights)
    validation = digits(600, 800)
    with torch.inference_mode():
        predictions = model.eval()(torch.from_numpy(validation.images)).argmax(dim=1).numpy()
    accuracy = float((predictions == validation.labels).mean())
    assert accuracy == pytest.approx(result.best.validation_accuracy)
    assert accuracy == max(row.validation_accuracy for row in result.history)


def test_biases_and_norms_have_no_weight_decay() -> None:
    optimizer = build_optimizer(build_model(), TRAIN_CONFIG)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.05 if parameter.ndim >= 2 else 0.0)


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_the_learning_rate_rises_to_its_peak_and_falls_to_nearly_zero(schedule: Schedule) -> None:
    config = replace(TRAIN_CONFIG, schedule=schedule)
    optimizer = build_optimizer(build_model(), config)
    scheduler = build_schedule(optimizer, config, num_steps=100)
    rates = []
    for _ in range(99):
        optimizer.step()
        scheduler.step()
        rates.append(float(scheduler.get_last_lr()[0]))
    assert max(rates) == pytest.approx(config.learning_rate, rel=0.01)
    assert rates[0] < 0.5 * max(rates)
    assert rates[-1] < 0.01 * max(rates)


def test_a_device_that_is_not_there_is_one_sentence() -> None:
    assert choose_device("cpu") == CPU
    if not torch.backends.mps.is_available():
        with pytest.raises(UserError, match=r"train\.device = 'mps'"):
            choose_device("mps")


def test_the_onnx_file_takes_any_batch_and_gives_the_same_answers(tmp_path: Path) -> None:
    model = build_model()
    path = tmp_path / "model.onnx"
    export_onnx(model, ImageSpec(1, 8, 8), path, opset=20)
    config = ExportConfig(opset=20, max_logit_error=1e-4)
    for num_images in (1, 2, 600):
        check_onnx(model, path, digits(0, num_images).images, config)
    dimension = onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0]
    assert dimension.dim_param
    with torch.no_grad():
        next(model.parameters()).add_(0.5)
    with pytest.raises(UserError, match="differs from PyTorch"):
        check_onnx(model, path, digits(0, 600).images, config)
