"""What a report is measured on, and the whole command over a small bundle."""

import io
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from rich.console import Console

from benchmarks.errors import BenchmarkInputError, EmptyTestError
from benchmarks.evaluate.holding import forget_products
from benchmarks.pipeline import DEFAULT_POLICY, Artifacts
from benchmarks.report.__main__ import main
from benchmarks.report.held_out import compare_with_newer, hold_out
from benchmarks.stages import Stage
from tests.tiny_data import START, make_events, write_data

SILENT = Console(file=io.StringIO())
PRODUCTS = 17


def make_day(day: int) -> list[dict[str, Any]]:
    """One day's events: 13 users, each with the next course."""
    return [
        {
            "user_id": f"u{user:03}",
            "product_id": f"c{(user + day) % PRODUCTS:03}",
            "event_type": "view",
            "event_time": START + timedelta(days=day),
        }
        for user in range(13)
    ]


def write_days(path: Path, catalogue: Sequence[Mapping[str, Any]], day_count: int) -> Path:
    """Writes a data set of some days."""
    events = [event for day in range(day_count) for event in make_day(day)]
    return write_data(path, events, products=catalogue)


@pytest.fixture(scope="module")
def artifacts(
    tmp_path_factory: pytest.TempPathFactory, tiny_bundles: Path, catalogue_rows: Sequence[Mapping[str, Any]]
) -> Artifacts:
    """A sealed bundle with the data of four days, and the history of its run."""
    made = Artifacts(tmp_path_factory.mktemp("report"))
    write_days(made.data, catalogue_rows, 4)
    shutil.copytree(tiny_bundles, made.bundles)
    made.run.mkdir()
    stage = {"name": "final", "epochs": [{"loss": 1.5, "seconds": 3.0, "quality": None}]}
    metrics = {"model": "mf", "seed": 1, "epoch_count": 1, "stages": [stage]}
    (made.run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory, catalogue_rows: Sequence[Mapping[str, Any]]) -> Path:
    """The same with two days more."""
    return write_days(tmp_path_factory.mktemp("newer") / "data", catalogue_rows, 6)


def test_only_what_newer_data_add_is_tested(artifacts: Artifacts, newer: Path) -> None:
    held_out = compare_with_newer(artifacts, newer)
    assert held_out.relevant["u000"] == {"c004", "c005"}
    assert held_out.owned["u000"] == {"c000", "c001", "c002", "c003"}
    assert len(held_out.relevant) == 13
    # Histories end before this instant, so the last event is known.
    assert held_out.known_until == START + timedelta(days=3, microseconds=1)


def test_data_that_add_nothing_test_nothing(artifacts: Artifacts) -> None:
    with pytest.raises(EmptyTestError, match="expected products new to a user"):
        compare_with_newer(artifacts, artifacts.data)


def test_forgotten_products_leave_no_event(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", make_events(user_count=11, item_count=31))
    before = set(pyarrow.parquet.read_table(data / "interactions.parquet")["product_id"].to_pylist())
    count = forget_products(data, 0.2, seed=3)
    after = set(pyarrow.parquet.read_table(data / "interactions.parquet")["product_id"].to_pylist())
    assert count == int(0.2 * len(before)) > 0
    assert len(before - after) == count
    assert after <= before


def test_a_demonstration_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkInputError, match="expected a data set"):
        hold_out(Artifacts(tmp_path), tmp_path / "work", DEFAULT_POLICY, SILENT)


def test_the_command_writes_page_text_and_charts(artifacts: Artifacts, newer: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["--artifacts", str(artifacts.directory), "--data", str(newer), "--out", str(out)]) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    text = (out / "report.txt").read_text(encoding="utf-8")
    assert text.splitlines()[1].startswith("SIMULATED")
    for path in (artifacts.directory, newer, tmp_path):
        assert str(path) not in page + text
    assert not re.search(r"https?://", page)
    names = ["calibration", "cold", "curves", "diversity", "fairness", "history", "popularity", "segments"]
    assert sorted(file.stem for file in (out / "figures").iterdir()) == [*names, "suitability"]
    assert all(f'id="{name}"' in page for name in [*names, "suitability", "examples"])


def test_where_no_rule_is_asked_the_page_says_so(artifacts: Artifacts, newer: Path, tmp_path: Path) -> None:
    options = ["--artifacts", str(artifacts.directory), "--data", str(newer), "--out", str(tmp_path)]
    assert main([*options, "--no-rules"]) == 0
    text = (tmp_path / "report.txt").read_text(encoding="utf-8")
    assert "rules: none asked" in text
    assert "There is no cost to measure." in text
    assert "under the" not in text
    assert "Withheld" not in text


def test_without_dates_one_product_of_each_user_is_tested(
    tmp_path: Path, catalogue_rows: Sequence[Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = Artifacts(tmp_path)
    write_days(artifacts.data, catalogue_rows, 4)
    source = artifacts.data / "source.json"
    source.write_text(json.dumps(json.loads(source.read_text()) | {"dated": False}), encoding="utf-8")
    planned: list[Stage] = []
    monkeypatch.setattr("benchmarks.report.held_out.run_stages", lambda stages, *_: planned.extend(stages))
    held_out = hold_out(artifacts, tmp_path / "work", DEFAULT_POLICY, SILENT)
    for user, tested in held_out.relevant.items():
        assert len(tested) == 1
        assert len(held_out.owned[user]) == 3
        assert not tested & held_out.owned[user]
    # Drawn by lot, and not all the last: users have them on the same day.
    known = pyarrow.parquet.read_table(held_out.artifacts.data / "interactions.parquet")["event_time"]
    assert max(known.to_pylist()) == START + timedelta(days=3)
    # There is no run to take settings from.
    assert "two_tower" in planned[0].arguments
    assert (tmp_path / "work" / "settings.json").read_text() == "{}\n"
    assert "Events have no dates" in held_out.looked_at
    assert "its default settings" in held_out.looked_at


def test_the_command_says_in_one_line_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--artifacts", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("BenchmarkInputError: expected a data set")


def test_what_is_held_out_is_unknown_to_the_model(
    artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (artifacts.run / "config.json").write_text('{"model": "mf", "seed": 7}', encoding="utf-8")
    planned: list[Stage] = []
    monkeypatch.setattr("benchmarks.report.held_out.run_stages", lambda stages, *_: planned.extend(stages))
    monkeypatch.setattr("benchmarks.report.held_out.COLD_SHARE", 0.2)
    held_out = hold_out(artifacts, tmp_path / "work", DEFAULT_POLICY, SILENT)
    known = pyarrow.parquet.read_table(held_out.artifacts.data / "interactions.parquet")
    assert max(known["event_time"].to_pylist()) < held_out.known_until
    # A fifth of the 16 products from before is cold, and what their owners have is still no candidate.
    owned = set().union(*held_out.owned.values())
    assert (len(owned), len(owned - set(known["product_id"].to_pylist()))) == (15, 3)
    assert not any(products & held_out.owned[user] for user, products in held_out.relevant.items())
    train = next(stage for stage in planned if stage.name == "train")
    assert "mf" in train.arguments
    settings = Path(train.arguments[train.arguments.index("--config") + 1])
    assert json.loads(settings.read_text(encoding="utf-8")) == {"seed": 7}
    assert "The model mf with default settings but for seed 7 was trained" in held_out.looked_at
    # Profiles are true at the data's own clock, and not when the model stopped learning.
    assert held_out.clock.isoformat() == "2026-03-02T00:00:00+00:00"
