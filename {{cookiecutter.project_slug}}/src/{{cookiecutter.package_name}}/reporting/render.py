"""Markdown from the files in `templates/`, and the filters that they share."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape


def render(name: str, **values: object) -> str:
    """Fill in `templates/{name}.md.j2`; ends with one newline. A missing value is an error."""
    return TEMPLATES.get_template(f"{name}.md.j2").render(values).rstrip() + "\n"


def cell(value: object) -> str:
    """Text for a cell of a table, which a `|` in it does not end."""
    return str(value).replace("|", "\\|")


def percent(value: float, digits: int = 1) -> str:
    """Write a share between 0 and 1 in per cent."""
    return f"{100 * value:.{digits}f} %"


def with_interval(metrics: dict[str, Any], key: str, digits: int = 1) -> str:
    """Write a metric of `metrics/evaluation.json` and its 95 % interval."""

    def form(value: float) -> str:
        return f"{value:.{digits + 2}f}" if key in ("nll", "ece") else percent(value, digits)

    low, high = metrics[f"{key}_ci95"]
    return f"{form(metrics[key])} ({form(low)} to {form(high)})"


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(),  # HTML only, so not here
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {
    "cell": cell,
    "percent": percent,
    "decimals": "{:.4f}".format,
    "thousands": "{:,}".format,
    "with_interval": with_interval,
}
