"""The loop learns, stops early, keeps the best weights, and gives the same ones each time."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn

from package_name.config import TrainConfig
from package_name.data.dataset import Split
from package_name.errors import UserError
from package_name.models.cnn import CNN
from package_name.models.normalize import Normalize
from package_name.training.device import choose_device
from package_name.training.muon import orthogonalize
from package_name.training.optimizer import (
    build_optimizer,
    build_scheduler,
)
from package_name.training.state import TrainState

from .digits import digits
from .training_run import CPU, TRAIN_CONFIG, build, largest_difference, saved_state, train_in

Optimizer = Literal["adamw", "sgd", "muon"]
Schedule = Literal["one-cycle", "cosine"]
TRAIN, VALIDATION = digits(0, 600), digits(600, 800)


def build_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Normalize([0.3], [0.38]), CNN(1, 10, width=8, dropout=0.2))


def train(folder: Path, config: TrainConfig = TRAIN_CONFIG) -> TrainState:
    return train_in(folder, build_model(), config, (TRAIN, VALIDATION))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> TrainState:
    """Four epochs with the settings that other runs change."""
    return train(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_it_learns_digits(tmp_path: Path, optimizer: Optimizer, schedule: Schedule) -> None:
    rate = 0.1 if optimizer == "sgd" else 0.01
    config = replace(TRAIN_CONFIG, optimizer=optimizer, schedule=schedule, learning_rate=rate)
    result = train(tmp_path, replace(config, epochs=6))
    assert result.best.validation_accuracy > 0.7  # chance is 0.1
    assert result.history[-1].train_loss < result.history[0].train_loss


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_it_learns_in_16_bits_and_keeps_weights_in_32(
    tmp_path: Path, plain: TrainState, precision: Literal["bfloat16", "float16"]
) -> None:
    result = train(tmp_path, replace(TRAIN_CONFIG, precision=precision))
    assert result.best.validation_accuracy > 0.7
    assert {weight.dtype for weight in result.best_weights.values()} <= {torch.float32, torch.int64}
    assert result.history[0].train_loss != plain.history[0].train_loss


def test_the_moving_average_of_the_weights_is_what_is_validated_and_kept(
    tmp_path: Path, plain: TrainState
) -> None:
    averaged = train(tmp_path, replace(TRAIN_CONFIG, ema_decay=0.9))
    assert averaged.best.validation_accuracy > 0.7
    assert averaged.history[0].train_loss == plain.history[0].train_loss  # the same steps
    assert averaged.history[0].validation_loss != plain.history[0].validation_loss
    state = saved_state(tmp_path)
    last = state["ema_model"]["module.1.head.weight"]
    assert not last.equal(state["model"]["1.head.weight"])


def test_training_twice_gives_the_same_weights_to_the_bit_and_another_seed_gives_others(
    tmp_path: Path, plain: TrainState
) -> None:
    again = train(tmp_path / "again")
    assert largest_difference(again.best_weights, plain.best_weights) == 0
    other = train(tmp_path / "other", replace(TRAIN_CONFIG, seed=1))
    assert largest_difference(other.best_weights, plain.best_weights) > 0


def test_images_on_the_disk_give_the_same_weights_to_the_bit(
    tmp_path: Path, plain: TrainState
) -> None:
    on_disk = train(tmp_path, replace(TRAIN_CONFIG, data_location="disk"))
    assert largest_difference(on_disk.best_weights, plain.best_weights) == 0


@pytest.mark.parametrize("accumulation_steps", [2, 3, 64])
def test_micro_batches_give_the_step_of_the_whole_batch(
    tmp_path: Path, accumulation_steps: int
) -> None:
    # Without batch normalisation and dropout, which see each micro-batch by itself.
    whole_config = replace(TRAIN_CONFIG, epochs=2, optimizer="sgd")
    split_config = replace(whole_config, accumulation_steps=accumulation_steps)
    whole, split = (
        train_in(tmp_path / name, build("mlp"), config)
        for name, config in (("whole", whole_config), ("split", split_config))
    )
    # 0 would mean that no batch was split.
    assert 0 < largest_difference(whole.best_weights, split.best_weights) < 1e-5


def test_a_loss_that_is_not_finite_ends_training_and_leaves_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^train\.learning_rate = 1e\+30: the loss of epoch 1 is"):
        train(tmp_path, replace(TRAIN_CONFIG, learning_rate=1e30))
    assert list(tmp_path.iterdir()) == []


def test_it_stops_when_validation_no_longer_improves(tmp_path: Path) -> None:
    result = train(tmp_path, replace(TRAIN_CONFIG, learning_rate=1e-12, epochs=30, patience=3))
    assert len(result.history) == result.best.epoch + 3 < 30


def test_the_best_epochs_weights_are_kept_and_not_the_last(tmp_path: Path) -> None:
    # Validated on wrong labels, the network gets worse while it learns.
    wrong = Split(VALIDATION.images, (VALIDATION.labels + 1) % 10)
    result = train_in(tmp_path, build_model(), TRAIN_CONFIG, (TRAIN, wrong))
    assert result.best.epoch < len(result.history)
    model = build_model()
    model.load_state_dict(result.best_weights)
    with torch.inference_mode():
        logits = model.eval()(torch.from_numpy(wrong.images))
    accuracy = float((logits.argmax(dim=1).numpy() == wrong.labels).mean())
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
    scheduler = build_scheduler(optimizer, config, num_steps=100)
    rates = []
    for _ in range(99):
        optimizer.step()
        scheduler.step()
        rates.append(float(scheduler.get_last_lr()[0]))
    assert max(rates) == pytest.approx(config.learning_rate, rel=0.01)
    assert rates[0] < 0.5 * max(rates)
    assert rates[-1] < 0.01 * max(rates)


@pytest.mark.parametrize("shape", [(16, 9), (9, 16), (8, 72)])
def test_muon_brings_the_singular_values_of_an_update_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    singular_values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
    assert singular_values.shape == (min(shape),)
    assert singular_values.min() > 0.5
    assert singular_values.max() < 1.5


def test_a_missing_device_is_one_sentence() -> None:
    assert choose_device("cpu") == CPU
    if not torch.backends.mps.is_available():
        with pytest.raises(UserError, match=r"train\.device = 'mps'"):
            choose_device("mps")
