"""TorchServe's way to the model: it calls `Handler` in a worker process of its own."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..metadata import ModelMetadata, temperature_of
from ..models.predict import predict_logits
from ..preprocess import ImageError, decode_image
from ..training.checkpoint import load_model
from .predictor import softmax


class Handler:
    """Answers a batch of requests. `context` is TorchServe's: where the archive was unpacked."""

    def initialize(self, context: Any) -> None:
        """Load the network; called once in each worker."""
        folder = Path(context.system_properties["model_dir"])
        torch.set_num_threads(1)
        self.metadata = ModelMetadata.load(folder)
        self.model = load_model(folder / "model.pt", torch.device("cpu"))

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """One answer for each request; an image that cannot be read gets its own error."""
        answers: list[dict[str, Any]] = [{} for _ in requests]
        decode = functools.partial(decode_image, spec=self.metadata.image)
        images = {}
        for index, request in enumerate(requests):
            try:
                body = request.get("body") or request.get("data") or b""
                if not isinstance(body, bytes | bytearray):  # TorchServe has parsed it as JSON
                    raise ImageError("send the image as the body, not JSON or text")
                images[index] = decode(bytes(body))
            except ImageError as error:
                context.set_response_status(422, str(error), index)
                answers[index] = {"status": 422, "detail": str(error)}
        if images:
            logits = predict_logits(self.model, np.stack(list(images.values())))
            logits /= np.float32(temperature_of(self.metadata.metrics))
            for index, probabilities in zip(images, softmax(logits), strict=True):
                answers[index] = self._answer(probabilities.tolist())
        return answers

    def _answer(self, probabilities: list[float]) -> dict[str, Any]:
        """The fields of FastAPI's answer, for the probabilities of one image."""
        classes = self.metadata.classes
        ranking = sorted(range(len(classes)), key=lambda k: -probabilities[k])
        return {
            "label": classes[ranking[0]],
            "class_index": ranking[0],
            "probabilities": [
                {"label": classes[k], "probability": probabilities[k]} for k in ranking
            ],
            "model": {"name": self.metadata.model, "sha256": self.metadata.sha256},
        }
