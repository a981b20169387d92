"""The benchmark that wants a GPU, as far as it goes on a machine without one."""

import json
import sys
from pathlib import Path

import pytest

from .bakes import TEMPLATE, run, shared_data

pytestmark = pytest.mark.slow


def test_what_is_measured_on_a_gpu_runs_on_a_cpu(environment: Path) -> None:
    files = shared_data() / "fashion-mnist"
    command = ["-m", "benchmarks.gpu", "--data", str(files), "--try"]
    env = {"UV_PROJECT_ENVIRONMENT": str(environment)}
    done = run(sys.executable, *command, cwd=TEMPLATE, env=env)
    ours, goal = json.loads(done.stdout[done.stdout.index("\n[") :])
    assert ours["images_per_second"] > 0
    assert ours["share_of_peak"] > 0
    assert 0 < goal["accuracy"] <= 1  # after one step
