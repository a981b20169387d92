"""Stage 7: write what people read, from the files of the other stages: plots, cards, README.

Plots and cards are outputs of the stage for DVC. README and case study are not, because people edit
them, too.
"""

import csv

import numpy as np

from ..config import load_config
from ..data.dataset import DatasetInfo, load_info, load_split
from ..files import read_json, write_text
from ..metadata import ModelMetadata
from ..paths import CURVES, DOCS, MODEL, PREDICTIONS, PREPARED, README, REPORTS, TRAINING
from ..reporting.cards import data_card, model_card, readme_results, replace_results
from ..reporting.case_study import case_study
from ..reporting.panels import PlotData
from ..reporting.plots import write_plots
from ._main import run_main


def main() -> None:
    info, metadata, training = load_info(PREPARED), ModelMetadata.load(MODEL), read_json(TRAINING)
    write_plots(_plot_data(info, metadata), REPORTS)
    write_text(DOCS / "data-card.md", data_card(info))
    write_text(DOCS / "model-card.md", model_card(metadata, info, training))
    study = DOCS / "case-study.md"
    earlier = study.read_text(encoding="utf-8") if study.exists() else ""
    write_text(study, case_study(earlier, metadata, info, training))
    readme = README.read_text(encoding="utf-8")
    write_text(README, replace_results(readme, readme_results(metadata, training)))


def _plot_data(info: DatasetInfo, metadata: ModelMetadata) -> PlotData:
    with PREDICTIONS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    indices = {name: index for index, name in enumerate(info.classes)}
    return PlotData(
        title=f"{info.name} · {metadata.model}",
        classes=info.classes,
        images=load_split(PREPARED, "test").images,
        labels=np.array([indices[row["label"]] for row in rows]),
        predicted=np.array([indices[row["prediction"]] for row in rows]),
        confidence=np.array([float(row["confidence"]) for row in rows]),
        metrics=metadata.metrics,
        curves=np.atleast_1d(np.genfromtxt(CURVES, delimiter=",", names=True)),
        num_bins=load_config().evaluate.num_bins,
    )


if __name__ == "__main__":
    run_main(main)
