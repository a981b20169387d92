"""A smaller model is what is measured, judged, exported and served; without the switch, nothing."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from my_project.compression.prune import prune
from my_project.config import ModelConfig, load_config
from my_project.data.dataset import load_info, load_split
from my_project.metadata import ModelMetadata
from my_project.models import build_model
from my_project.models.predict import predict_logits
from my_project.serving.predictor import Predictor
from my_project.training.loss import distillation_loss

from ..serving_helpers import eventually
from .commands import command

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
        return command(f"stages.{stage}", cwd=self.folder, **env)

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


def test_pruning_drops_the_silent_channels_and_changes_no_prediction() -> None:
    info = load_info(ROOT / "data/prepared")
    config = load_config(ROOT / "params.yaml").model
    for name in ("cnn", "resnet"):
        torch.manual_seed(0)
        network = build_model(with_width(replace(config, name=name), 8), info)
        for module in network.modules():  # every other channel of each layer is silent
            if isinstance(module, nn.BatchNorm2d):
                module.weight.data.fill_(1)
                module.weight.data[::2] = 0
                module.bias.data[1::2].normal_()
        narrow = build_model(with_width(replace(config, name=name), 4), info)
        prune(network, narrow)
        images = np.asarray(load_split(ROOT / "data/prepared", "test").images[:50])
        expected, actual = (predict_logits(each, images) for each in (network, narrow))
        np.testing.assert_allclose(actual, expected, atol=1e-4)


def with_width(model: ModelConfig, width: int) -> ModelConfig:
    return replace(model, **{model.name: replace(getattr(model, model.name), width=width)})


def test_networks_of_all_methods_are_trained_measured_and_exported(project: Project) -> None:
    metrics = project.compress(
        "compress.student_width=16 compress.pruned_width=8 compress.epochs=2 "
        "evaluate.bootstrap_samples=100"
    )
    assert metrics["compression"]["methods"] == ["distillation", "pruning", "int8"]
    metadata = ModelMetadata.load(project.folder / "model")
    assert metadata.params["model"] == {"name": "cnn", "width": 8, "dropout": 0.1}
    assert metrics["accuracy"] == pytest.approx(project.accuracy_as_served(), abs=1e-6)
    assert metrics["compression"]["num_parameters"] < 20_000


def test_a_stage_that_is_stopped_saves_its_state_and_says_so(project: Project) -> None:
    parameters = "compress.student_width=4 compress.pruned_width=null compress.epochs=300"
    assert project.run("set_params", PARAMETERS=parameters).returncode == 0
    checkpoint = project.folder / "checkpoints/student/last.pt"
    checkpoint.unlink()  # an earlier test's
    command = [sys.executable, "-m", "my_project.stages.compress"]
    with subprocess.Popen(command, cwd=project.folder, stdout=subprocess.PIPE, text=True) as stage:
        assert eventually(checkpoint.exists)
        stage.terminate()
        output, _ = stage.communicate()
    assert stage.returncode == 143
    assert output == "stopped by SIGTERM; the state is saved, and the same command continues\n"


def test_a_teacher_draws_the_student_to_its_predictions() -> None:
    teacher = torch.tensor([[4.0, 0.0, -4.0], [0.0, 8.0, 0.0]])
    logits = torch.zeros(2, 3, requires_grad=True)
    distillation_loss(logits, teacher).backward()
    assert logits.grad is not None
    torch.testing.assert_close(distillation_loss(teacher, teacher), torch.tensor(0.0))
    expected = 4 * (torch.full((2, 3), 1 / 3) - (teacher / 4).softmax(dim=1))  # Hinton's equation 2
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("model.name=vit compress.pruned_width=4", "needs model.name = cnn or resnet, not vit"),
        ("compress.pruned_width=32", "must be below the cnn's width = 32"),
        ("compress.student_width=8 compress.pruned_width=8", "must be below the cnn's width = 8"),
    ],
)
def test_what_cannot_be_pruned_is_said(parameters: str, message: str, tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    done = command("stages.set_params", cwd=tmp_path, PARAMETERS=parameters)
    assert done.returncode == 2
    assert message in done.stderr
