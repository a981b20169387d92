"""Run inside a generated project: the served network, as float32 and as int8 file, as JSON."""

import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from my_project.data.dataset import load_split
from my_project.export import export_onnx
from my_project.metadata import ModelMetadata
from my_project.paths import MODEL, PREPARED, SERVED_MODEL
from my_project.serving.predictor import Predictor
from my_project.training.checkpoint import load_model

NUM_RUNS = 300
TEST = load_split(PREPARED, "test")


def main() -> None:
    metadata = ModelMetadata.load(MODEL)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float32.onnx"
        network = load_model(SERVED_MODEL, torch.device("cpu"))
        export_onnx(network, metadata.image, path, opset=20)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        float32 = measured(Predictor(metadata, session), path)
    int8 = measured(Predictor.load(MODEL, num_threads=1), MODEL / "model.onnx")
    print(json.dumps({"float32": float32, "int8": int8}))


def measured(predictor: Predictor, path: Path) -> dict[str, object]:
    starts = range(0, len(TEST), 500)
    batches = [predictor.predict(np.array(TEST.images[start : start + 500])) for start in starts]
    return {
        "bytes": path.stat().st_size,
        "latencies": [latency(predictor, np.array(TEST.images[:size])) for size in (1, 16)],
        "correct": (np.concatenate(batches).argmax(axis=1) == TEST.labels).tolist(),
    }


def latency(predictor: Predictor, images: np.ndarray) -> float:
    """Median time of one call in milliseconds."""
    times = []
    for _ in range(NUM_RUNS):
        start = time.perf_counter()
        predictor.predict(images)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


main()
