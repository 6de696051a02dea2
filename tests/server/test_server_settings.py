"""Settings: which source wins, and that nothing unknown or bad passes."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from server.config import load_settings
from server.errors import AccessLogError, PortError, SettingsError
from server.identity.access_log import AccessLog
from server.metrics_port import serve_metrics
from server.ports import reserve_port


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"bundles": "from-file", "k_max": 1, "port": 1, "queue_limit": 999}))
    monkeypatch.setenv("PRUDENCE_PORT", "2")
    monkeypatch.setenv("PRUDENCE_K_MAX", "2")
    settings = load_settings(["--config", str(file), "--k-max", "3"])
    assert (settings.k_max, settings.port, settings.queue_limit, settings.threads) == (3, 2, 999, 1)
    assert settings.bundles == Path("from-file")


def test_the_file_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"bundles": "b"}))
    monkeypatch.setenv("PRUDENCE_CONFIG", str(file))
    assert load_settings([]).bundles == Path("b")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bundles", "b", "--port", "99999"], "port"),
        (["--bundles", "b", "--port", "many"], "port"),
        (["--bundles", "b", "--device", "tpu"], "device"),
        (["--bundles", "b", "--clock", "2026-11-22T09:00:00"], "clock"),
        (["--bundles", "b", "--queue-limit", "1"], "queue_limit"),
        (["--bundles", "b", "--threads", "0"], "threads"),
        (["--bundles", "b", "--diversity-trade-off", "1.5"], "diversity_trade_off"),
        (["--bundles", "b", "--diversity-trade-off", "nan"], "diversity_trade_off"),
        (["--bundles", "b", "--config", "nowhere.json"], "config"),
        ([], "bundles"),
    ],
)
def test_a_bad_value_is_refused_by_name(arguments: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load_settings(arguments)


def test_an_unknown_variable_of_ours_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUDENCE_PROT", "1")
    with pytest.raises(SettingsError, match="PRUDENCE_PROT"):
        load_settings(["--bundles", "b"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"bundles": "b", "prot": 1}', "prot"),
        ('{"bundles"', "not JSON"),
        ("[1]", "object"),
        ("[" * 100_000, "not JSON"),
        ('{"bundles": "b", "port": 1, "port": 2}', "'port' is there twice"),
        (r'{"bundles": "b", "policy": "a\u0000b"}', "policy: .*NUL"),
        (r'{"bundles": "b", "policy": "\ud800"}', "policy: .*surrogate"),
        (json.dumps({"bundles": "b", "bundle_state": "x" * 300}), "bundle_state: .*too long"),
        ('{"bundles": "b", "policy_keys": "/dev/zero"}', "policy_keys: .*no plain file"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "settings.json"
    file.write_text(content)
    with pytest.raises(SettingsError, match=words):
        load_settings(["--config", str(file)])


def test_the_fixed_clock_is_kept_in_utc() -> None:
    settings = load_settings(["--bundles", "b", "--clock", "2022-11-29T08:00:00+08:00"])
    clock = settings.decision_clock()
    assert clock.now() == datetime(2022, 11, 29, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    assert not clock.system
    assert load_settings(["--bundles", "b"]).decision_clock().system


@pytest.mark.parametrize("given", ["policy-keys", "policy-state"])
def test_keys_and_state_of_the_policy_come_together_or_not_at_all(given: str) -> None:
    missing = {"policy-keys": "policy_state", "policy-state": "policy_keys"}[given]
    with pytest.raises(SettingsError, match=f"^settings: [a-z_]+ is set without {missing}; .* need both$"):
        load_settings(["--bundles", "b", f"--{given}", "somewhere"])
    settings = load_settings(["--bundles", "b", "--policy-keys", "k", "--policy-state", "s"])
    assert (settings.policy_keys, settings.policy_state) == (Path("k"), Path("s"))
    assert settings.signature_days_max == 30


def test_a_pipe_in_place_of_a_file_is_refused_by_name_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match=r"pseudonym_keys: .*pipe is no plain file"):
        load_settings(["--bundles", "b", "--pseudonym-keys", str(tmp_path / "pipe")])
    with pytest.raises(AccessLogError, match=r"access_log .*pipe: cannot be opened"):
        AccessLog(tmp_path / "pipe")


def test_a_host_that_is_no_name_is_refused() -> None:
    with (
        pytest.raises(PortError, match=r"metrics_port: x+:0"),
        serve_metrics(CollectorRegistry(), 0, "x" * 300),
    ):
        pass
    with pytest.raises(PortError, match=r"port: x+:0"), reserve_port("x" * 300, 0):
        pass


@pytest.mark.parametrize("setting", ["store", "otlp-endpoint"])
def test_a_password_in_an_address_is_refused_before_anything_shows_it(setting: str) -> None:
    scheme = "redis" if setting == "store" else "http"
    with pytest.raises(SettingsError, match=f"{setting.replace('-', '_')}: .*password") as caught:
        load_settings(["--bundles", "b", f"--{setting}", f"{scheme}://user:hunter2@host:1/0"])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (("--bundle-state", "s"), "bundle_state is set with processes 2: one process holds the log"),
        (("--feedback-log", "l", "--store", "u"), "feedback_log is set with processes 2: one process holds"),
        (("--device", "cuda"), "device cuda with processes 2"),
        (("--experiments", "e"), "experiments with processes 2 need store or pseudonym_keys"),
    ],
)
def test_what_one_process_alone_can_hold_is_refused(setting: tuple[str, ...], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load_settings(["--bundles", "b", "--processes", "2", *setting])
    load_settings(["--bundles", "b", "--processes", "1", *setting])
