"""Tuning keeps its trials, goes on where it ended, and looks at nothing but validation."""

import io
import json
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.__main__ import main
from training.config import make_config
from training.errors import EmptyDataError, OutputError, SettingError
from training.tune import tune

QUICK = TINY_SETTINGS | {"epochs": 2}


def run(
    data: Path, study: Path, *, trials: int, model: str = "two_tower", seed: int = 1
) -> dict[str, object]:
    values = {**QUICK, "seed": seed}
    console = Console(file=io.StringIO())
    return tune(data, study, model=model, values=values, trial_count=trials, console=console)


def read_trials(study: Path) -> list[optuna.trial.FrozenTrial]:
    storage = f"sqlite:///{study}"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).trials


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("tiny") / "data", make_events(user_count=31, event_count=8))


def test_a_stopped_search_goes_on_where_it_ended(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "study.sqlite", trials=1)
    first = read_trials(tmp_path / "study.sqlite")
    best = run(data, tmp_path / "study.sqlite", trials=3)
    trials = read_trials(tmp_path / "study.sqlite")
    assert len(trials) == 3
    assert trials[0].params == first[0].params
    finished = [trial for trial in trials if trial.state is optuna.trial.TrialState.COMPLETE]
    winner = max(finished, key=lambda trial: trial.value or 0.0)
    assert best == {**QUICK, "seed": 1, **winner.params}
    run(data, tmp_path / "study.sqlite", trials=3)
    assert len(read_trials(tmp_path / "study.sqlite")) == 3


def test_other_fixed_settings_are_another_study(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "study.sqlite", trials=1)
    run(data, tmp_path / "study.sqlite", trials=1, seed=2)
    assert len(optuna.get_all_study_names(f"sqlite:///{tmp_path / 'study.sqlite'}")) == 2


def test_the_command_writes_settings_that_a_run_takes(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(QUICK))
    files = ["--study", str(tmp_path / "study.sqlite"), "--out", str(tmp_path / "best.json")]
    options = ["--model", "mf", "--data", str(data), "--config", str(config), "--trials", "2"]
    assert main(["tune", *options, *files]) == 0
    assert "trial 1: " in capsys.readouterr().out
    best = json.loads((tmp_path / "best.json").read_text())
    assert set(best) > set(QUICK)
    make_config("mf", best)


def test_what_cannot_be_tuned_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="expected one of"):
        run(data, tmp_path / "study.sqlite", trials=1, model="deep")
    with pytest.raises(OutputError, match=r"none/study\.sqlite"):
        run(data, tmp_path / "none" / "study.sqlite", trials=1)
    single = write_data(tmp_path / "single", make_events(user_count=1, item_count=1, event_count=1))
    with pytest.raises(EmptyDataError, match="expected pairs to validate on"):
        run(single, tmp_path / "study.sqlite", trials=1)
