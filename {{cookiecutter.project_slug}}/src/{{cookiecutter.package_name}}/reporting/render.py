"""Texts from the files in `templates/`, and the filters that they share."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape


def render(name: str, **values: object) -> str:
    """Fill in `templates/{name}.j2`; the result ends with one newline.

    Raises:
        jinja2.UndefinedError: the template names a value that is not given.
    """
    return TEMPLATES.get_template(f"{name}.j2").render(values).rstrip() + "\n"


def cell(value: object) -> str:
    """Escape text for a cell of a table, which a `|` would end."""
    return str(value).replace("|", "\\|")


def percent(value: float, digits: int = 1) -> str:
    """Format a fraction as in `98.1 %`."""
    return f"{100 * value:.{digits}f} %"


def points(value: float) -> str:
    """Format a difference of two accuracies in percentage points, with its sign."""
    return f"{100 * value:+.2f}"


def with_interval(metrics: dict[str, Any], key: str, digits: int = 1) -> str:
    """Format a metric of `metrics/evaluation.json` with its 95 % interval."""

    def form(value: float) -> str:
        return f"{value:.{digits + 2}f}" if key in ("nll", "ece") else percent(value, digits)

    if key == "ece":
        return f"{form(metrics[key])} (by chance alone {form(metrics['ece_chance'])})"
    low, high = metrics[f"{key}_ci95"]
    return f"{form(metrics[key])} ({form(low)} to {form(high)})"


def points_with_interval(comparison: dict[str, Any]) -> str:
    """Format `difference` and its 95 % interval in percentage points."""
    low, high = map(points, comparison["difference_ci95"])
    return f"{points(comparison['difference'])} ({low} to {high})"


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html.j2"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {
    "cell": cell,
    "percent": percent,
    "points": points,
    "points_with_interval": points_with_interval,
    "decimals": "{:.4f}".format,
    "thousands": "{:,}".format,
    "whole": "{:,.0f}".format,
    "with_interval": with_interval,
}
