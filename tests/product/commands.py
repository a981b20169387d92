"""The project's commands, each in a process of its own that has its libraries already.

`python -m` imports PyTorch for seconds before it does what a test is about. These processes are
forks of one that has imported it; the pipeline's own tests start commands as users do.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# What takes long; none of it starts a thread before it is used.
LIBRARIES: tuple[str, ...] = ("matplotlib.figure", "my_project.export", "my_project.training.loop")
LIBRARIES += ("my_project.reporting.plots", "my_project.serving.predictor", "sqlalchemy", "mlflow")
LIBRARIES += ("scipy.stats", "sklearn.linear_model")
MAX_SECONDS = 100  # so that a command that waits for ever fails its test
START = multiprocessing.get_context("forkserver")
START.set_forkserver_preload([*LIBRARIES, "torch._dynamo"])  # those that are there


def command(
    module: str, *arguments: str, cwd: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """What `python -m my_project.MODULE` does in a folder, with these variables besides."""
    with tempfile.TemporaryDirectory() as name:
        outputs = [Path(name, stream) for stream in ("stdout", "stderr")]
        words = [f"my_project.{module}", *arguments]
        process = START.Process(
            target=_run, args=(words, str(cwd), os.environ | variables, [str(o) for o in outputs])
        )
        process.start()
        process.join(MAX_SECONDS)
        if process.exitcode is None:
            process.kill()
            pytest.fail(f"{words} did not end in {MAX_SECONDS} seconds")
        texts = [path.read_text(encoding="utf-8") for path in outputs]
    return subprocess.CompletedProcess(words, process.exitcode, *texts)


def _run(words: list[str], cwd: str, env: dict[str, str], outputs: list[str]) -> None:
    for descriptor, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ |= env
    sys.argv[1:] = words[1:]
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
