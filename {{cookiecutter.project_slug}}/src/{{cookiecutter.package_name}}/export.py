"""Export a PyTorch model to ONNX, and check that the file predicts the same."""

import logging
import math
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from .errors import UserError
from .models.predict import predict_logits
from .preprocess import ImageSpec


def export_onnx(model: nn.Module, spec: ImageSpec, path: Path, *, opset: int) -> None:
    """Write an ONNX file that takes `pixels` uint8 (N, C, H, W), any N, and outputs `logits`."""
    # Two images: the exporter would take a size of 1 for a constant.
    example = torch.zeros(2, *spec.shape, dtype=torch.uint8)
    # The exporter warns that torchvision is missing, which nothing here needs.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        program = torch.onnx.export(
            model.eval(),
            (example,),
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # it is one for every `dynamo=True`
    for node in program.model.graph:
        node.metadata_props.clear()  # where each line of the network is on this machine
    program.save(path)


def divide_logits(path: Path, temperature: float) -> None:
    """Add temperature scaling to an ONNX file, as its last node."""
    model = onnx.load(path)
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["unscaled" if name == "logits" else name for name in node.output]
    constant = onnx.numpy_helper.from_array(np.array(temperature, np.float32), "temperature")
    graph.initializer.append(constant)
    graph.node.append(onnx.helper.make_node("Div", ["unscaled", "temperature"], ["logits"]))
    onnx.save(model, path)


class OnnxModel(nn.Module):
    """An ONNX file on ONNX Runtime, called like the network that it was exported from."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.from_numpy(self._session.run(["logits"], {"pixels": pixels.numpy()})[0])


def check_onnx(
    model: nn.Module,
    path: Path,
    images: npt.NDArray[np.uint8],
    *,
    temperature: float = 1.0,
    max_logit_error: float = math.inf,
    max_label_changes: float = 0.0,
) -> None:
    """Compare the predictions of the file with those of the model.

    Args:
        images: real ones, (N, C, H, W).
        temperature: what the file divides the model's logits by.
        max_label_changes: allowed share of images with another label.

    Raises:
        UserError: more labels differ, or a logit by more than `max_logit_error`.
    """
    expected = predict_logits(model, images) / np.float32(temperature)  # (N, num_classes)
    actual = predict_logits(OnnxModel(path), images)
    error = float(np.abs(actual - expected).max())
    num_different = int((actual.argmax(axis=1) != expected.argmax(axis=1)).sum())
    allowed = int(max_label_changes * len(images))
    if num_different > allowed or not error < max_logit_error:  # which NaN is not, either
        raise UserError(
            f"{path} differs from PyTorch: {num_different} of {len(images)} labels, "
            f"{allowed} are allowed; logits by up to {error:.1e}, "
            f"{max_logit_error:.1e} is allowed"
        )
