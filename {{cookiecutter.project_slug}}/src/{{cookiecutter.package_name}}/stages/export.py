"""Stage 6: write the ONNX file, check it against PyTorch, and say where it comes from."""

import math
import shutil
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np
import torch

from ..config import Config, load_config
from ..data.dataset import DatasetInfo, Split, load_info, load_split
from ..export import OnnxModel, check_onnx, divide_logits, export_onnx
from ..files import read_json, sha256_of
from ..metadata import METADATA_FILE, MODEL_FILE, SAMPLES_FILE, ModelMetadata, temperature_of
from ..models.predict import predict_logits
from ..monitoring.reference import measure, save_reference
from ..paths import EVALUATION, MODEL, PREPARED, SERVED_INT8, SERVED_MODEL, TRAINING
from ..provenance import current_commit
from ..training.checkpoint import load_model, load_model_config
from ._main import run_main

SAMPLED_CLASSES = 10
SAMPLES_PER_CLASS = 2
MAX_REFERENCE_IMAGES = 10_000


def main() -> None:
    config = load_config()
    info, test = load_info(PREPARED), load_split(PREPARED, "test")
    network = load_model(SERVED_MODEL, torch.device("cpu"))
    path = MODEL / MODEL_FILE
    MODEL.mkdir(exist_ok=True)
    if config.compress.int8:
        shutil.copyfile(SERVED_INT8, path)
        limits = {"max_label_changes": config.compress.max_label_changes}
    else:
        export_onnx(network, info.image, path, opset=config.export.opset)
        limits = {"max_logit_error": config.export.max_logit_error}
    if (temperature := temperature_of(read_json(EVALUATION))) != 1:
        divide_logits(path, temperature)
    check_onnx(network, path, test.images, temperature=temperature, **limits)
    model = OnnxModel(path)
    _save_samples(model, test, info.classes)
    images = load_split(PREPARED, "validation").images
    images = images[:: math.ceil(len(images) / MAX_REFERENCE_IMAGES)]
    save_reference(MODEL, measure(images, predict_logits(model, images)), info.classes)
    _metadata(config, info).save(MODEL)
    print(f"{path} and {MODEL / METADATA_FILE} written; checked against PyTorch")


def _metadata(config: Config, info: DatasetInfo) -> ModelMetadata:
    served = load_model_config(SERVED_MODEL)
    return ModelMetadata(
        model=served.name,
        classes=info.classes,
        image=info.image,
        sha256=sha256_of(MODEL / MODEL_FILE),
        commit=current_commit(),
        data_hash=info.content_hash,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=read_json(TRAINING)["hardware"],
        params={
            "prepare": asdict(config.prepare),
            "model": {"name": served.name, **asdict(served)[served.name]},
            "train": asdict(config.train),
            "compress": asdict(config.compress),
        },
        metrics=read_json(EVALUATION),
    )


def _save_samples(model: OnnxModel, test: Split, classes: tuple[str, ...]) -> None:
    """Save a few test images beside the model, which the page offers and `make smoke` sends."""
    rows = np.concatenate(
        [
            np.flatnonzero(test.labels == label)[:SAMPLES_PER_CLASS]
            for label in range(min(len(classes), SAMPLED_CLASSES))
        ]
    )
    images, names = test.images[rows], np.array(classes)
    predictions = names[predict_logits(model, images).argmax(axis=1)]
    np.savez_compressed(
        MODEL / SAMPLES_FILE,
        images=images,
        labels=names[test.labels[rows]],
        predictions=predictions,
    )


if __name__ == "__main__":
    run_main(main)
