"""How often `make drift` raises an alarm on Fashion-MNIST, and what it takes on many rows.

    uv run python -m benchmarks.drift --data FOLDER

FOLDER holds the four official files. Each stream is drawn from the test images; the reference is
the one that `export` wrote.
"""

import argparse
import json
from pathlib import Path

from .project import generated, measure, served_folder
from .report import write

PEERS = Path(__file__).parent / "peers"
COMMAND = "python -m benchmarks.drift --data FOLDER"
EPOCHS = 3  # enough for a model that shifts can be seen through
NUM_ROWS = (10_000, 10_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the official files")
    data: Path = parser.parse_args().data
    with generated({"dataset": "fashion-mnist"}) as project, served_folder(data) as url:
        measure(project, "make", "setup")
        measure(project, "make", "params", env={"PARAMETERS": f"train.epochs={EPOCHS}"})
        measure(project, "uv", "run", "dvc", "repro", "export", env={"DATA_SOURCE_URL": url})
        command = ("uv", "run", "python", str(PEERS / "drift.py"))
        found = json.loads(measure(project, *command).output.splitlines()[-1])
        rows = [_look_through(project, num_rows) for num_rows in NUM_ROWS]
    write(
        "drift",
        "Alarms of `make drift` on Fashion-MNIST, by the number of images of a stream",
        COMMAND,
        ["stream", "streams", *(f"{size:,} images" for size in found["sizes"]), "accuracy, %"],
        found["rows"],
    )
    columns = ["stored predictions, in SQLite", "seconds", "highest resident memory, MB"]
    write("drift-rows", "`make drift` on many predictions", COMMAND, columns, rows)


def _look_through(project: Path, num_rows: int) -> list[str]:
    """What `make drift` takes where so many predictions are stored."""
    database = project / f"{num_rows}.db"
    measure(project, "uv", "run", "python", str(PEERS / "rows.py"), str(database), str(num_rows))
    command = ("uv", "run", "python", "-m", "my_project.monitoring.drift")
    cost = measure(project, *command, env={"DATABASE_URL": f"sqlite:///{database}"})
    database.unlink()
    return [f"{num_rows:,}", f"{cost.seconds:.1f}", f"{cost.peak_mb:,.0f}"]


if __name__ == "__main__":
    main()
