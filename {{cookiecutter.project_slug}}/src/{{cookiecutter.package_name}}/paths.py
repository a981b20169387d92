"""The pipeline's files, relative to the project's root folder, where every command is run."""

from pathlib import Path

RAW = Path("data/raw")
FEEDBACK = Path("data/feedback/images")
PREPARED = Path("data/prepared")
ORIGINS = PREPARED / "test_origins.csv"
ATTRIBUTES = Path("data/attributes.csv")

CHECKPOINTS = Path("checkpoints")
BEST_MODEL = CHECKPOINTS / "best.pt"
SERVED_MODEL = CHECKPOINTS / "served/model.pt"
SERVED_INT8 = CHECKPOINTS / "served/int8.onnx"

METRICS = Path("metrics")
TRAINING = METRICS / "train.json"
CURVES = METRICS / "curves.csv"
EVALUATION = METRICS / "evaluation.json"
VERSIONS = METRICS / "versions.json"

REPORTS = Path("reports")
PREDICTIONS = REPORTS / "predictions.csv"

MODEL = Path("model")
DOCS = Path("docs")
README = Path("README.md")

BUILD = Path("build")
VERDICT = BUILD / "gate.md"
COMPARISON = BUILD / "report.md"
FEEDBACK_EXPORT = BUILD / "feedback"
DRIFT = BUILD / "drift"
