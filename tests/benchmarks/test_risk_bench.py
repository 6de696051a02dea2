"""The benchmark of risk models, on invented borrowers in the publishers' layouts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.risk.__main__ import main
from benchmarks.risk.groups import GROUP_SIZE_MIN, Outcomes, measure_cuts, measure_groups, wilson
from benchmarks.risk.measure import measure_deciles, resample_quality
from index.risk_json import read_scorecard
from training.importers.uci_credit import CREDIT_DEFAULT_FIELDS, GERMAN_FIELDS

COUNT = 1000
SETTINGS = {
    "models": ["scorecard", "boosting"],
    "fold_count": 2,
    "bin_count": 8,
    "boosting_tree_count": 10,
}


def write_credit(directory: Path) -> Path:
    """Writes borrowers who default where they were late; the others' values say nothing."""
    rng = np.random.default_rng(1)
    lines = [",".join(["ID", *(field.name for field in CREDIT_DEFAULT_FIELDS), "default"])]
    for number in range(COUNT):
        values = [int(rng.integers(1, 4)) for _ in CREDIT_DEFAULT_FIELDS]
        late = int(rng.integers(-1, 4))
        values[5] = late
        lines.append(",".join(map(str, [number, *values, int(rng.random() < 0.1 + 0.2 * (late > 0) * late)])))
    directory.mkdir()
    (directory / "credit.csv").write_text("\n".join(lines) + "\n")
    return directory


def write_german(directory: Path) -> Path:
    rng = np.random.default_rng(2)
    lines = []
    for _ in range(120):
        values = [
            f"A{rng.integers(1, 4)}" if field.kind == "category" else str(rng.integers(1, 60))
            for field in GERMAN_FIELDS
        ]
        values[0] = f"A1{rng.integers(1, 3)}"
        lines.append(" ".join([*values, "2" if rng.random() < (0.7 if values[0] == "A11" else 0.1) else "1"]))
    directory.mkdir()
    (directory / "german.data").write_text("\n".join(lines) + "\n")
    return directory


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("risk")
    (work / "settings.json").write_text(json.dumps(SETTINGS))
    arguments = [str(write_credit(work / "credit")), "--german", str(write_german(work / "german"))]
    arguments += ["--config", str(work / "settings.json"), "--resamples", "10", "--out", str(work / "out")]
    assert main(arguments) == 0
    return work / "out"


def read_report(out: Path) -> Any:
    return json.loads((out / "risk.json").read_text())


def test_every_model_is_measured_with_and_without_protected_fields(out: Path) -> None:
    report = read_report(out)
    rows = [(model["name"], model["protected"]) for model in report["models"]]
    assert rows == [
        (name, protected)
        for protected in (False, True)
        for name in ("plain logistic", "scorecard", "boosting")
    ]
    assert report["excluded"] == ["SEX", "MARRIAGE", "AGE"]
    for model in report["models"]:
        auc = model["quality"]["auc"]
        assert 0.6 < auc["value"] < 0.95
        assert auc["low"] < auc["value"] < auc["high"]
    first, second = (model["quality"]["auc"]["value"] for model in report["models"][2::3])
    assert report["cost_of_excluding"]["boosting"]["value"] == pytest.approx(second - first)


def test_graphs_and_reader_score_as_training_did(out: Path) -> None:
    served = [model["served"] for model in read_report(out)["models"] if model["served"]]
    assert len(served) == 4
    assert {one["differing_count"] for one in served} == {0}


def test_bands_hold_every_borrower_and_psi_every_feature(out: Path) -> None:
    report = read_report(out)
    assert sum(band["borrower_count"] for band in report["bands"]) == report["held_out"]
    scorecard = read_scorecard((out / "risk-scorecard.json").read_bytes(), "risk-scorecard.json")
    assert list(report["feature_psi"]) == [feature.name for feature in scorecard.features]
    assert "RSK_PAYMENT_DELAY" in report["first_reasons_of_the_highest_band"]


def test_german_credit_is_measured_over_folds(out: Path) -> None:
    found = {(one["name"], one["protected"]): one["auc"] for one in read_report(out)["german"]}
    assert len(found) == 6
    assert found["scorecard", False] > 0.7


def test_the_report_is_a_table_and_a_picture_too(out: Path) -> None:
    text = (out / "risk.txt").read_text()
    assert "SEX, MARRIAGE, AGE" in text
    assert "0 other scores" in text
    assert (out / "risk.png").read_bytes().startswith(b"\x89PNG")


def test_a_directory_without_the_data_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert "expected one *.csv" in capsys.readouterr().err


def test_intervals_come_from_the_resamples_that_are_given() -> None:
    probability = np.array([0.1, 0.2, 0.8, 0.9])
    defaulted = np.array([False, True, False, True])
    same = np.tile(np.arange(4), (20, 1))
    auc = resample_quality(probability, defaulted, same)["auc"]
    assert (auc.low, auc.value, auc.high) == (0.75, 0.75, 0.75)


def test_deciles_are_of_equal_size_and_in_order() -> None:
    probability = np.linspace(0, 1, 100)
    expected, observed = measure_deciles(probability, probability > 0.495)
    assert np.diff(expected).min() > 0
    assert observed.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]


def test_every_limit_by_band_is_measured_and_a_tighter_one_holds_more(out: Path) -> None:
    report = read_report(out)
    cuts = report["limits_by_band"]
    assert [cut["max_band"] for cut in cuts] == [1, 2, 3, 4]
    for name in ("defaulters_held", "payers_held"):
        held = [cut[name] for cut in cuts]
        assert held == sorted(held, reverse=True)
    for band in report["bands"]:
        assert band["low_bps"] <= band["observed_bps"] <= band["high_bps"]


def test_groups_of_protected_fields_are_compared(out: Path) -> None:
    groups = read_report(out)["groups"]
    assert {(group["field"], group["protected"]) for group in groups} == {("AGE", True)}
    assert all(group["count"] >= GROUP_SIZE_MIN for group in groups)


def test_groups_are_measured_by_hand() -> None:
    bands = np.array([1] * 150 + [4] * 50 + [1] * 50 + [4] * 150)
    defaulted = np.arange(400) % 10 == 0
    outcomes = Outcomes(np.where(bands == 1, 500, 3000), bands, defaulted)
    first, second = measure_groups(outcomes, "sex", ["1"] * 200 + ["2"] * 200, protected=True)
    assert (first.count, first.shown, first.ratio) == (200, 0.75, 1.0)
    assert (second.shown, second.ratio) == (0.25, pytest.approx(1 / 3))
    assert first.expected == pytest.approx((150 * 0.05 + 50 * 0.3) / 200)
    assert (first.observed, first.payers_held) == (0.1, 0.25)
    assert measure_groups(outcomes, "few", ["1"] * 99 + [None] * 301, protected=False) == []


def test_a_number_is_cut_into_quarters_that_hold_everybody() -> None:
    outcomes = Outcomes(np.arange(1000), np.ones(1000, np.int64), np.arange(1000) % 7 == 0)
    groups = measure_groups(
        outcomes, "age", [float(20 + number % 40) for number in range(1000)], protected=True
    )
    assert len(groups) == 4
    assert sum(group.count for group in groups) == 1000
    assert groups[0].value == "20 to under 29.75"


def test_a_limit_is_measured_by_hand() -> None:
    outcomes = Outcomes(
        np.array([100, 600, 1500, 3000]), np.array([1, 2, 3, 4]), np.array([False, False, True, True])
    )
    cuts = measure_cuts(outcomes, 5)
    assert [cut.shown for cut in cuts] == [0.25, 0.5, 0.75, 1.0]
    assert [cut.default_rate for cut in cuts] == [0.0, 0.0, pytest.approx(1 / 3), 0.5]
    assert [cut.defaulters_held for cut in cuts] == [1.0, 1.0, 0.5, 0.0]
    assert [cut.payers_held for cut in cuts] == [0.5, 0.0, 0.0, 0.0]


def test_the_interval_of_a_share_is_wilsons() -> None:
    # Newcombe 1998, table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-12)
