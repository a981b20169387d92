"""Data card, model card and the README's results: markdown from what the pipeline measured.

The prose is in `templates/`. After Gebru et al. 2018 (Datasheets for Datasets) and Mitchell et al.
2019 (Model Cards).
"""

from collections.abc import Iterator
from typing import Any

from ..data.dataset import SPLITS, DatasetInfo
from ..metadata import ModelMetadata
from .render import render

START, END = "<!-- results:start -->", "<!-- results:end -->"
METRICS = (
    ("accuracy", "accuracy"),
    ("precision_macro", "precision, macro"),
    ("recall_macro", "recall, macro"),
    ("f1_macro", "F1, macro"),
    ("nll", "negative log-likelihood (nats)"),
    ("ece", "expected calibration error"),
)


def data_card(info: DatasetInfo) -> str:
    """Describe the prepared data: source, counts, preprocessing, what was left out."""
    return render("data-card", info=info, splits=SPLITS)


def model_card(metadata: ModelMetadata, info: DatasetInfo, training: dict[str, Any]) -> str:
    """Describe the model. training: as in `metrics/train.json`."""
    params = flatten(metadata.params)
    return render(
        "model-card",
        metadata=metadata,
        info=info,
        training=training,
        params=params,
        headline=METRICS,
    )


def readme_results(metadata: ModelMetadata, training: dict[str, Any]) -> str:
    """Make the README's results block: plot, table, and where the numbers come from."""
    return render("readme-results", metadata=metadata, training=training)


def replace_results(readme: str, block: str) -> str:
    """Replace what is between the README's two markers; without both, it is left as it is."""
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    return f"{before}{start}\n{block}{end}{after}" if start and end else readme


def flatten(params: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested parameters as dotted keys, in backticks, and values."""
    for key, value in params.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"`{prefix}{key}`", value
