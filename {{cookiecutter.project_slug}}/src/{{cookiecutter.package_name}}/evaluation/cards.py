"""Data card, model card and the README's results: markdown from what the pipeline measured.

After Gebru et al. 2018 (Datasheets for Datasets) and Mitchell et al. 2019 (Model Cards).
"""

from collections.abc import Iterable, Iterator
from typing import Any

from ..data.dataset import SPLITS, DatasetInfo
from ..metadata import ModelMetadata

SOURCES = {
    "digits": (
        "Handwritten digits, 8x8, from 43 writers: the test part of E. Alpaydin and C. Kaynak, "
        "[Optical Recognition of Handwritten Digits](https://doi.org/10.24432/C50P49) (UCI, 1998), "
        "as shipped with scikit-learn. Licence: CC BY 4.0."
    ),
    "fashion-mnist": (
        "Zalando's product pictures, 28x28 grey: H. Xiao, K. Rasul and R. Vollgraf, "
        "[Fashion-MNIST](https://github.com/zalandoresearch/fashion-mnist) (2017). Licence: MIT."
    ),
    "cifar10": (
        "Photographs, 32x32 colour: A. Krizhevsky, "
        "[Learning Multiple Layers of Features from Tiny Images]"
        "(https://www.cs.toronto.edu/~kriz/cifar.html) (2009). The authors state no licence."
    ),
    "image-folder": (
        "This project's own pictures, one folder per class. Say here where they come from, who may "
        "use them, and whether people can be recognised in them."
    ),
}
NUM_SKIPPED_SHOWN = 20
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
    channels, height, width = info.image.shape
    counts = table(
        ("class", *SPLITS),
        [
            *((name, *(info.counts[split][name] for split in SPLITS)) for name in info.classes),
            ("**all**", *(f"**{info.num_images(split):,}**" for split in SPLITS)),
        ],
    )
    skipped = table(("file", "reason"), info.skipped[:NUM_SKIPPED_SHOWN])
    return (
        f"""# Data card: {info.name}

Written by the `prepare` stage.

## Source

{SOURCES[info.name]}

## Pictures

{counts}

## Preparation

- Each picture is decoded, cropped about its centre and scaled to {height}x{width} with \
{channels} channel{"s" if channels > 1 else ""}, as `uint8`.
- The split is seeded and keeps the share of each class; `params.yaml` (`prepare`) holds the seed \
and the fractions. The test split is used for nothing but the final evaluation.
- Training pixels on the scale 0 to 1: mean {_numbers(info.mean)}, standard deviation \
{_numbers(info.std)}, by channel.
- Hash of the prepared arrays: `{info.content_hash}`

## Left out

{_skipped_sentence(info)}
{skipped if info.skipped else ""}""".rstrip()
        + "\n"
    )


def model_card(metadata: ModelMetadata, info: DatasetInfo, training: dict[str, Any]) -> str:
    """Describe the model. training: as in `metrics/train.json`."""
    metrics = metadata.metrics
    num_test = info.num_images("test")
    channels, height, width = metadata.image.shape
    return f"""# Model card: {metadata.model} on {info.name}

Written by the `export` stage; every number was measured by the pipeline.

## Model

{_provenance_table(metadata, training)}

It takes a picture (PNG, JPEG or WebP; cropped and scaled to {channels}x{height}x{width}) and \
gives one probability for each of its {len(metadata.classes)} classes.

## Use

It is meant for pictures like those it was trained on ([data card](data-card.md)). It always \
answers with one of its classes, also for a picture that shows none of them. It was not examined \
for unfair differences between groups of people, nor for pictures made to deceive it; examine both \
before it decides anything about people.

## Metrics

On the {num_test:,} pictures of the test split, with 95 % bootstrap intervals:

{_metrics_table(metrics)}

{_baseline_sentence(metrics["baseline"])}

![Confusion matrix](../reports/confusion_matrix.png)
![Reliability diagram](../reports/reliability.png)

## By class

{_per_class_table(metrics["per_class"])}

![Most confident mistakes](../reports/mistakes.png)

## Training

{training["epochs"]} epochs in {training["seconds"]:,.0f} s at \
{training["images_per_second"]:,.0f} images per second on {training["hardware"]} \
({training["device"]}). Kept: epoch {training["best_epoch"]}, with a validation accuracy of \
{_percent(training["best_validation_accuracy"])}.

![Learning curves](../reports/learning_curves.png)

{table(("parameter", "value"), flatten(metadata.params))}

## Limits

- The intervals say how much another test set of the same kind could change the numbers; they do \
not cover pictures of another kind, nor another training run.
- The test split comes from the same source as the training data. Pictures from elsewhere will do \
worse; measure that before use.
"""


def readme_results(metadata: ModelMetadata, training: dict[str, Any]) -> str:
    """Make the README's results block: picture, table, and where the numbers come from."""
    metrics, baseline = metadata.metrics, metadata.metrics["baseline"]
    model = f"**{metadata.model}**, {training['num_parameters']:,} parameters"
    values = (_with_interval(metrics, key) for key in ("accuracy", "f1_macro", "nll", "ece"))
    results = table(
        ("", "test accuracy", "macro F1", "NLL", "calibration error"),
        [(model, *values), (baseline["name"], _percent(baseline["accuracy"]), "", "", "")],
    )
    return f"""![Accuracy, confusion matrix and mistakes on the test set](reports/summary.png)

{results}

In brackets: 95 % bootstrap intervals. {_baseline_sentence(baseline)} More in the \
[model card](docs/model-card.md) and the [data card](docs/data-card.md).

<sub>Written by the pipeline on {metadata.created[:10]} from commit `{metadata.commit}`, data \
`{metadata.data_hash.removeprefix("sha256:")[:12]}`; {training["seconds"]:,.0f} s of training on \
{metadata.hardware}.</sub>"""


def _provenance_table(metadata: ModelMetadata, training: dict[str, Any]) -> str:
    rows = (
        ("architecture", metadata.model),
        ("parameters", f"{training['num_parameters']:,}"),
        ("created", metadata.created),
        ("commit", f"`{metadata.commit}`"),
        ("data", f"`{metadata.data_hash}`"),
        ("ONNX file, SHA-256", f"`{metadata.sha256}`"),
        ("trained on", metadata.hardware),
    )
    return table(("", ""), rows)


def _metrics_table(metrics: dict[str, Any]) -> str:
    rows = ((label, _with_interval(metrics, key)) for key, label in METRICS)
    return table(("metric", "value"), rows)


def _per_class_table(per_class: dict[str, dict[str, float]]) -> str:
    rows = (
        (name, *(_percent(row[key]) for key in ("precision", "recall", "f1")), row["support"])
        for name, row in per_class.items()
    )
    return table(("class", "precision", "recall", "F1", "test images"), rows)


def _baseline_sentence(baseline: dict[str, Any]) -> str:
    p = baseline["mcnemar_p"]
    return (
        f"A {baseline['name']} on the same pixels ({baseline['num_train']:,} training images) gets "
        f"{_percent(baseline['accuracy'])}; only the model is right on "
        f"{baseline['only_model_right']:,} test images, only the baseline on "
        f"{baseline['only_baseline_right']:,} (McNemar's exact test: "
        f"{'p < 0.001' if p < 0.001 else f'p = {p:.3f}'})."
    )


def _skipped_sentence(info: DatasetInfo) -> str:
    num_skipped = len(info.skipped)
    if not num_skipped:
        return "Nothing: every file could be used."
    shown = f" The first {NUM_SKIPPED_SHOWN}:" if num_skipped > NUM_SKIPPED_SHOWN else ""
    return f"{num_skipped:,} files that could not be used.{shown}\n"


def _with_interval(metrics: dict[str, Any], key: str) -> str:
    form = "{:.3f}".format if key in ("nll", "ece") else _percent
    low, high = metrics[f"{key}_ci95"]
    return f"{form(metrics[key])} ({form(low)} to {form(high)})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


def flatten(params: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested parameters as dotted keys, in backticks, and values."""
    for key, value in params.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"`{prefix}{key}`", value


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Make a markdown table; a `|` in a cell does not end it."""

    def line(cells: Iterable[object]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    header = tuple(header)
    return "\n".join([line(header), line("---" for _ in header), *map(line, rows)])
