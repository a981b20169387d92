"""Whatever ends a training process, the next one continues it and ends with the same weights."""

import contextlib
import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from package_name.training import loop
from package_name.training.checkpoint import (
    load_run,
    load_unfinished,
    save_run,
)
from package_name.training.interruption import (
    EXIT_CODE,
    TrainingStoppedError,
)
from package_name.training.loop import TrainResult

from .small_training import train_and_tell, train_small

NUM_EPOCHS = 120
NUM_KILLS = 20
# A server that has imported PyTorch once starts each process at once, by a fork of itself; what
# optimisers import when they are first used would take seconds too.
START = multiprocessing.get_context("forkserver")
START.set_forkserver_preload([loop.__name__, "torch._dynamo"])


def train_until(
    folder: Path, epoch: int = NUM_EPOCHS + 1, number: signal.Signals = signal.SIGKILL
) -> tuple[int, int]:
    """Train in a process that gets a signal when it reports `epoch`, some steps into the next.

    Returns:
        Its exit code, and the last epoch that it reported.
    """
    listener, teller = START.Pipe(duplex=False)
    process = START.Process(target=train_and_tell, args=(folder, NUM_EPOCHS, teller))
    process.start()
    teller.close()
    reported = 0
    with contextlib.suppress(EOFError):  # the process has ended
        while True:
            reported = listener.recv()
            if reported == epoch:
                assert process.pid is not None
                os.kill(process.pid, number)
    process.join()
    assert process.exitcode is not None
    return process.exitcode, reported


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    state = load_run(folder / "last.pt")
    assert state is not None
    assert state["finished"]
    assert not (folder / "last.pt.tmp").exists()
    weights: dict[str, torch.Tensor] = state["model"]
    return weights


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(a.equal(b) for a, b in zip(one.values(), other.values(), strict=True))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert train_until(folder) == (0, NUM_EPOCHS)
    return final_weights(folder)


def test_killed_20_times_it_ends_with_the_same_weights_to_the_bit(
    tmp_path: Path, undisturbed: dict[str, torch.Tensor]
) -> None:
    moments = np.random.default_rng(0)
    epoch = 0
    for _ in range(NUM_KILLS):
        exit_code, epoch = train_until(tmp_path, epoch + int(moments.integers(1, 4)))
        assert exit_code == -signal.SIGKILL
        whole = [load_run(file) for file in tmp_path.glob("*.pt")]
        assert whole
        assert None not in whole
    assert train_until(tmp_path) == (0, NUM_EPOCHS)
    assert same(final_weights(tmp_path), undisturbed)


def test_sigterm_saves_the_step_and_exits_with_a_code_that_says_so(
    tmp_path: Path, undisturbed: dict[str, torch.Tensor]
) -> None:
    exit_code, _ = train_until(tmp_path, 5, signal.SIGTERM)
    assert exit_code == EXIT_CODE == 143
    state = load_run(tmp_path / "last.pt")
    assert state is not None
    assert len(state["history"]) >= 5
    assert train_until(tmp_path) == (0, NUM_EPOCHS)
    assert same(final_weights(tmp_path), undisturbed)


def test_a_run_stopped_within_an_epoch_continues_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_small(tmp_path / "a", 3)
    num_steps = 0
    step = torch.optim.AdamW.step

    def stop_at_seventh(optimizer: torch.optim.AdamW) -> object:
        nonlocal num_steps
        num_steps += 1
        if num_steps == 7:
            signal.raise_signal(signal.SIGTERM)
        return step(optimizer)

    monkeypatch.setattr(torch.optim.AdamW, "step", stop_at_seventh)
    with pytest.raises(TrainingStoppedError):
        train_small(tmp_path / "b", 3)
    state = load_run(tmp_path / "b" / "last.pt")
    assert state is not None
    assert (len(state["history"]), state["steps_done"]) == (1, 2)
    resumed = train_small(tmp_path / "b", 3)
    assert num_steps == 15
    assert curves(resumed) == curves(whole)
    assert same(resumed.best_weights, whole.best_weights)


def curves(result: TrainResult) -> list[tuple[float, ...]]:
    return [(row.train_loss, row.train_accuracy, row.validation_loss) for row in result.history]


@pytest.mark.parametrize("damage", ["cut short", "one bit flipped", "empty"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_with_a_warning(
    tmp_path: Path, damage: str
) -> None:
    save_run({"fingerprint": "a", "finished": False, "epoch": 1}, tmp_path / "last.pt")
    save_run({"fingerprint": "a", "finished": False, "epoch": 2}, tmp_path / "last.pt")
    content = bytearray((tmp_path / "last.pt").read_bytes())
    if damage == "cut short":
        del content[len(content) // 2 :]
    elif damage == "empty":
        content.clear()
    else:
        content[len(content) // 2] ^= 1
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.warns(UserWarning, match=r"last\.pt is damaged"):
        state = load_unfinished(tmp_path / "last.pt", "a")
    assert state is not None
    assert state["epoch"] == 1
