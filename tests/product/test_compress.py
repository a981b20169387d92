"""A smaller model is what is measured, judged, exported and served; without the switch, nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from my_project.data.dataset import load_split
from my_project.serving.predictor import Predictor

ROOT = Path(__file__).parents[2]
READ = ("data/prepared", "checkpoints/best.pt", "metrics", "params.yaml")
QUANTIZED = {"QuantizeLinear", "DequantizeLinear"}


class Project:
    """The trained model with its data, in a folder of its own, and the stages that follow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in READ:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copyfile(source, target)

    def run(self, stage: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", f"my_project.stages.{stage}"]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, encoding="utf-8", env=os.environ | env
        )

    def compress(self, parameters: str) -> dict[str, Any]:
        """Set parameters, run the stages up to the export, and return the evaluation."""
        assert self.run("set_params", PARAMETERS=parameters).returncode == 0
        for stage in ("compress", "evaluate", "export"):
            done = self.run(stage)
            assert done.returncode == 0, done.stderr
        text = (self.folder / "metrics/evaluation.json").read_text(encoding="utf-8")
        evaluation: dict[str, Any] = json.loads(text)
        return evaluation

    def accuracy_as_served(self) -> float:
        test = load_split(self.folder / "data/prepared", "test")
        predicted = Predictor.load(self.folder / "model", 1).predict(np.asarray(test.images))
        return float((predicted.argmax(axis=1) == test.labels).mean())

    @property
    def size(self) -> int:
        return (self.folder / "model/model.onnx").stat().st_size


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


def test_int8_is_what_is_evaluated_judged_exported_and_served(project: Project) -> None:
    full_size = (ROOT / "model/model.onnx").stat().st_size
    metrics = project.compress("compress.int8=true evaluate.bootstrap_samples=100")
    assert project.size < 0.3 * full_size
    nodes = {node.op_type for node in onnx.load(project.folder / "model/model.onnx").graph.node}
    assert nodes >= QUANTIZED
    assert metrics["accuracy"] == pytest.approx(project.accuracy_as_served(), abs=1e-6)
    compression = metrics["compression"]
    assert compression["methods"] == ["int8"]
    low, high = compression["difference_ci95"]
    assert low <= compression["difference"] <= high
    gate = project.run("gate")
    assert gate.returncode == 0, gate.stderr
    assert f"{100 * metrics['accuracy']:.2f}" in gate.stdout


def test_an_int8_model_that_changes_too_many_labels_is_not_exported(project: Project) -> None:
    broken = onnx.load(project.folder / "checkpoints/served/int8.onnx")
    weights = next(part for part in broken.graph.initializer if part.name.endswith("quantized"))
    weights.raw_data = bytes(len(weights.raw_data))
    onnx.save(broken, project.folder / "checkpoints/served/int8.onnx")
    done = project.run("export")
    assert done.returncode == 2
    assert "differs from PyTorch" in done.stderr
    assert "Traceback" not in done.stderr


def test_off_the_trained_model_is_served_and_nothing_imported(tmp_path: Path) -> None:
    project = Project(tmp_path)
    code = "import sys, my_project.stages.compress as stage; stage.main(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, encoding="utf-8"
    )
    assert not {"torch", "onnx", "onnxruntime"} & set(done.stdout.split())
    assert done.returncode == 0
    served = (project.folder / "checkpoints/served/model.pt").read_bytes()
    assert served == (ROOT / "checkpoints/best.pt").read_bytes()
