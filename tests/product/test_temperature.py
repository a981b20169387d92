"""Temperature scaling: fitted on the validation split, part of the ONNX file, labels unchanged."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from my_project.config import load_config
from my_project.data.dataset import load_split
from my_project.evaluation.metrics import Predictions
from my_project.evaluation.temperature import fit_temperature, measure_scaling, scale
from my_project.export import OnnxModel
from my_project.models.predict import predict_logits

from .commands import command

ROOT = Path(__file__).parents[2]
READ = ("data/prepared", "checkpoints/best.pt", "metrics", "params.yaml")


def overconfident(num_images: int, factor: float) -> Predictions:
    """Calibrated logits times `factor`: each label is drawn from the true probabilities."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (num_images, 5))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return Predictions((factor * logits).astype(np.float32), labels)


@pytest.mark.parametrize("factor", [0.5, 1, 3])
def test_the_temperature_undoes_what_the_logits_were_multiplied_by(factor: float) -> None:
    assert fit_temperature(overconfident(20_000, factor)) == pytest.approx(factor, rel=0.05)


def test_a_small_split_without_a_mistake_does_not_ask_for_the_lowest_temperature() -> None:
    logits = np.eye(5, dtype=np.float32)[np.arange(200) % 5] * 4
    assert 0.2 < fit_temperature(Predictions(logits, np.arange(200) % 5)) < 1


def test_nll_and_calibration_error_are_measured_before_and_after_with_paired_intervals() -> None:
    before = overconfident(2000, 3)
    measured = measure_scaling(before, 3.0, load_config().evaluate)
    assert measured["after"]["ece"] < measured["before"]["ece"] / 2
    for key in ("nll", "ece"):
        assert measured["change"][f"{key}_ci95"][1] < 0
    np.testing.assert_array_equal(scale(before, 3.0).predicted, before.predicted)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model and its data."""
    folder = tmp_path_factory.mktemp("project")
    for name in READ:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, folder / name)
    return folder


def export(project: Path, **parameters: str) -> Path:
    """Run the stages up to the export; returns the ONNX file."""
    text = " ".join(f"{key.replace('__', '.')}={value}" for key, value in parameters.items())
    text += " evaluate.bootstrap_samples=100"
    for stage in ("set_params", "compress", "evaluate", "export"):
        command(f"stages.{stage}", cwd=project, PARAMETERS=text).check_returncode()
    return project / "model/model.onnx"


@pytest.mark.parametrize("int8", ["false", "true"])
def test_the_exported_file_divides_its_logits_and_gives_the_same_labels(
    project: Path, int8: str
) -> None:
    images = load_split(project / "data/prepared", "test").images
    file = export(project, compress__int8=int8, export__temperature_scaling="false")
    assert onnx.load(file).graph.node[-1].op_type != "Div"
    metrics = (project / "metrics/evaluation.json").read_text(encoding="utf-8")
    assert "temperature_scaling" not in metrics
    unscaled = predict_logits(OnnxModel(file), images)

    file = export(project, compress__int8=int8, export__temperature_scaling="true")
    assert onnx.load(file).graph.node[-1].op_type == "Div"
    evaluation = json.loads((project / "metrics/evaluation.json").read_text(encoding="utf-8"))
    scaling = evaluation["temperature_scaling"]
    scaled = predict_logits(OnnxModel(file), images)
    np.testing.assert_allclose(scaled * scaling["temperature"], unscaled, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(scaled.argmax(axis=1), unscaled.argmax(axis=1))
    assert evaluation["nll"] == scaling["after"]["nll"] < scaling["before"]["nll"]
