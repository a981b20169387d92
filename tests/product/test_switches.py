"""Switches for speed and memory do not change the result, or say what they need."""

import itertools
import platform
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from my_project.data.dataset import Split, load_split
from my_project.data.loader import BatchLoader
from my_project.training.memory import keep_freed_memory
from my_project.training.muon import Muon

from ..training_run import CPU, TRAIN_CONFIG, build, largest_difference, noise, train_in


def loader_from_disk(split: Split) -> BatchLoader:
    return BatchLoader(split, batch_size=100, device=CPU, location="disk")


def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    if not shutil.which("g++"):
        pytest.skip("torch.compile needs a C++ compiler (Debian: g++)")
    config = replace(TRAIN_CONFIG, epochs=2, optimizer="sgd")
    plain = train_in(tmp_path / "plain", build("mlp"), config)
    compiled = train_in(tmp_path / "compiled", build("mlp"), replace(config, compile=True))
    assert largest_difference(plain.best_weights, compiled.best_weights) < 1e-4


def test_muon_takes_the_steps_of_pytorchs_own_on_matrices() -> None:
    torch.manual_seed(0)
    ours = [torch.randn(shape, requires_grad=True) for shape in ((32, 9), (9, 32), (16, 16))]
    theirs = [weight.detach().clone().requires_grad_() for weight in ours]
    groups = [{"params": ours, "weight_decay": 0.1}]
    optimizers = (
        Muon(groups, lr=0.02),
        torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(5):
        for weight, twin in zip(ours, theirs, strict=True):
            weight.grad = torch.randn_like(weight)
            twin.grad = weight.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for weight, twin in zip(ours, theirs, strict=True):
        torch.testing.assert_close(weight, twin, rtol=0.01, atol=0.01)  # theirs is in bfloat16


def test_freed_memory_is_there_for_the_next_step() -> None:
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        pytest.skip("only glibc gives freed memory back at once")
    import resource  # not on Windows

    keep_freed_memory()

    def num_page_faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            torch.ones(4_000_000)  # 16 MB
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    num_page_faults()
    assert num_page_faults() < 1000  # of the 4 kB that each of 80,000 would bring


def test_leaving_an_epoch_half_way_leaves_no_thread_that_reads() -> None:
    before = threading.active_count()
    epoch = loader_from_disk(noise(1050, seed=0)).epoch(1)
    assert len(list(itertools.islice(epoch, 3))) == 3
    assert threading.active_count() == before + 1
    del epoch
    assert threading.active_count() == before


def test_images_that_were_read_leave_memory_again(tmp_path: Path) -> None:
    status = Path("/proc/self/smaps_rollup")
    if not status.exists():
        pytest.skip("resident memory by kind: Linux only")

    def mapped_mb() -> float:
        """Resident memory in MB that is a file's."""
        sizes = dict(line.split()[:2] for line in status.read_text().splitlines()[1:])
        return (int(sizes["Rss:"]) - int(sizes["Anonymous:"])) / 1000

    large = np.lib.format.open_memmap(
        tmp_path / "train_images.npy", mode="w+", dtype=np.uint8, shape=(20_000, 3, 64, 64)
    )
    large[:] = 1  # 246 MB
    large.flush()
    del large
    np.save(tmp_path / "train_labels.npy", np.zeros(20_000, dtype=np.int64))
    split = load_split(tmp_path, "train")
    before = mapped_mb()
    for images, _ in loader_from_disk(split).epoch(1):
        assert images.shape[1:] == (3, 64, 64)
    assert mapped_mb() < before + 30
