"""LitServe as its guide has it: the image as base64 in JSON, requests put into batches.

Usage: python with_litserve.py PORT WORKERS BATCH_SIZE
"""

import base64
import sys

import litserve
import numpy as np
import onnxruntime
from classify import answer_of, pixels_of


class Classifier(litserve.LitAPI):
    """The steps that LitServe puts together."""

    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession("model/model.onnx", options)
        self.name = self.session.get_inputs()[0].name

    def decode_request(self, request: dict) -> np.ndarray:
        return pixels_of(base64.b64decode(request["image_data"]))

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(inputs)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        return self.session.run(None, {self.name: pixels})[0]

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        return list(output)

    def encode_response(self, output: np.ndarray) -> dict:
        return answer_of(output.reshape(-1))


if __name__ == "__main__":
    port, workers, batch_size = (int(argument) for argument in sys.argv[1:])
    batching = {"max_batch_size": batch_size, "batch_timeout": 0.002} if batch_size > 1 else {}
    server = litserve.LitServer(
        Classifier(**batching), accelerator="cpu", workers_per_device=workers
    )
    server.run(port=port, generate_client_file=False, log_level="warning")
