"""Processes that train, and are killed at any moment, or asked to stop."""

import contextlib
import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import torch

from my_project.training import loop
from my_project.training.checkpoint import load_checkpoint
from my_project.training.interruption import EXIT_CODE, TrainingStoppedError

from ..training_run import largest_difference, saved_state, train_on_noise

NUM_IMAGES, NUM_EPOCHS = 300, 40
NUM_KILLS = 20
# A server that has imported PyTorch once starts each process at once, by a fork of itself; what
# optimisers import when they are first used would take seconds too.
START = multiprocessing.get_context("forkserver")
START.set_forkserver_preload([loop.__name__, "torch._dynamo"])


def train(folder: Path, test: Connection) -> None:
    """Tell the test each epoch once it is saved, and wait until it says to go on."""

    def on_epoch(epoch: int) -> None:
        test.send(epoch)
        test.recv()

    try:
        train_on_noise(folder, NUM_IMAGES, NUM_EPOCHS, "mlp", on_epoch=on_epoch)
    except TrainingStoppedError:
        sys.exit(EXIT_CODE)


def train_until(
    folder: Path, epoch: int = NUM_EPOCHS + 1, number: signal.Signals = signal.SIGKILL
) -> tuple[int, int]:
    """Train in a process that gets a signal when it goes on from `epoch`, within the next one.

    Returns:
        Its exit code, and the last epoch that it reported.
    """
    test, process_end = START.Pipe()
    process = START.Process(target=train, args=(folder, process_end))
    process.start()
    process_end.close()
    reported = 0
    with contextlib.suppress(EOFError, ConnectionError):  # the process has ended
        while True:
            reported = test.recv()
            test.send(None)
            if reported == epoch:
                assert process.pid is not None
                os.kill(process.pid, number)
    process.join()
    assert process.exitcode is not None
    return process.exitcode, reported


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    state = saved_state(folder)
    assert state["finished"]
    assert not (folder / "last.pt.tmp").exists()
    weights: dict[str, torch.Tensor] = state["model"]
    return weights


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
        exit_code, reported = train_until(tmp_path, epoch + int(moments.integers(1, 3)))
        assert exit_code == -signal.SIGKILL
        assert reported > epoch
        epoch = reported
        checkpoints = [load_checkpoint(file) for file in tmp_path.glob("*.pt")]
        assert checkpoints
        assert None not in checkpoints
    assert train_until(tmp_path) == (0, NUM_EPOCHS)
    assert largest_difference(final_weights(tmp_path), undisturbed) == 0


def test_sigterm_saves_the_step_and_exits_with_a_code_that_says_so(
    tmp_path: Path, undisturbed: dict[str, torch.Tensor]
) -> None:
    exit_code, _ = train_until(tmp_path, 5, signal.SIGTERM)
    assert exit_code == EXIT_CODE == 143
    assert len(saved_state(tmp_path)["history"]) >= 5
    assert train_until(tmp_path) == (0, NUM_EPOCHS)
    assert largest_difference(final_weights(tmp_path), undisturbed) == 0
