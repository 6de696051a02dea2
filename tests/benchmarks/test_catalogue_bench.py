"""The benchmark of the catalogue patches, compacts and updates a small bundle, and reports all of it."""

import json
from pathlib import Path

import pytest

from benchmarks.catalogue import measure
from benchmarks.catalogue.__main__ import main


def test_every_cost_is_measured_and_reported(
    tiny_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure, "PATCHED_COUNTS", (1, 3))
    monkeypatch.setattr(measure, "DELTA_ROW_COUNT", 6)
    before = sorted(tiny_bundles.iterdir())
    assert main(["--bundles", str(tiny_bundles), "--out", str(tmp_path)]) == 0
    assert sorted(tiny_bundles.iterdir()) == before
    (text,) = tmp_path.glob("catalogue-*.txt")
    body = json.loads(text.with_suffix(".json").read_text())
    assert [each["product_count"] for each in body["patches"]] == [1, 3]
    assert (body["log"]["call_count"], body["log"]["patched_count"]) == (20, 3)
    assert body["log"]["snapshot_bytes"] < body["log"]["log_bytes"]
    assert [step for step, _ in body["update"]["steps_cpu_s"]][:2] == ["read", "embed"]
    assert body["update"]["embedded_count"] >= 3
    assert text.with_suffix(".png").stat().st_size > 10_000
    assert "PatchProducts on" in text.read_text()
    assert "PatchProducts on" in capsys.readouterr().out


def test_a_catalogue_without_quotas_is_refused(
    tiny_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure, "_find_limited", lambda _: ())
    assert main(["--bundles", str(tiny_bundles), "--out", str(tmp_path)]) == 1
    assert "expected products with capacity_left of 2 or more" in capsys.readouterr().err
