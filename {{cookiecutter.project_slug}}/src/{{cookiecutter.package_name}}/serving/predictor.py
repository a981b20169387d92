"""The exported model on ONNX Runtime: pixels in, probabilities out. Knows nothing of HTTP."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from ..errors import BrokenFileError, UserError
from ..files import sha256_of
from ..metadata import METADATA_FILE, MODEL_FILE, ModelMetadata


class ModelError(UserError):
    """A model folder that cannot be served; the message says what is wrong with it."""


class Predictor:
    """A loaded model. Safe to call from several threads."""

    def __init__(self, metadata: ModelMetadata, session: ort.InferenceSession) -> None:
        self.metadata = metadata
        self._session = session

    @classmethod
    def load(cls, folder: Path, num_threads: int) -> "Predictor":
        """Load `model.onnx` after checking that it is the file `metadata.json` speaks of.

        num_threads: how many threads one call of `predict` may use.

        Raises:
            ModelError: a file is missing, unreadable, or not the one that was exported.
        """
        metadata = _load_metadata(folder)
        model_file = folder / MODEL_FILE
        if not model_file.exists():
            raise ModelError(f"{model_file} not found: run the pipeline, or set MODEL_DIR")
        digest = sha256_of(model_file)
        if digest != metadata.sha256:
            raise ModelError(
                f"{model_file} has the SHA-256 {digest[:12]}…, but {METADATA_FILE} says "
                f"{metadata.sha256[:12]}…: the two do not belong together"
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.log_severity_level = 3  # errors; its warnings say nothing a user can act on
        try:
            session = ort.InferenceSession(
                model_file.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
            predictor = cls(metadata, session)
            zeros = np.zeros((1, *metadata.image.shape), dtype=np.uint8)
            num_outputs = predictor.predict(zeros).shape[1]  # which also warms it up
        except Exception as error:  # ONNX Runtime has many kinds, with no common one
            raise ModelError(f"{model_file} cannot be used: {error}") from None
        if num_outputs != len(metadata.classes):
            raise ModelError(
                f"{model_file} has {num_outputs} outputs, but {METADATA_FILE} names "
                f"{len(metadata.classes)} classes"
            )
        return predictor

    def predict(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Class probabilities (N, num_classes) of images (N, C, H, W)."""
        # The pixels as they are: the model's first layer normalizes them.
        (logits,) = self._session.run(["logits"], {"pixels": pixels})
        return softmax(logits)


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Probabilities (N, K) of logits (N, K), without overflow for large ones."""
    exponentials: npt.NDArray[np.float32] = np.exp(logits - logits.max(axis=1, keepdims=True))
    exponentials /= exponentials.sum(axis=1, keepdims=True)
    return exponentials


def _load_metadata(folder: Path) -> ModelMetadata:
    try:
        return ModelMetadata.load(folder)
    except FileNotFoundError:
        message = f"{folder / METADATA_FILE} not found: run the pipeline, or set MODEL_DIR"
        raise ModelError(message) from None
    except BrokenFileError as error:
        raise ModelError(str(error)) from None
    except OSError as error:
        raise ModelError(f"{folder / METADATA_FILE} cannot be read: {error}") from None
