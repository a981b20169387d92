"""Static quantization to int8.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", 2017, arXiv:1712.05877.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

NUM_IMAGES = 512  # on which the ranges of the activations are measured
BATCH_SIZE = 64


class TrainingImages(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime has no types
    """Yield batches of images (N, C, H, W), spread evenly over the training split."""

    def __init__(self, images: npt.NDArray[np.uint8]) -> None:
        images = images[:: max(1, len(images) // NUM_IMAGES)]
        starts = range(0, len(images), BATCH_SIZE)
        self._batches = ({"pixels": np.array(images[i : i + BATCH_SIZE])} for i in starts)

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        return next(self._batches, None)


def quantize_int8(source: Path, target: Path, images: npt.NDArray[np.uint8]) -> None:
    """Write the ONNX file `source` with weights and activations of 8 bits.

    Args:
        images: the training split's, (N, C, H, W).
    """
    quant_pre_process(source, target, skip_symbolic_shape=True)
    quantize_static(
        target,
        target,
        TrainingImages(images),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        # Weights use 7 of the 8 bits: processors without VNNI add two products in 16 bits, which
        # would overflow, and labels would depend on the machine.
        reduce_range=True,
        # Logits stay float32, since a rare large one would be cut to the range seen here.
        extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm"]},
    )
