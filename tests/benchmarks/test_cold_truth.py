"""The bound of a simulation's truth: it is drawn again, its chances are chances, and events tell."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from benchmarks.cold.questions import ask_cold
from benchmarks.cold.truth import Truth, TruthScorer, draw_truth
from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.task import Task
from training.__main__ import main

SEED = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "data"
    sizes = ["--users", "120", "--courses", "60", "--products", "30", "--seed", str(SEED)]
    assert main(["simulate", str(out), *sizes, "--clock", "2026-06-01T00:00:00Z"]) == 0
    return out


@pytest.fixture(scope="module")
def truth(data: Path) -> Truth:
    return draw_truth(data, SEED)


def ask(data: Path, known: Path) -> Task:
    return ask_cold(data, known, hidden_share=0.0, shortened_share=0.5, seed=1).everybody


def test_the_truth_is_that_of_the_data(data: Path, truth: Truth) -> None:
    catalogue = pyarrow.parquet.read_table(data / "products.parquet", columns=["id"])
    assert sorted(truth.product_ids) == sorted(catalogue["id"].to_pylist())
    with pytest.raises(BenchmarkInputError, match="expected a simulation of seed 4"):
        draw_truth(data, 4)


def test_data_that_was_not_simulated_has_no_truth(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkInputError, match=r"truth\.npz is missing"):
        draw_truth(tmp_path, SEED)


def test_scores_are_chances_and_an_event_makes_its_product_likelier(
    data: Path, truth: Truth, tmp_path: Path
) -> None:
    task = ask(data, tmp_path / "known")
    path = task.data / "interactions.parquet"
    events = pyarrow.parquet.read_table(path)
    late = truth.settings.now - timedelta(days=80)  # In the quarter that chances are of.
    last = {event["user_id"]: event for event in events.to_pylist() if event["event_time"] > late}
    assert len(last) > 20
    pyarrow.parquet.write_table(events.slice(0, 0), path)
    blind = TruthScorer(truth, task).score(list(last), truth.product_ids)
    # float32 sums of 90 chances.
    np.testing.assert_allclose(blind.sum(axis=1), 1.0, atol=1e-4)
    assert blind.min() >= 0.0
    pyarrow.parquet.write_table(events.from_pylist(list(last.values()), schema=events.schema), path)
    told = TruthScorer(truth, task).score(list(last), truth.product_ids)
    # What was taken in a quarter weighs users by the chance of it: its mean chance rises, by Jensen.
    taken = [truth.product_ids.index(event["product_id"]) for event in last.values()]
    rows = np.arange(len(taken))
    assert (told[rows, taken] > blind[rows, taken]).all()
