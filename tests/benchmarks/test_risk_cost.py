"""The cost of RiskService is measured against a real server, in every shape of calls."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.risk import cost
from tests.conftest import MakeExport
from tests.risk_cases import write_risk_export


def test_every_shape_of_calls_is_measured_and_reported(
    make_export: MakeExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "SHAPES", ((1, 1), (2, 1), (1, 10)))
    case = make_export(tmp_path / "made")
    artifacts = tmp_path / "artifacts"
    shutil.copytree(case.export, artifacts / "export")
    (artifacts / "data").mkdir()
    shutil.copy(case.products, artifacts / "data" / "products.parquet")
    model = write_risk_export(tmp_path / "risk")
    arguments = ["--risk-model", str(model), "--artifacts", str(artifacts), "--borrowers", "40"]
    assert cost.main([*arguments, "--out", str(tmp_path)]) == 0
    costs = json.loads((tmp_path / "risk-cost.json").read_text())["costs"]
    assert [(each["caller_count"], each["batch_count"], each["call_count"]) for each in costs] == [
        (1, 1, 40),
        (2, 1, 40),
        (1, 10, 4),
    ]
    assert all(0 < each["latency_ms_p50"] <= each["latency_ms_p99"] for each in costs)
    assert all(each["server_cpu_us"] > 0 for each in costs)
    assert (tmp_path / "risk-cost.png").stat().st_size > 5_000


def test_a_folder_that_holds_no_risk_model_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cost.main(["--risk-model", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "risk.json" in capsys.readouterr().err
