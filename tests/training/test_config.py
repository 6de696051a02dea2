"""Settings: unknown or bad ones are refused by name."""

from pathlib import Path
from typing import Any

import pytest

from training.config import MfConfig, TwoTowerConfig, make_config, read_settings
from training.errors import MissingFileError, SettingError


def test_defaults_need_no_values() -> None:
    assert isinstance(make_config("two_tower", {}), TwoTowerConfig)
    assert isinstance(make_config("mf", {}), MfConfig)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 2.5),
        ("epochs", "3"),
        ("learning_rate", float("nan")),
        ("temperature", -1.0),
        ("dropout", 1.0),
        ("validation_fraction", 0.9),
        ("event_weights", {"wink": 1.0}),
        ("event_weights", {"view": -1.0}),
        ("schedule", "cosine"),
        ("colour", "red"),
        ("l2", 0.1),
    ],
)
def test_a_bad_setting_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(SettingError, match=name):
        make_config("two_tower", {name: value})


def test_a_loss_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(SettingError, match=r"loss: .*'mse' or 'bce', got 'hinge'"):
        make_config("mf", {"loss": "hinge"})


def test_a_config_stored_without_a_loss_has_squared_errors() -> None:
    assert make_config("mf", {}).model_dump()["loss"] == "mse"


def test_a_config_stored_as_as_json_gives_the_same_config() -> None:
    config = make_config("mf", {"l2": 1, "seed": 3})
    assert make_config("mf", config.model_dump(mode="json")) == config


@pytest.mark.parametrize("text", ["", "[1]", "{", "3"])
def test_settings_that_are_no_object_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(SettingError, match="expected a JSON object"):
        read_settings(path)


def test_a_missing_settings_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.json"):
        read_settings(tmp_path / "none.json")
