"""The parts of the plots, each drawn into a figure or axes that the caller provides."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from ..evaluation.calibration import reliability

STYLE = Path(__file__).with_name("plots.mplstyle")
INK, MUTED, PAPER = "#1b2430", "#66717f", "#fcfcfd"
BLUE, LIGHT_BLUE, PALE_BLUE, ORANGE = "#2563c9", "#8fb4ee", "#dde8fa", "#d9571a"
CORRECT_COLORS = LinearSegmentedColormap.from_list("correct", ["#e6effc", "#7fabec", "#2563c9"])
MISTAKE_COLORS = LinearSegmentedColormap.from_list("mistakes", ["#fdeadd", "#f2a36f", "#d9571a"])

FEW = 10  # images in a bin; the accuracy of fewer says little
MAX_NAME = 16  # characters of a class name


@dataclass(frozen=True)
class PlotData:
    """All that the plots are drawn from.

    Attributes:
        images: the test split, uint8 (N, C, H, W).
        labels: index of each image's true class, (N,).
        predicted: index of its predicted class, (N,).
        confidence: probability of the predicted class, (N,).
        metrics: as in `metrics/evaluation.json`.
        curves: the columns of `metrics/curves.csv` by name, each (epochs,).
        num_bins: of the reliability diagram.
    """

    title: str
    classes: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    metrics: dict[str, Any]
    curves: npt.NDArray[np.void]
    num_bins: int

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.predicted == self.labels)


def draw_title(figure: Figure | SubFigure, text: str) -> None:
    """Put a title above a figure, 0.2 inches from its left edge whatever its width."""
    inches = figure.bbox.width / figure.dpi
    figure.suptitle(text, x=0.2 / inches, ha="left", weight="bold", size=11)


def draw_headline(figure: SubFigure, data: PlotData) -> None:
    """Write the four most important numbers in large type."""
    metrics = data.metrics
    low, high = (100 * bound for bound in metrics["accuracy_ci95"])
    interval = f"test accuracy (95 % interval {low:.1f} to {high:.1f})"
    baseline = metrics["baseline"]
    numbers = (
        (f"{100 * metrics['accuracy']:.1f} %", interval, BLUE),
        (f"{100 * baseline['accuracy']:.1f} %", baseline["name"], MUTED),
        (f"{metrics['ece']:.3f}", "calibration error", MUTED),
        (f"{len(data.labels):,}", "test images", MUTED),
    )
    figure.text(0.02, 0.88, data.title, size=11, weight="bold", va="top")
    for x, (number, label, color) in zip((0.02, 0.42, 0.64, 0.84), numbers, strict=True):
        figure.text(x, 0.28, number, size=25, weight="bold", color=color)
        figure.text(x, 0.06, label, size=9, color=MUTED)


def draw_curves(axes: Axes, curves: npt.NDArray[np.void], quantity: str) -> None:
    """Draw training and validation curve of a quantity, and mark the epoch that was kept."""
    epochs = curves["epoch"]
    for split, color in (("train", MUTED), ("validation", BLUE)):
        axes.plot(epochs, curves[f"{split}_{quantity}"], color=color, label=split)
    # As in training: the highest accuracy, and of equal ones the lowest loss.
    best = np.lexsort((curves["validation_loss"], -curves["validation_accuracy"]))[0]
    value = curves[f"validation_{quantity}"][best]
    axes.plot(epochs[best], value, "o", color=ORANGE, markersize=7, label=f"best, {value:.4g}")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.legend(frameon=False, fontsize=9, labelcolor=MUTED)


def draw_confusion_matrix(axes: Axes, data: PlotData, *, counts: bool, names: bool) -> None:
    """Draw true classes as rows, coloured by share of the row: correct blue, mistakes orange."""
    num_classes = len(data.classes)
    pairs = np.bincount(data.labels * num_classes + data.predicted, minlength=num_classes**2)
    matrix = pairs.reshape(num_classes, num_classes)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    diagonal = np.eye(num_classes, dtype=bool)
    axes.imshow(np.ma.masked_where(~diagonal, share), cmap=CORRECT_COLORS, vmin=0, vmax=1)
    # The square root makes rare mistakes visible.
    mistakes = np.ma.masked_where(diagonal | (matrix == 0), np.sqrt(share))
    axes.imshow(mistakes, cmap=MISTAKE_COLORS, vmin=0, vmax=0.7)
    if counts:
        for row, column in np.argwhere(matrix):
            color = PAPER if share[row, column] > (0.5 if row == column else 0.25) else INK
            text = str(matrix[row, column])
            axes.text(column, row, text, ha="center", va="center", size=8, color=color)
    size = float(np.clip(220 / num_classes, 4.5, 9))
    ticks = [_short(name) for name in data.classes] if names else []
    axes.set_xticks(range(len(ticks)), ticks, rotation=90, size=size)
    axes.set_yticks(range(len(ticks)), ticks, size=size)
    axes.set(xlabel="predicted", ylabel="true", anchor="N")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def draw_gallery(
    figure: Figure | SubFigure, data: PlotData, num_rows: int, num_columns: int
) -> None:
    """Show the mistakes with the highest confidence, each as "true → predicted"."""
    mistakes = np.flatnonzero(~data.correct)
    order = np.argsort(-data.confidence[mistakes], kind="stable")
    grid = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    if not len(mistakes):
        text = "None: every test image is classified correctly."
        grid[0].set_title(text, loc="left", weight="normal")
    for axes, index in zip(grid, mistakes[order], strict=False):
        pixels = data.images[index].transpose(1, 2, 0)  # (H, W, C)
        axes.imshow(pixels.squeeze(), cmap="gray", vmin=0, vmax=255)
        axes.set_anchor("N")
        true = _short(data.classes[data.labels[index]])
        predicted = _short(data.classes[data.predicted[index]])
        arrow = " → " if len(true + predicted) < 20 else "\n→ "
        text = f"{true}{arrow}{predicted}\n{100 * data.confidence[index]:.1f} %"
        axes.set_title(text, size=8.5, weight="normal", loc="center", pad=4)


def draw_reliability(figure: Figure, data: PlotData) -> None:
    """Draw accuracy by confidence, and below it the share of images with each confidence."""
    bins = reliability(data.confidence, data.correct, data.num_bins)
    width = 1 / data.num_bins
    centers = (np.arange(data.num_bins) + 0.5) * width
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    few = bins.count < FEW
    for mask, color, label in (
        (~few, LIGHT_BLUE, "accuracy"),
        (few, PALE_BLUE, f"accuracy, fewer than {FEW} images"),
    ):
        top.bar(centers[mask], bins.accuracy[mask], width * 0.88, color=color, label=label)
    top.plot([0, 1], [0, 1], color=MUTED, linestyle=(0, (2, 3)), linewidth=1.5, label="ideal")
    gaps = np.sort([bins.accuracy, bins.confidence], axis=0)
    top.vlines(bins.confidence[~few], *gaps[:, ~few], color=ORANGE, linewidth=3, label="gap")
    top.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
    top.set_title(f"Reliability (calibration error {data.metrics['ece']:.3f})")
    figure.legend(frameon=False, labelcolor=MUTED, loc="outside lower center", ncols=2)
    bottom.bar(centers, bins.count / bins.count.sum(), width * 0.88, color=MUTED)
    bottom.set(xlabel="confidence", ylabel="share")


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"
