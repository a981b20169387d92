"""However training is interrupted, the next start resumes it and ends with the same weights."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from package_name.training import loop
from package_name.training.checkpoint import (
    load_unfinished,
    save_checkpoint,
)
from package_name.training.interruption import TrainingStoppedError
from package_name.training.state import TrainState
from package_name.training.step import train_step

from .training_run import largest_difference, saved_state, train_on_noise

NUM_IMAGES, NUM_EPOCHS = 72, 4  # an epoch has two steps


def train(folder: Path, on_epoch: Callable[[int], None] = lambda _: None) -> TrainState:
    """With dropout, crops and AdamW: all that has random numbers or a state of its own."""
    return train_on_noise(folder, NUM_IMAGES, NUM_EPOCHS, "mlp", on_epoch=on_epoch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> TrainState:
    return train(tmp_path_factory.mktemp("undisturbed"))


def curves(state: TrainState) -> list[tuple[float, ...]]:
    return [(row.train_loss, row.train_accuracy, row.validation_loss) for row in state.history]


def test_killed_training_is_resumed_and_ends_with_the_same_weights_to_the_bit(
    tmp_path: Path, undisturbed: TrainState
) -> None:
    arguments = [str(tmp_path), str(NUM_IMAGES), str(NUM_EPOCHS), "mlp"]
    kill_after_second = ["2", "0", str(int(signal.SIGKILL))]
    command = [sys.executable, "-m", "tests.training_run", *arguments, *kill_after_second]
    killed = subprocess.run(command, cwd=Path(__file__).parents[1])
    assert killed.returncode == -signal.SIGKILL
    assert len(saved_state(tmp_path)["history"]) == 2
    seen: list[int] = []
    resumed = train(tmp_path, seen.append)
    assert seen == [1, 2, 3, 4]
    assert curves(resumed) == curves(undisturbed)
    assert largest_difference(resumed.best_weights, undisturbed.best_weights) == 0


def test_training_that_an_exception_ends_is_resumed(
    tmp_path: Path, undisturbed: TrainState
) -> None:
    class MachineGoneError(Exception):
        pass

    def interrupt(epoch: int) -> None:
        if epoch == 2:
            raise MachineGoneError

    with pytest.raises(MachineGoneError):
        train(tmp_path, interrupt)
    resumed = train(tmp_path)
    assert curves(resumed) == curves(undisturbed)
    assert largest_difference(resumed.best_weights, undisturbed.best_weights) == 0


def test_training_stopped_within_an_epoch_resumes_with_the_next_step(
    tmp_path: Path, undisturbed: TrainState, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_steps = 0

    def stop_at_third(*arguments: Any) -> Tensor:
        nonlocal num_steps
        num_steps += 1
        if num_steps == 3:
            signal.raise_signal(signal.SIGTERM)
        return train_step(*arguments)

    monkeypatch.setattr(loop, "train_step", stop_at_third)
    with pytest.raises(TrainingStoppedError):
        train(tmp_path)
    state = saved_state(tmp_path)
    assert (len(state["history"]), state["steps_done"]) == (1, 1)
    resumed = train(tmp_path)
    assert num_steps == 2 * NUM_EPOCHS
    assert curves(resumed) == curves(undisturbed)
    assert largest_difference(resumed.best_weights, undisturbed.best_weights) == 0


def test_finished_training_or_that_of_other_code_or_data_is_not_resumed(tmp_path: Path) -> None:
    train(tmp_path)
    state = saved_state(tmp_path)
    assert state["finished"]
    path = tmp_path / "last.pt"
    assert load_unfinished(path, state["fingerprint"]) is None
    save_checkpoint({**state, "finished": False, "fingerprint": "other"}, path)
    assert load_unfinished(path, state["fingerprint"]) is None
    # Each epoch is trained again, so that none has an earlier time.
    speeds = [row["images_per_second"] for row in state["history"]]
    again = train(tmp_path)
    assert len(again.history) == NUM_EPOCHS
    assert [row.images_per_second for row in again.history] != speeds


def test_the_time_of_training_counts_what_was_before_an_interruption(tmp_path: Path) -> None:
    train(tmp_path)
    state = saved_state(tmp_path)
    save_checkpoint({**state, "finished": False, "seconds": 1000.0}, tmp_path / "last.pt")
    assert train(tmp_path).seconds > 1000


@pytest.mark.parametrize("damage", ["cut short", "one bit flipped", "empty"])
def test_a_damaged_checkpoint_is_skipped_for_the_one_before_with_a_warning(
    tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "last.pt"
    for epoch in (1, 2):
        save_checkpoint({"fingerprint": "a", "finished": False, "epoch": epoch}, path)
    content = bytearray(path.read_bytes())
    if damage == "cut short":
        del content[len(content) // 2 :]
    elif damage == "empty":
        content.clear()
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"last\.pt is damaged"):
        state = load_unfinished(path, "a")
    assert state is not None
    assert state["epoch"] == 1
