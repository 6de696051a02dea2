"""Whole training runs on tiny data: results, repeatability, interruption, bad input."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training import learner as learner_module
from training import run as run_module
from training.__main__ import main
from training.checkpoint import read_tensors, write_tensors
from training.config import make_config
from training.errors import (
    CheckpointError,
    DataError,
    DivergenceError,
    EmptyDataError,
    MissingFileError,
    OutputError,
    SchemaError,
)
from training.examples import encode_examples, read_learning_data
from training.trained import _MOVED, open_run

MODELS = ("two_tower", "mf")


class InterruptionError(BaseException):
    """Stands for a killed process: nothing may catch it."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("tiny") / "data", make_events())


def train(data: Path, out: Path, model: str = "two_tower", **changes: Any) -> dict[str, torch.Tensor]:
    options = {"resume": False, "force": False, "console": Console(file=io.StringIO())}
    settings = TINY_SETTINGS | {name: value for name, value in changes.items() if name not in options}
    options |= {name: value for name, value in changes.items() if name in options}
    run_module.train(data, out, make_config(model, settings), **options)
    return read_tensors(out / "model.safetensors")[0]


def assert_equal_weights(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value, right[name]), name


@pytest.mark.parametrize("model", MODELS)
def test_a_run_beats_popularity_and_can_be_opened(data: Path, tmp_path: Path, model: str) -> None:
    train(data, tmp_path / "run", model, epochs=12)
    trained = open_run(tmp_path / "run")
    validation = trained.metrics["validation"]
    assert validation["ndcg_at_10"] > validation["popularity"]["ndcg_at_10"]
    assert trained.source["name"] == "tiny"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_gives_the_same_weights(data: Path, tmp_path: Path, model: str) -> None:
    first, second = train(data, tmp_path / "a", model), train(data, tmp_path / "b", model)
    assert_equal_weights(first, second)
    other = train(data, tmp_path / "c", model, seed=2)
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("epoch_count", [1, 5])
def test_a_resumed_run_equals_an_uninterrupted_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, epoch_count: int
) -> None:
    whole = train(data, tmp_path / "whole", model, patience=1000)
    save, saved = run_module.save_checkpoint, []

    def save_then_stop(*arguments: Any, **options: Any) -> None:
        save(*arguments, **options)
        saved.append(1)
        if len(saved) == epoch_count:
            raise InterruptionError

    monkeypatch.setattr(run_module, "save_checkpoint", save_then_stop)
    with pytest.raises(InterruptionError):
        train(data, tmp_path / "cut", model, patience=1000)
    monkeypatch.undo()
    assert not (tmp_path / "cut").exists()
    with pytest.raises(OutputError, match="--resume"):
        train(data, tmp_path / "cut", model, patience=1000)
    resumed = train(data, tmp_path / "cut", model, patience=1000, resume=True)
    assert_equal_weights(whole, resumed)
    for name in ("whole", "cut"):
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        assert len(metrics["stages"][0]["epochs"]) == TINY_SETTINGS["epochs"]


def test_a_checkpoint_of_other_settings_or_no_checkpoint_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckpointError, match="found none"):
        train(data, tmp_path / "run", resume=True)
    monkeypatch.setattr(run_module, "_write_run", _interrupt)
    with pytest.raises(InterruptionError):
        train(data, tmp_path / "run")
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="other settings or data"):
        train(data, tmp_path / "run", resume=True, learning_rate=0.02)
    checkpoint = tmp_path / ".run.partial" / "checkpoint.safetensors"
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="cannot be read"):
        train(data, tmp_path / "run", resume=True)
    write_tensors(checkpoint, {"weight/x": torch.zeros(1)}, {"state": json.dumps({"format_version": 9})})
    with pytest.raises(CheckpointError, match="state of a training run"):
        train(data, tmp_path / "run", resume=True)


def _interrupt(*_arguments: Any) -> None:
    raise InterruptionError


def test_a_checkpoint_of_other_profiles_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = make_events(user_count=5)
    monkeypatch.setattr(run_module, "_write_run", _interrupt)
    with pytest.raises(InterruptionError):
        train(write_data(tmp_path / "data", events), tmp_path / "run", epochs=1)
    monkeypatch.undo()
    profiles = [{"user_id": "u000", "risk_level": 5}]
    with pytest.raises(CheckpointError, match="other settings or data"):
        train(write_data(tmp_path / "b", events, profiles=profiles), tmp_path / "run", epochs=1, resume=True)


def test_weights_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="none/model"):
        write_tensors(tmp_path / "none" / "model", {"x": torch.zeros(1)}, {})


@pytest.mark.parametrize("model", MODELS)
def test_one_user_and_one_item_train(tmp_path: Path, model: str) -> None:
    small = write_data(tmp_path / "data", make_events(user_count=1, item_count=1, event_count=1))
    train(small, tmp_path / "run", model)
    trained = open_run(tmp_path / "run")
    assert trained.metrics["validation"] is None
    assert trained.vocabulary.product_ids == ("p000",)


def test_empty_data_is_refused(tmp_path: Path) -> None:
    empty = write_data(tmp_path / "empty", [], products=[{"id": "p0"}])
    with pytest.raises(EmptyDataError, match=r"interactions.parquet: expected at least one event"):
        train(empty, tmp_path / "run")
    with pytest.raises(EmptyDataError, match=r"products.parquet: expected at least one product"):
        train(write_data(tmp_path / "none", []), tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "none"]


@pytest.mark.parametrize(
    "name", ["interactions.parquet", "products.parquet", "profiles.parquet", "source.json"]
)
def test_a_missing_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    small = write_data(tmp_path / "data", make_events(user_count=2))
    (small / name).unlink()
    with pytest.raises(MissingFileError, match=name.split(".", maxsplit=1)[0]):
        train(small, tmp_path / "run")


def test_an_event_of_an_unlisted_product_is_refused(tmp_path: Path) -> None:
    small = write_data(tmp_path / "data", make_events(user_count=2), products=[{"id": "p000"}])
    with pytest.raises(SchemaError, match="product_id"):
        train(small, tmp_path / "run")


def test_a_feature_that_is_not_finite_is_refused_by_name(data: Path) -> None:
    learning_data = read_learning_data(data)
    products = ({**learning_data.products[0], "risk_score": float("nan")}, *learning_data.products[1:])
    with pytest.raises(DataError, match=r"risk_score: .* row 0"):
        encode_examples(replace(learning_data, products=products), learning_data.interactions)


def test_a_diverging_run_is_refused_and_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learner_module, "softmax_loss", lambda logit, *_: logit.sum() * torch.nan)
    with pytest.raises(DivergenceError, match="epoch 1 of search: expected a finite number"):
        train(data, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_is_refused_unless_forced(data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(OutputError, match="exists"):
        train(data, tmp_path / "run")
    train(data, tmp_path / "run", force=True, epochs=1)
    assert open_run(tmp_path / "run").config.epochs == 1


def test_a_target_that_cannot_be_written_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        train(data, tmp_path / "file" / "run")


@pytest.mark.parametrize("name", ["model.safetensors", "features.json", "vocabulary.json"])
def test_a_damaged_or_foreign_run_is_refused(data: Path, tmp_path: Path, name: str) -> None:
    train(data, tmp_path / "run", epochs=1)
    path = tmp_path / "run" / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError):
        open_run(tmp_path / "run")


def test_runs_of_earlier_versions_open(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "run", epochs=1, temperature=0.25)
    path = tmp_path / "run" / "model.safetensors"
    weights, _ = read_tensors(path)
    # Before version 5 popularity was the bias alone.
    weights["item_tower.project.weight"][-1] = weights["item_tower.project.bias"][-1] = 0.0
    weights["item_tower.term.weight"][:, -1] = 0.0
    # Before version 6 it was served with the length of any product.
    now_named = weights | {"item_tower.unknown_length": torch.ones(())}
    del weights["item_tower.unknown_length"]
    for name in ("item_tower.project.weight", "item_tower.project.bias"):
        weights[name] = weights[name][:-1]
    weights["item_tower.term.weight"] = weights["item_tower.term.weight"][:, :-1].contiguous()
    write_tensors(path, weights, {"format_version": "4"})
    assert_equal_weights(open_run(tmp_path / "run").towers.state_dict(), now_named)
    for before, now in _MOVED.items():
        weights[before] = weights.pop(now)
    write_tensors(path, weights, {"format_version": "3"})
    assert_equal_weights(open_run(tmp_path / "run").towers.state_dict(), now_named)
    del weights["item_tower.term.weight"]
    write_tensors(path, weights, {"format_version": "2"})
    assert not open_run(tmp_path / "run").towers.state_dict()["item_tower.term.weight"].any()
    del weights["item_tower.log_temperature"]
    write_tensors(path, weights, {"format_version": "1"})
    towers = open_run(tmp_path / "run").towers
    # float32 of a logarithm and its exponential.
    assert towers.state_dict()["item_tower.log_temperature"].exp().item() == pytest.approx(0.25, rel=1e-6)
    write_tensors(path, weights, {"format_version": "9"})
    with pytest.raises(CheckpointError, match="expected format_version 1 to 6, got 9"):
        open_run(tmp_path / "run")


def test_the_rate_falls_to_zero_over_the_epochs_asked_for(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def record(self: torch.optim.AdamW, *arguments: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", record)
    train(data, tmp_path / "run", epochs=3, validation_fraction=0.0)
    assert rates[0] == TINY_SETTINGS["learning_rate"]
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < TINY_SETTINGS["learning_rate"] / 3
    rates.clear()
    train(data, tmp_path / "other", epochs=3, validation_fraction=0.0, schedule="constant")
    assert set(rates) == {TINY_SETTINGS["learning_rate"]}


def test_a_long_gradient_is_shortened(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    step = torch.optim.AdamW.step

    def record(self: torch.optim.AdamW, *arguments: Any) -> Any:
        gradients = [entry.grad for group in self.param_groups for entry in group["params"]]
        norms.append(float(torch.stack([grad.norm() for grad in gradients if grad is not None]).norm()))
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", record)
    train(data, tmp_path / "run", epochs=1, gradient_norm_max=1e-3)
    # The norm is summed in another order than the one that was shortened.
    assert max(norms) == pytest.approx(1e-3, rel=1e-3)


def test_events_of_undated_data_are_simultaneous(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", make_events(user_count=3))
    dated = read_learning_data(data).interactions
    source = json.loads((data / "source.json").read_text())
    (data / "source.json").write_text(json.dumps(source | {"dated": False}))
    undated = read_learning_data(data).interactions
    assert len(set(dated.event_time)) > 1
    assert set(undated.event_time) == {dated.event_time.max()}


def test_a_low_rating_is_no_liking(tmp_path: Path) -> None:
    events = make_events(user_count=2, item_count=4, event_count=3)
    events = [event | {"event_type": "rating", "weight": 1.0 + row % 5} for row, event in enumerate(events)]
    happened = read_learning_data(write_data(tmp_path / "data", events)).interactions
    assert sorted(happened.liking.tolist()) == [0.0, 0.0, 0.25, 0.5, 0.75, 1.0]
    events = [event | {"weight": 2.0} for event in events]
    happened = read_learning_data(write_data(tmp_path / "equal", events)).interactions
    assert set(happened.liking.tolist()) == {1.0}


def test_weights_of_another_vocabulary_are_refused(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "run", epochs=1)
    path = tmp_path / "run" / "vocabulary.json"
    body = json.loads(path.read_text())
    path.write_text(json.dumps(body | {"product_ids": [*body["product_ids"], "another"]}))
    with pytest.raises(CheckpointError, match="do not fit"):
        open_run(tmp_path / "run")


def test_the_command_names_a_bad_setting_and_fails(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"learning_rat": 0.1}))
    common = ["--data", str(data), "--out", str(tmp_path / "run"), "--config", str(config)]
    assert main(["--model", "two_tower", *common]) == 1
    assert "SettingError: learning_rat" in capsys.readouterr().err
    assert main(["--model", "deep", *common]) == 1
    assert "model: expected one of ['ials', 'mf', 'svd', 'two_tower'], got 'deep'" in capsys.readouterr().err
    config.write_text(json.dumps(TINY_SETTINGS))
    assert main(["--model", "mf", *common, "--epochs", "1"]) == 0
    assert "final epoch 1: loss" in capsys.readouterr().out
