"""The cards and the README's results say what was measured, in Markdown that renders."""

import subprocess
import sys
from typing import Any

import pytest

from my_project.data.dataset import DatasetInfo
from my_project.metadata import ModelMetadata
from my_project.preprocess import ImageSpec
from my_project.reporting.cards import (
    END,
    START,
    data_card,
    model_card,
    readme_results,
    replace_results,
)

IMAGE = ImageSpec(3, 16, 16)
CLASSES = ("cat", "big|dog")
TRAINING: dict[str, Any] = {
    "epochs": 12,
    "best_epoch": 9,
    "best_validation_accuracy": 0.9125,
    "seconds": 61.4,
    "images_per_second": 2345.6,
    "num_parameters": 288170,
    "device": "cpu",
    "hardware": "a laptop, 2 cores",
}


def make_info(skipped: int = 0) -> DatasetInfo:
    return DatasetInfo(
        name="image-folder",
        classes=CLASSES,
        image=IMAGE,
        counts={
            "train": {"cat": 1000, "big|dog": 500},
            "validation": {"cat": 100, "big|dog": 50},
            "test": {"cat": 200, "big|dog": 100},
        },
        mean=(0.1, 0.2, 0.3),
        std=(0.4, 0.5, 0.6),
        num_from_feedback={"train": 3, "validation": 1, "test": 2},
        num_copies=0,
        ignored={},
        skipped=tuple((f"cat/{index}.png", "cut off") for index in range(skipped)),
        content_hash="sha256:0123456789abcdef",
    )


@pytest.fixture
def metadata() -> ModelMetadata:
    headline = {"accuracy": 0.98765, "precision_macro": 0.9, "recall_macro": 0.9, "f1_macro": 0.9}
    metrics: dict[str, Any] = headline | {"nll": 0.1234, "ece": 0.0456}
    metrics |= {f"{key}_ci95": [value / 2, value] for key, value in metrics.items()}
    row = {"precision": 0.5, "recall": 0.25, "f1": 0.333, "support": 100}
    metrics |= {"ece_chance": 0.0123, "num_test": 300}
    metrics["production"] = {"num_images": 12, "accuracy": 0.75, "accuracy_ci95": [0.5, 0.95]}
    metrics["compression"] = {
        "methods": ["pruning", "int8"],
        "num_parameters": 72666,
        "accuracy_before": 0.988,
        "difference": -0.0012,
        "difference_ci95": [-0.0031, 0.0008],
    }
    metrics["per_class"] = dict.fromkeys(CLASSES, row)
    metrics["baseline"] = {
        "name": "logistic regression",
        "accuracy": 0.8421,
        "mcnemar_p": 1e-9,
        "num_train": 1500,
        "only_model_right": 1234,
        "only_baseline_right": 7,
    }
    return ModelMetadata(
        model="resnet",
        classes=CLASSES,
        image=IMAGE,
        sha256="f" * 64,
        commit="abc1234",
        data_hash="sha256:0123456789abcdef",
        created="2026-01-02T03:04:05+00:00",
        hardware="a laptop, 2 cores",
        params={"model": {"name": "resnet", "resnet": {"width": 16}}},
        metrics=metrics,
    )


def tables_of(markdown: str) -> list[list[str]]:
    """Group the lines of each table, so that their columns can be counted."""
    tables: list[list[str]] = [[]]
    for line in markdown.splitlines():
        if line.startswith("|"):
            tables[-1].append(line.replace("\\|", ""))
        elif tables[-1]:
            tables.append([])
    return [table for table in tables if table]


def test_the_data_card_counts_images_by_class_and_split() -> None:
    card = data_card(make_info())
    assert "| cat | 1000 | 100 | 200 |" in card
    assert "| **all** | **1,500** | **150** | **300** |" in card
    assert "sha256:0123456789abcdef" in card
    assert "Every image could be used" in card


def test_the_data_card_counts_all_skipped_files_and_names_the_first() -> None:
    card = data_card(make_info(skipped=25))
    assert "25 images that could not be used" in card
    assert "| cat/19.png | cut off |" in card
    assert "cat/20.png" not in card


def test_the_model_card_states_metrics_with_intervals_and_origin(metadata: ModelMetadata) -> None:
    card = model_card(metadata, make_info(), TRAINING)
    assert "| accuracy | 98.8 % (49.4 % to 98.8 %) |" in card
    assert "| cat | 50.0 % | 25.0 % | 33.3 % | 100 |" in card
    assert " of the test split" in card
    assert "compressed model (pruning, int8)" in card
    assert "| parameters | 72,666 |" in card
    assert "98.8 %, by -0.12 (-0.31 to +0.08) points" in card
    assert "has an accuracy of 84.2 %. The model alone is right on 1,234 test images" in card
    assert "p < 0.001" in card
    assert "| `model.resnet.width` | 16 |" in card
    assert "a validation accuracy of 91.2 %" in card
    for origin in (metadata.commit, metadata.data_hash, metadata.sha256, metadata.created):
        assert origin in card


def test_the_readmes_results_have_plot_numbers_and_origin(metadata: ModelMetadata) -> None:
    results = readme_results(metadata, TRAINING)
    assert "(reports/summary.png)" in results
    assert "| **resnet**, 72,666 parameters | 98.8 % (49.4 % to 98.8 %) |" in results
    assert "on 2026-01-02 from commit `abc1234`, data `0123456789ab`" in results
    assert "a laptop, 2 cores" in results


def test_every_row_of_a_table_has_as_many_cells_as_its_header(metadata: ModelMetadata) -> None:
    info = make_info(skipped=2)
    cards = (
        data_card(info),
        model_card(metadata, info, TRAINING),
        readme_results(metadata, TRAINING),
    )
    tables = [table for card in cards for table in tables_of(card)]
    assert len(tables) == 7
    for table in tables:
        assert len({line.count("|") for line in table}) == 1


def test_only_the_readmes_results_are_replaced_and_twice_changes_nothing() -> None:
    readme = f"# Title\n\n{START}\nold\n{END}\n\nend\n"
    replaced = replace_results(readme, "new\n")
    assert replaced == f"# Title\n\n{START}\nnew\n{END}\n\nend\n"
    assert replace_results(replaced, "new\n") == replaced


@pytest.mark.parametrize("readme", ["# Title\n", f"{START}\n", f"{END}\n{START}\n"])
def test_a_readme_without_both_markers_is_left_alone(readme: str) -> None:
    assert replace_results(readme, "new\n") == readme


def test_the_cards_import_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, my_project.reporting.cards;"
        "sys.exit(bool({'torch', 'matplotlib'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
