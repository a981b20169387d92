"""Where and when a benchmark ran, and its table as a markdown file."""

import math
import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from scipy import stats

RESULTS = Path(__file__).parent / "results"


def hardware() -> str:
    """The processor's name and the number of its cores."""
    cpuinfo = Path("/proc/cpuinfo")
    name = platform.processor() or platform.machine()
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        name = next(models, name)
    return f"{name}, {os.cpu_count()} cores"


def write(
    name: str, title: str, command: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Print a table, and keep it in `results/<name>.md` with the command, hardware and date."""
    table = "\n".join(
        f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)
    )
    today = datetime.now(UTC).date().isoformat()
    text = f"# {title}\n\n{table}\n\nWritten by `{command}` on {hardware()}, {today}.\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)


def interval(values: Sequence[float], digits: int, sign: str = "") -> str:
    """The mean of some runs with its 95 % interval, by Student's t. sign: `+` to show it always."""
    mean, error = statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))
    half = float(stats.t.ppf(0.975, len(values) - 1)) * error
    shown = f"{sign}.{digits}f"
    return f"{mean:{shown}} ({mean - half:{shown}} to {mean + half:{shown}})"
