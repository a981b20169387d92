"""`make tune`: look for better settings of training, on the validation split alone.

Optuna proposes the values of each trial from the results of those before (TPE: Bergstra et al.
2011, "Algorithms for Hyper-Parameter Optimization"), and a trial that after some epochs is worse
than most others is pruned. Writes build/tune/: the study, a table of all trials and a plot. The
same command goes on after an interruption. It needs `uv sync --group tune`, which make does.
"""

import argparse
from collections.abc import Callable
from functools import partial

import matplotlib.pyplot as plt
import optuna
import torch
from matplotlib import style
from matplotlib.ticker import NullFormatter
from optuna.pruners import MedianPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState

from ..config import PARAMS_FILE, parse_config, read_params
from ..data.dataset import DatasetInfo, Split, load_info, load_split
from ..errors import UserError
from ..files import write_csv, write_text
from ..models import build_model
from ..paths import BUILD, PREPARED
from ..provenance import run_fingerprint
from ..reporting.panels import BLUE, LIGHT_BLUE, STYLE
from ..stages._main import run_main
from ..stages.set_params import set_value
from ..training.device import choose_device
from ..training.loop import train
from ..training.state import EpochResult

FOLDER = BUILD / "tune"
STUDY = FOLDER / "study.db"
# What is tuned, and the values to choose from. Add a line for another key of params.yaml.
SPACE: dict[str, Callable[[Trial, str], float]] = {
    "train.learning_rate": lambda trial, key: trial.suggest_float(key, 3e-4, 3e-2, log=True),
    "train.weight_decay": lambda trial, key: trial.suggest_float(key, 1e-3, 0.3, log=True),
    "train.label_smoothing": lambda trial, key: trial.suggest_float(key, 0, 0.2, step=0.01),
    "train.batch_size": lambda trial, key: trial.suggest_int(key, 32, 256, log=True),
}
SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed, multivariate=True),
    "random": lambda seed: RandomSampler(seed=seed),
}
PRUNED_FROM = 4  # trials on: with fewer, nobody knows what is worse than most


def main() -> None:
    """Run trials until there are `--trials` of them, and show the best.

    Raises:
        UserError: there is no trial to take values from.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20, help="number of trials in all")
    parser.add_argument("--sampler", choices=SAMPLERS, default="tpe")
    parser.add_argument("--seed", type=int, default=0, help="of the sampler")
    parser.add_argument("--write", action="store_true", help="write the best to params.yaml")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = open_study(SAMPLERS[options.sampler], options.seed)
    splits = load_split(PREPARED, "train"), load_split(PREPARED, "validation")
    objective = partial(run_trial, load_info(PREPARED), *splits)
    while len(finished(study)) < options.trials:
        study.optimize(objective, n_trials=1)
        print(describe(finished(study)[-1]), flush=True)
    if not finished(study):
        raise UserError("there is no trial: give --trials a number above 0")
    write_results(study)
    print(f"best: {describe(study.best_trial)}\nall of them: {FOLDER}/trials.csv and history.svg")
    if options.write:
        write_text(PARAMS_FILE, with_values(study.best_trial.params))
        print(f"written to {PARAMS_FILE}: `make repro` trains with it")


def open_study(sampler: Callable[[int], BaseSampler], seed: int) -> optuna.Study:
    """The study of the present data, code and settings; a change of them begins another."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{STUDY}",
        study_name=run_fingerprint(parse_config(read_params()), load_info(PREPARED))[:16],
        direction="maximize",
        pruner=MedianPruner(n_startup_trials=PRUNED_FROM, n_warmup_steps=1),
        load_if_exists=True,
    )
    for trial in study.get_trials(states=[TrialState.RUNNING]):  # what was killed
        study.tell(trial.number, state=TrialState.FAIL)
    # Started anew with the same seed, it would propose the first trials again.
    study.sampler = sampler(seed + 1000 * len(study.trials))
    return study


def run_trial(info: DatasetInfo, training: Split, validation: Split, trial: Trial) -> float:
    """Train with the values of one trial, and return the best validation accuracy."""
    config = parse_config(with_values({key: suggest(trial, key) for key, suggest in SPACE.items()}))

    def report(epoch: EpochResult) -> None:
        trial.report(epoch.validation_accuracy, epoch.epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    torch.manual_seed(config.train.seed)
    state = train(
        build_model(config.model, info),
        training,
        validation,
        config.train,
        device=choose_device(config.train.device),
        checkpoint=FOLDER / "last.pt",
        fingerprint=f"{trial.study.study_name} {trial.number}",
        on_epoch=report,
    )
    return state.best.validation_accuracy


def with_values(values: dict[str, float]) -> str:
    """The text of params.yaml with these values, to three digits; comments stay."""
    text = read_params()
    for key, value in values.items():
        text = set_value(text, f"{key}={value:.3g}")
    return text


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that ended by themselves or were pruned, in their order."""
    trials: list[optuna.trial.FrozenTrial]
    trials = study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])
    return trials


def describe(trial: optuna.trial.FrozenTrial) -> str:
    """One line on a trial: its accuracy, or that it was pruned, and its values."""
    values = " ".join(f"{key}={value:.3g}" for key, value in trial.params.items())
    result = f"{trial.value:.4f}" if trial.state == TrialState.COMPLETE else "pruned"
    return f"trial {trial.number}: {result} {values}"


def write_results(study: optuna.Study) -> None:
    """Write trials.csv, and history.svg with the best accuracy so far and each value's part."""
    trials = finished(study)
    rows = ([t.number, t.state.name, t.value, *t.params.values()] for t in trials)
    write_csv(FOLDER / "trials.csv", ["trial", "state", "validation_accuracy", *SPACE], rows)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    accuracies = [trial.value or 0 for trial in complete]
    with style.context(STYLE):
        figure, panels = plt.subplots(
            1, 1 + len(SPACE), figsize=(12, 3), sharey=True, layout="constrained"
        )
        best = [max(accuracies[: n + 1]) for n in range(len(accuracies))]
        numbers = [trial.number for trial in complete]
        panels[0].plot(numbers, best, color=BLUE, drawstyle="steps-post", label="best so far")
        panels[0].scatter(numbers, accuracies, color=LIGHT_BLUE)
        panels[0].set(xlabel="trial", ylabel="validation accuracy")
        panels[0].legend()
        for panel, key in zip(panels[1:], SPACE, strict=True):
            panel.scatter([trial.params[key] for trial in complete], accuracies, color=BLUE)
            panel.set_xlabel(key)
            if getattr(trials[0].distributions[key], "log", False):
                panel.set_xscale("log")
                panel.xaxis.set_major_formatter("{x:g}")
                panel.xaxis.set_minor_formatter(NullFormatter())
        figure.savefig(FOLDER / "history.svg")
        plt.close(figure)


if __name__ == "__main__":
    run_main(main)
