"""The benchmark that wants a GPU, as far as it goes on a machine without one."""

import json
import sys

import pytest

from .conftest import TEMPLATE, run, shared_data

pytestmark = pytest.mark.slow


def test_what_is_measured_on_a_gpu_runs_on_a_cpu() -> None:
    files = shared_data() / "fashion-mnist"
    done = run(sys.executable, "-m", "benchmarks.gpu", "--data", files, "--try", cwd=TEMPLATE)
    ours, goal = json.loads(done.stdout[done.stdout.index("\n[") :])
    assert ours["images_per_second"] > 0
    assert ours["share_of_peak"] > 0
    assert 0 < goal["accuracy"] <= 1  # after one step
