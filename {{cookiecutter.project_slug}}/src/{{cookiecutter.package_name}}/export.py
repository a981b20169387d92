"""Export a PyTorch model to ONNX, and check that the file predicts the same."""

import logging
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import nn

from .config import ExportConfig
from .errors import UserError
from .models.predict import predict_logits
from .preprocess import ImageSpec

BATCH_SIZE = 512


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


def check_onnx(
    model: nn.Module, path: Path, images: npt.NDArray[np.uint8], config: ExportConfig
) -> None:
    """Compare the predictions of the file with those of the model.

    Args:
        images: real ones, (N, C, H, W).

    Raises:
        UserError: a label differs, or a logit by more than `config.max_logit_error`.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    expected = predict_logits(model, images, BATCH_SIZE)  # (N, num_classes)
    actual = np.concatenate(
        [
            session.run(["logits"], {"pixels": np.array(images[start : start + BATCH_SIZE])})[0]
            for start in range(0, len(images), BATCH_SIZE)
        ]
    )
    error = float(np.abs(actual - expected).max())
    num_different = int((actual.argmax(axis=1) != expected.argmax(axis=1)).sum())
    if num_different or error > config.max_logit_error:
        raise UserError(
            f"{path} differs from PyTorch: {num_different} of {len(images)} labels, "
            f"logits by up to {error:.1e}; export.max_logit_error is {config.max_logit_error:.1e}"
        )
