"""Transfer between two domains: the data of each alone, the comparison, the table."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from rich.console import Console

from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.baselines.item_knn import ItemKnn
from benchmarks.evaluate.baselines.scorer import BaselineScorer, observe_task
from benchmarks.evaluate.intervals import Estimate
from benchmarks.evaluate.task import Task
from benchmarks.machine import describe_machine
from benchmarks.transfer import measure
from benchmarks.transfer.__main__ import main, read_strengths
from benchmarks.transfer.measure import Transfer, measure_transfer, write_domain
from benchmarks.transfer.report import Row, write_report
from tests.tiny_data import make_events, write_data

SILENT = Console(file=io.StringIO())


@pytest.fixture
def task(tmp_path: Path) -> Task:
    data = write_data(tmp_path / "data", make_events())
    products = pyarrow.parquet.read_table(data / "products.parquet")["id"].to_pylist()
    kept = tuple(sorted(products)[:3])
    return Task(
        "financial", "financial", data, datetime(2026, 1, 1, tzinfo=UTC), {"u": frozenset(kept)}, {}, kept
    )


def test_a_domain_alone_has_its_own_products_and_their_events(task: Task, tmp_path: Path) -> None:
    count = write_domain(task, tmp_path / "alone")
    events = pyarrow.parquet.read_table(tmp_path / "alone" / "interactions.parquet")
    before = pyarrow.parquet.read_table(task.data / "interactions.parquet")["product_id"].to_pylist()
    assert set(events["product_id"].to_pylist()) <= set(task.candidates)
    assert count == events.num_rows == sum(product in task.candidates for product in before)
    products = pyarrow.parquet.read_table(tmp_path / "alone" / "products.parquet")["id"].to_pylist()
    assert sorted(products) == list(task.candidates)


def test_one_domain_is_refused(task: Task, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkInputError, match="expected two domains"):
        measure_transfer([task], tmp_path, model="svd", settings=None, console=SILENT)


@pytest.mark.parametrize("text", ["", "a", "0,2", "0.5,"])
def test_strengths_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BenchmarkInputError, match="strengths"):
        read_strengths(text)


def test_pairs_need_two_directories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "expected two directories, got 1" in capsys.readouterr().err


def write_pairs(
    directory: Path, rng: np.random.Generator, taste: np.ndarray, *, items: int, known: int
) -> Path:
    """Draws a domain in which a user of taste t has items of the residue t, in the LightGCN layout."""
    directory.mkdir()
    train, test = [], []
    for user, mine in enumerate(taste):
        own = rng.permutation(np.arange(int(mine), items, 2))
        train.append(f"{user} {' '.join(map(str, own[:known]))}")
        test.append(f"{user} {own[known]}")
    (directory / "train.txt").write_text("\n".join(train) + "\n")
    (directory / "test.txt").write_text("\n".join(test) + "\n")
    return directory


class Built:
    """Stands for a model: more neighbours' products, the more of both domains it learned from."""

    def __init__(self, task: Task) -> None:
        self.task = task

    @contextmanager
    def open(self, form: str) -> Iterator[BaselineScorer]:
        assert form == "bundle"
        yield BaselineScorer(ItemKnn(shrink=1.0), observe_task(self.task))


def test_what_the_other_domain_tells_of_a_taste_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "build_model", lambda task, *_, **__: Built(task))
    rng = np.random.default_rng(3)
    taste = rng.integers(0, 2, 60)
    first = write_pairs(tmp_path / "courses", rng, taste, items=16, known=6)
    second = write_pairs(tmp_path / "funds", rng, taste, items=60, known=1)
    out = tmp_path / "out"
    options = ["--model", "svd", "--out", str(out), "--work", str(tmp_path / "work")]
    assert main(["pairs", str(first), str(second), *options]) == 0
    rows = json.loads((out / "transfer-pairs.json").read_text())["rows"]
    assert sorted(row["transfer"]["domain"] for row in rows) == ["financial", "learning"]
    for row in rows:
        found = row["transfer"]
        assert found["user_count"] == 60
        assert found["change"]["mean"] == pytest.approx(found["together"]["mean"] - found["alone"]["mean"])
    # One fund of a taste says little; the courses of the same taste say the rest.
    assert rows[0]["transfer"]["domain"] == "financial"
    assert rows[0]["transfer"]["change"]["low"] > 0
    assert "change" in (out / "transfer-pairs.txt").read_text()


def test_the_report_says_that_simulated_data_is_simulated(tmp_path: Path) -> None:
    one = Estimate(0.1, 0.05, 0.15)
    found = Transfer("financial", 10, 5, one, replace(one, mean=0.12), Estimate(0.02, -0.01, 0.05))
    write_report(tmp_path, "t", [Row("0.5", "two_tower", found)], describe_machine(), SILENT)
    text = (tmp_path / "t.txt").read_text()
    assert "simulated data" in text
    assert "+20.0%" in text
    assert (tmp_path / "t.png").stat().st_size > 0
