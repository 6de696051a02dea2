"""Searches for settings: every trial trains on what came first and is judged on what came after.

Trials are kept in a SQLite study, so that a search that was stopped goes on where it ended. Only validation
is looked at.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import optuna
import torch
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from training.config import Config, make_config, read_settings
from training.eligibility import add_policy
from training.errors import EmptyDataError, OutputError, SettingError
from training.examples import Examples, LearningData, encode_examples
from training.loop import Stage, make_trainer, run_epoch
from training.run import identify_data, read_data
from training.split import Validation, split_by_time

Suggest = Callable[[optuna.Trial], dict[str, Any]]


def tune(
    data: Path,
    study_path: Path,
    *,
    model: str,
    values: dict[str, Any],
    trial_count: int,
    console: Console,
    policy: Path | None = None,
) -> dict[str, Any]:
    """Runs trials until the study has `trial_count` that were finished or given up.

    Args:
        data: a data directory.
        study_path: the SQLite file; made if absent.
        model: which model.
        values: settings of all trials; those that a trial draws take their place.
        trial_count: how many trials the study shall have.
        console: where each trial is told.
        policy: as `training.run.train` has it.

    Returns:
        The best trial's settings.

    Raises:
        TrainingError: see its tree.
    """
    if model not in _SPACES:
        raise SettingError(f"model: expected one of {sorted(_SPACES)}, got {model!r}")
    config = make_config(model, values)
    torch.set_num_threads(config.thread_count)
    learning_data = read_data(data, config, policy)
    examples, validation = _hold_out(learning_data, config)
    study = _open_study(study_path, _name_study(learning_data, config), seed=config.seed)

    def run_trial(trial: optuna.Trial) -> float:
        chosen = make_config(model, {**values, **_SPACES[model](trial)})
        return _run_trial(trial, examples, validation, chosen)

    def tell(_: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        console.print(_describe(trial), highlight=False, markup=False)

    done = len([trial for trial in study.trials if trial.state.is_finished()])
    study.optimize(run_trial, n_trials=max(0, trial_count - done), callbacks=[tell])
    return {**values, **study.best_params}


def _suggest_two_tower(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 3e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-5, 0.3, log=True),
        "history_dropout": trial.suggest_float("history_dropout", 0.0, 0.6),
        "id_dropout": trial.suggest_float("id_dropout", 0.0, 0.5),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "half_life_days": trial.suggest_float("half_life_days", 15.0, 2000.0, log=True),
    }


def _suggest_mf(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 3e-2, log=True),
        "l2": trial.suggest_float("l2", 0.01, 1.0, log=True),
        "negative_weight": trial.suggest_float("negative_weight", 0.5, 30.0, log=True),
    }


_SPACES: Final[dict[str, Suggest]] = {"two_tower": _suggest_two_tower, "mf": _suggest_mf}


def _hold_out(data: LearningData, config: Config) -> tuple[Examples, Validation]:
    split = split_by_time(
        data.interactions,
        fraction=config.validation_fraction,
        user_limit=config.validation_user_limit,
        seed=config.seed,
    )
    if not len(split.validation.pair_user):
        raise EmptyDataError("tune: expected pairs to validate on, got none; see validation_fraction")
    return encode_examples(data, split.train, split.boundary), split.validation


def _name_study(data: LearningData, config: Config) -> str:
    """Names the study by model, fixed settings and data: trials of others cannot be compared."""
    digest = hashlib.sha256(config.model_dump_json().encode())
    digest.update(identify_data(data).encode())
    return f"{config.model}-{digest.hexdigest()[:16]}"


def _open_study(path: Path, name: str, *, seed: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(
            study_name=name,
            storage=f"sqlite:///{path.resolve()}",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.MedianPruner(n_warmup_steps=1),
            direction="maximize",
            load_if_exists=True,
        )
    except (SQLAlchemyError, RuntimeError) as error:
        raise OutputError(f"{path}: expected a study or a place for one: {error}") from error


def _run_trial(trial: optuna.Trial, examples: Examples, validation: Validation, config: Config) -> float:
    """Trains until validation stops rising; gives up where other trials were better by then."""
    trainer = make_trainer(examples, validation, config, lambda _: None)
    stage = Stage("search")
    while not stage.finished:
        stage = run_epoch(trainer, stage, epoch_count=config.epochs)
        quality = stage.epochs[-1].quality
        assert quality is not None, "a search has validation"
        trial.report(quality.ndcg_at_10, len(stage.epochs))
        if trial.should_prune():
            raise optuna.TrialPruned
    return max(epoch.quality.ndcg_at_10 for epoch in stage.epochs if epoch.quality is not None)


def _describe(trial: optuna.trial.FrozenTrial) -> str:
    drawn = ", ".join(f"{name} {value:.4g}" for name, value in trial.params.items())
    found = f"ndcg@10 {trial.value:.4f}" if trial.value is not None else trial.state.name.lower()
    return f"trial {trial.number}: {found}; {drawn}"


def main(argv: Sequence[str]) -> None:
    """Runs the command `python -m training tune`."""
    options = _parser().parse_args(argv)
    values = read_settings(options.config) if options.config else {}
    best = tune(
        options.data,
        options.study,
        model=options.model,
        values=values,
        trial_count=options.trials,
        console=Console(),
        policy=options.eligible_negatives,
    )
    try:
        options.out.write_text(json.dumps(best, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {options.out}: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training tune", description="Searches for settings on validation."
    )
    parser.add_argument("--model", required=True, choices=sorted(_SPACES))
    parser.add_argument("--data", required=True, type=Path, help="a directory made by a data command")
    parser.add_argument("--study", required=True, type=Path, help="the SQLite file of the trials")
    parser.add_argument("--out", required=True, type=Path, help="the JSON file of the best settings to write")
    parser.add_argument("--trials", type=int, default=20, help="how many trials the study shall have")
    parser.add_argument("--config", type=Path, help="a JSON object of settings that all trials have")
    add_policy(parser)
    return parser
