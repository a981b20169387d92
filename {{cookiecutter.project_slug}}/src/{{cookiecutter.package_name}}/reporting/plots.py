"""The plots of a model. The same numbers give the same bytes, so git sees real changes only."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from .panels import (
    MUTED,
    ORANGE,
    STYLE,
    PlotData,
    draw_confusion_matrix,
    draw_curves,
    draw_gallery,
    draw_headline,
    draw_reliability,
    draw_title,
)

MISTAKE_ROWS, MISTAKE_COLUMNS = 2, 6
MAX_TICKS = 20  # classes whose names fit below their bars
Values = npt.NDArray[np.float64]


def write_plots(data: PlotData, folder: Path) -> None:
    """Write every plot as a PNG into `folder`."""
    side = float(np.clip(1.8 + 0.42 * len(data.classes), 4.5, 11))
    drawn = [("corruptions", 7, 3.8, _draw_corruptions)] if "corruptions" in data.metrics else []
    with style.context(STYLE):
        for name, width, height, draw in (
            *drawn,
            ("summary", 10, 5, _draw_summary),
            ("confusion_matrix", side, side, _draw_confusion_matrix),
            ("reliability", 5.2, 5.8, draw_reliability),
            ("learning_curves", 9, 3.6, _draw_learning_curves),
            ("mistakes", 9, 0.6 + 1.7 * _num_mistake_rows(data), _draw_mistakes),
        ):
            layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, wspace=0, hspace=0)
            figure = Figure(figsize=(width, height), dpi=150, layout=layout)
            draw(figure, data)
            _save(figure, folder / f"{name}.png")


def write_drift_plot(
    path: Path, classes: tuple[str, ...], shares: list[Values], name: str, values: list[Values]
) -> None:
    """Draw how production differs from the reference, which comes first in `shares` and `values`.

    Args:
        shares: of the predicted labels, (num_classes,) each.
        name: of what has shifted most. values: of it, (N,) each.
    """
    with style.context(STYLE):
        figure = Figure(figsize=(9, 3.6), dpi=150, layout="constrained")
        left, right = figure.subplots(1, 2)
        left.set_title("Share of each predicted label")
        right.set_title(f"{name}: cumulative share of images")
        for index, (label, color) in enumerate((("reference", MUTED), ("production", ORANGE))):
            places = np.arange(len(classes)) + 0.4 * (index - 0.5)
            left.bar(places, shares[index], 0.4, color=color, label=label)
            right.ecdf(values[index], color=color, label=label)
        ticks = classes if len(classes) <= MAX_TICKS else ()
        left.set_xticks(range(len(ticks)), ticks, rotation=90)
        right.legend(frameon=False, labelcolor=MUTED)
        path.parent.mkdir(parents=True, exist_ok=True)
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    """Save with a palette of 256 colours: a third of the bytes that matplotlib would write."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def _draw_corruptions(figure: Figure, data: PlotData) -> None:
    draw_title(figure, "Accuracy by severity of the corruption")
    axes = figure.subplots()
    for name, rows in data.metrics["corruptions"].items():
        accuracy = [data.metrics["accuracy"], *(row["accuracy"] for row in rows)]
        axes.plot(range(len(accuracy)), accuracy, marker="o", label=name)
    axes.set(xlabel="severity, 0 is the test split as it is", ylabel="accuracy", ylim=(0, 1.02))
    axes.legend(frameon=False, labelcolor=MUTED)


def _draw_confusion_matrix(figure: Figure, data: PlotData) -> None:
    draw_title(figure, "Confusion matrix")
    axes = figure.subplots()
    draw_confusion_matrix(axes, data, counts=len(data.classes) <= 20, names=True)


def _draw_learning_curves(figure: Figure, data: PlotData) -> None:
    left, right = figure.subplots(1, 2)
    for axes, quantity in ((left, "loss"), (right, "accuracy")):
        axes.set_title(quantity.capitalize())
        draw_curves(axes, data.curves, quantity)


def _draw_mistakes(figure: Figure, data: PlotData) -> None:
    draw_title(figure, "Most confident mistakes: true → predicted")
    draw_gallery(figure, data, _num_mistake_rows(data), MISTAKE_COLUMNS)


def _num_mistake_rows(data: PlotData) -> int:
    num_mistakes = np.count_nonzero(~data.correct)
    return min(MISTAKE_ROWS, max(1, math.ceil(num_mistakes / MISTAKE_COLUMNS)))


def _draw_summary(figure: Figure, data: PlotData) -> None:
    """Draw the README's plot: the headline numbers above three panels."""
    header, body = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 2.9]).ravel()
    draw_headline(header, data)
    left, middle, right = body.subfigures(1, 3, squeeze=False).ravel()
    draw_title(left, "Accuracy by epoch")
    draw_curves(left.subplots(), data.curves, "accuracy")
    draw_title(middle, "Confusion matrix")
    draw_confusion_matrix(middle.subplots(), data, counts=False, names=len(data.classes) <= 25)
    draw_title(right, "Most confident mistakes")
    draw_gallery(right, data, 2, 2)
