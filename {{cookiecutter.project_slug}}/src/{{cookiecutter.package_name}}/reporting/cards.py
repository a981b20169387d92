"""Data card, model card and the README's results: Markdown from what the pipeline measured.

The text is in `templates/`. After Gebru et al. 2018 (Datasheets for Datasets) and Mitchell et al.
2019 (Model Cards).
"""

from collections.abc import Iterator
from typing import Any

from ..data.dataset import SPLITS, DatasetInfo
from ..metadata import ModelMetadata
from .render import render

START, END = "<!-- results:start -->", "<!-- results:end -->"


def data_card(info: DatasetInfo) -> str:
    """Describe the prepared data: source, counts, preprocessing, what was left out."""
    return render("data-card.md", info=info, splits=SPLITS)


def model_card(metadata: ModelMetadata, info: DatasetInfo, training: dict[str, Any]) -> str:
    """Describe the model.

    Args:
        training: as in `metrics/train.json`.
    """
    params = flatten(metadata.params)
    return render("model-card.md", metadata=metadata, info=info, training=training, params=params)


def readme_results(metadata: ModelMetadata, training: dict[str, Any]) -> str:
    """Return the README's results: plot, table, and where the numbers come from."""
    return render("readme-results.md", metadata=metadata, training=training)


def replace_results(readme: str, results: str) -> str:
    """Replace what is between the README's two markers; without both, it stays as it is."""
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    return f"{before}{start}\n{results}{end}{after}" if start and end else readme


def flatten(params: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested parameters as dotted keys and values."""
    for key, value in params.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
