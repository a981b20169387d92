"""What act adds: an unchanged pipeline from checkout to verdict, beside the same make targets.

uv run python -m benchmarks.act
"""

import statistics
import tempfile
from pathlib import Path

from tests.bakes import Bake
from tests.ci.act import Repository, clone, trained

from .project import generated, measure
from .report import write

REPETITIONS = 3
TARGETS = ("dvc-pull", "repro", "gate", "report", "pack-results")


def main() -> None:
    with generated() as project, tempfile.TemporaryDirectory() as folder:
        repository = clone(trained(Bake(project, output="")), Path(folder))
        under_act = [_under_act(repository) for _ in range(REPETITIONS)]
        alone = [_alone(repository, Path(folder, str(n))) for n in range(REPETITIONS)]
    write(
        "act",
        "An unchanged pipeline, from checkout to verdict",
        "python -m benchmarks.act",
        ["", f"seconds, median of {REPETITIONS}", "from", "to"],
        [_row("train.yml under act", under_act), _row("the same make targets", alone)],
    )


def _under_act(repository: Repository) -> float:
    command = repository.command("pull_request", "--eventpath", ".github/act/pull_request.json")
    workflow = ("--workflows", ".github/workflows/train.yml")
    return measure(repository.project.path, *command, *workflow).seconds


def _alone(repository: Repository, folder: Path) -> float:
    """Time a fresh clone with DVC's cache in it, as the workflow's first steps leave it."""
    cache = repository.store / "dvc-champion"
    seconds = measure(Path.cwd(), "git", "clone", "--quiet", str(repository.origin), str(folder))
    copied = measure(folder, "cp", "-a", str(cache), ".dvc/cache")
    made = [measure(folder, "make", target) for target in TARGETS]
    return sum(cost.seconds for cost in (seconds, copied, *made))


def _row(name: str, seconds: list[float]) -> list[str]:
    values = (statistics.median(seconds), min(seconds), max(seconds))
    return [name, *(f"{value:.1f}" for value in values)]


if __name__ == "__main__":
    main()
