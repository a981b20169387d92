"""Run inside a generated project: the gate on simulated and on really retrained models, as JSON."""

import itertools
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from my_project.config import load_config
from my_project.data.dataset import load_info, load_split
from my_project.evaluation.gate import Result, judge
from my_project.evaluation.paired import visible_drop
from my_project.models import build_model
from my_project.models.predict import predict_logits
from my_project.paths import PREPARED
from my_project.training.loop import train

SIZES = (100, 360, 1000, 3000, 10_000)
DISAGREEMENTS = (0.01, 0.03, 0.1)
NUM_TRIALS = 1000
NUM_CLASSES = 10
CONFIG = load_config()
EVALUATE = replace(CONFIG.evaluate, bootstrap_samples=100)  # the interval decides nothing
EPOCHS = 8


def result_of(correct: np.ndarray, labels: np.ndarray) -> Result:
    """A result with an accuracy that the floor lets pass."""
    metrics = {"accuracy": 1.0, "test_hash": ""}
    no_feedback = np.zeros(len(labels), dtype=np.bool_)
    return Result(metrics, labels, np.where(correct, labels, "?"), no_feedback)


def is_stopped(candidate: np.ndarray, champion: np.ndarray, labels: np.ndarray) -> bool:
    verdict = judge(result_of(candidate, labels), {"the champion": champion}, CONFIG.gate, EVALUATE)
    return not verdict.passed


def simulate(size: int, disagreement: float, drop: float, rng: np.random.Generator) -> float:
    """The share of candidates that are stopped, in per cent."""
    labels = np.array([str(number % NUM_CLASSES) for number in range(size)])
    only_candidate, only_champion = (disagreement - drop) / 2, (disagreement + drop) / 2
    num_stopped = 0
    for _ in range(NUM_TRIALS):
        draw = rng.random(size)
        champion_alone = draw < only_champion
        candidate_alone = (draw >= only_champion) & (draw < only_champion + only_candidate)
        num_stopped += is_stopped(~champion_alone, ~candidate_alone, labels)
    return 100 * num_stopped / NUM_TRIALS


def simulated() -> list[list[str]]:
    rng = np.random.default_rng(0)
    allowed = CONFIG.gate.max_accuracy_drop
    return [
        [
            f"{size:,}",
            f"{100 * disagreement:.0f}",
            f"{simulate(size, disagreement, 0, rng):.1f}",
            f"{simulate(size, disagreement, 2 * allowed, rng):.1f}",
            f"{100 * visible_drop(size, disagreement, 0.025):.1f}",
        ]
        for size in SIZES
        for disagreement in DISAGREEMENTS
    ]


def real(num_seeds: int) -> list[str]:
    """Every pair of models that differ by their seed alone, both ways."""
    info = load_info(PREPARED)
    splits = {name: load_split(PREPARED, name) for name in ("train", "validation", "test")}
    test = splits["test"]
    labels = np.array(info.classes)[test.labels]
    models = []
    for seed in range(num_seeds):
        torch.manual_seed(seed)
        settings = replace(CONFIG.train, seed=seed, epochs=EPOCHS)
        model = build_model(CONFIG.model, info)
        with tempfile.TemporaryDirectory() as folder:
            state = train(
                model,
                splits["train"],
                splits["validation"],
                settings,
                device=torch.device("cpu"),
                checkpoint=Path(folder, "last.pt"),
                fingerprint="",
            )
        model.load_state_dict(state.best_weights)
        predicted = predict_logits(model.eval(), test.images).argmax(axis=1)
        models.append(predicted == test.labels)
    pairs = list(itertools.permutations(models, 2))
    allowed = CONFIG.gate.max_accuracy_drop
    stopped = sum(is_stopped(one, other, labels) for one, other in pairs)
    by_difference = sum(one.mean() - other.mean() < -allowed for one, other in pairs)
    disagreement = np.mean([np.mean(one != other) for one, other in pairs])
    return [
        str(len(pairs)),
        f"{stopped} ({100 * stopped / len(pairs):.1f} %)",
        f"{by_difference} ({100 * by_difference / len(pairs):.1f} %)",
        f"{100 * disagreement:.1f}",
    ]


print(json.dumps({"simulated": simulated(), "real": real(int(sys.argv[1]))}))
