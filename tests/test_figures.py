"""The README's figures are those of the benchmarks' tables."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = " ".join((ROOT / "README.md").read_text().split())
OURS = "this project's loop, `precision: {}`"
SCRATCH, PRETRAINED = "CNN from scratch", "pretrained, head first"
WITH_LOADER = "{}, `DataLoader` with 2 workers"


def rows(table: str) -> list[list[str]]:
    """The cells of a table, its head first."""
    lines = (ROOT / "benchmarks" / "results" / f"{table}.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    return [cells[0], *cells[2:]]


def row(table: str, *first: str) -> dict[str, str]:
    """The row of a table that begins with these cells, by column."""
    columns, *others = rows(table)
    [found] = [cells for cells in others if cells[: len(first)] == list(first)]
    return dict(zip(columns, found, strict=True))


def number(cell: str) -> float:
    return float(cell.replace(",", ""))


def training() -> list[str]:
    auto, float32, usual, lightning = (
        number(row("training", name)["images/s"])
        for name in (
            OURS.format("auto"),
            OURS.format("float32"),
            WITH_LOADER.format("usual loop"),
            WITH_LOADER.format("Lightning's `Trainer`"),
        )
    )
    assert f"{auto / usual:.1f}" == f"{auto / lightning:.1f}"
    return [
        f"{auto / usual:.1f} times as fast as the usual loop with a `DataLoader`, "
        "and as Lightning's",
        f"{float32 / usual:.1f} times by the loop",
    ]


def processes() -> list[str]:
    exact, own = (
        number(row("processes", "2", exact)["times as fast as one"]) for exact in ("true", "false")
    )
    return [
        f"Two processes were {own:.1f} times as fast as one with `sync_batch_norm: false`, "
        f"and {exact:.1f} times with the exact one"
    ]


def memory() -> list[str]:
    few, many = (
        number(row("memory", "on the disk, memory-mapped", count)["highest resident memory, MB"])
        for count in ("62,500", "1,000,000")
    )
    few, many = round(few, -1), round(many, -1)
    return [f"trained on in {many:.0f} MB of memory; 62,500 took {few:.0f} MB"]


def others() -> list[str]:
    demo = row("first-run", "**`make demo`, to served predictions**")["seconds"].strip("*")
    resnet = row("fashion-mnist", "resnet")["test accuracy (95 % interval)"].split()[0]
    container = row("containers", "FastAPI, ONNX Runtime")
    size, ready = container["added to the base image, MB"], container["start to ready, s"]
    return [
        f"`make demo` took {demo} s",
        f"The ResNet got {100 * float(resnet):.1f} % of",
        f"added {size} MB to its base and was ready in {ready} s",
    ]


def serving() -> list[str]:
    def speed_up(peer: str, settings: str, connections: int) -> str:
        ours, theirs = (
            number(row("serving", name, settings)[f"requests/s at {connections} connections"])
            for name in ("this project's service, all protections on", peer)
        )
        return f"{ours / theirs:.1f}"

    plain = "FastAPI + ONNX Runtime"
    one, two = (
        [speed_up(plain, workers, connections) for connections in (16, 64)]
        for workers in ("1 worker", "2 workers")
    )
    overload = dict(rows("overload"))
    return [
        f"{one[0]} times the requests of plain FastAPI with ONNX Runtime at 16 connections and "
        f"{one[1]} times at 64; with two workers {two[0]} and {two[1]} times",
        f"{overload['during'].split(', ')[1]} of the good answers",
    ]


def loop() -> list[str]:
    found = dict(rows("loop"))
    changes = [
        [found[f"{images}, {when}"].split(" (")[0] for when in ("before", "after")]
        for images in ("the next 2,000 shifted images", "original test set")
    ]
    words = [f"from {before} to {after}" for before, after in changes]
    sent, failed = found["requests during the release"], found["of these failed"]
    return [*words, f"of {sent} requests during the release, {failed} failed"]


def attacks() -> list[str]:
    found = dict(rows("attacks"))
    return [
        f"{found['answered with 200']} of another key's requests",
        f"99 of 100 within {found['p99 under attack, ms']} ms",
        f"at most {found['largest memory, MB']} MB",
    ]


def site() -> list[str]:
    _, *found = rows("site")
    assert [other for _, _, _, other, _ in found] == ["0"] * len(found)
    test, photographs = (
        max(float(difference) for _, images, _, _, difference in found if kind in images)
        for kind in ("test set", "photographs")
    )
    assert test < 1e-6
    return ["probabilities to the sixth digit", f"probabilities within {photographs:.1e}"]


def compress() -> list[str]:
    found = row("compress", "resnet", "distillation into the CNN, int8")
    change = found["difference in points (95 % paired interval)"]
    return [f"{found['size']} of its size", f"{change} points"]


def robustness() -> list[str]:
    before, after = (
        row("calibration", when)["calibration error (95 % interval)"].split(" (")[0]
        for when in ("before", "after")
    )
    planted = row("slices", "200 images planted")
    assert planted["exit code of the gate"] == "1"
    share = 100 * float(planted["its accuracy"].split(" (")[0])
    assert float(row("tune", "TPE")["gain in points (95 % interval)"].split(" (")[0]) <= 0
    return [f"from {before} to {after}", f"right on in {share:.1f} % of cases"]


def test_the_page_on_compression_has_the_tables_figures() -> None:
    page = (ROOT / "{{cookiecutter.project_slug}}/docs/compression.md").read_text(encoding="utf-8")
    lines = [line.split("|")[1:-1] for line in page.splitlines() if "int8 | " in line]
    found = {(cells[3].strip(), cells[4].strip(), cells[7].strip()) for cells in rows("compress")}
    said = [tuple(cell.strip() for cell in cells[2:]) for cells in lines]
    assert len(said) == 5
    assert set(said) <= found


def transfer() -> list[str]:
    scratch, found = (row("transfer", name) for name in (SCRATCH, PRETRAINED))
    accuracy, other = (each["test accuracy in % (95 % interval)"] for each in (found, scratch))
    return [
        f"got {accuracy.split()[0]} % of the test images right, and the CNN {other.split()[0]} %",
        f"a gain of {found['gain in points (95 % paired interval)']} points",
    ]


def test_the_page_on_few_images_has_the_tables_figures() -> None:
    page = (ROOT / "{{cookiecutter.project_slug}}/docs/few-images.md").read_text(encoding="utf-8")
    said = [line for line in page.splitlines() if line.startswith(("| CNN", "| pretrained"))]
    columns = (0, 1, 3, 4)
    table = [[cells[column] for column in columns] for cells in rows("transfer")[1:]]
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in said] == table
    cnn = row("fashion-mnist", "cnn")
    accuracy = float(cnn["test accuracy (95 % interval)"].split()[0])
    text = " ".join(page.split())
    assert f"the CNN gets {100 * accuracy:.1f} % by itself" in text
    assert f"against {number(cnn['parameters']) / 1000:.0f} thousand of that CNN" in text


def test_the_page_on_many_images_has_the_tables_figures() -> None:
    page = (ROOT / "{{cookiecutter.project_slug}}/docs/many-images.md").read_text(encoding="utf-8")
    text = " ".join(page.split())
    rate = row("many-images", "one process")["images/s"]
    two, apart = (
        number(cells[3].split(" (")[0])
        for cells in rows("many-images")[1:]
        if cells[0].startswith(("two processes", "for comparison")) and " (" in cells[3]
    )
    assert f"one process took {rate} images/s, and two were {two} times as fast" in text
    assert f"share nothing were {apart} times as fast" in text
    assert f"At {rate} images/s" in text
    assert f"takes {1e8 / number(rate) / 3600:.0f} core-hours" in text


@pytest.mark.parametrize(
    "phrases",
    [
        *(training, processes, memory, others, serving, loop, attacks, site, compress, robustness),
        transfer,
    ],
)
def test_the_readme_says_what_was_measured(phrases: Callable[[], list[str]]) -> None:
    for phrase in phrases():
        assert phrase in README


def test_all_tables_are_of_the_machines_that_the_readme_names() -> None:
    text = (ROOT / "README.md").read_text()
    for part in text.partition("## Measured")[2].split("On two cores of an ")[1:]:
        machine = part.partition(", on the days")[0]
        files = re.findall(r"\((benchmarks/results/\S+\.md)\)", part.partition("\n## ")[0])
        assert files
        for file in files:
            assert f" on {machine}, 2 cores, " in (ROOT / file).read_text(), file
