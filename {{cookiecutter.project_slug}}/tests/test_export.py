"""The ONNX file predicts what the network predicts, or the export fails."""

from pathlib import Path

import onnx
import pytest
import torch

from package_name.errors import UserError
from package_name.export import check_onnx, export_onnx
from package_name.preprocess import ImageSpec

from .digits import digits
from .training_run import build


def test_the_onnx_file_takes_any_batch_and_gives_the_same_logits(tmp_path: Path) -> None:
    model = build("cnn")
    path = tmp_path / "model.onnx"
    export_onnx(model, ImageSpec(1, 8, 8), path, opset=20)
    for num_images in (1, 2, 600):
        check_onnx(model, path, digits(0, num_images).images, max_logit_error=1e-4)
    dimension = onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0]
    assert dimension.dim_param
    assert b".py" not in path.read_bytes()  # nothing of the machine that exported it
    with torch.no_grad():
        next(model.parameters()).add_(0.5)
    with pytest.raises(UserError, match="differs from PyTorch"):
        check_onnx(model, path, digits(0, 600).images, max_logit_error=1e-4)
