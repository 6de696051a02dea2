"""Tasks from published layouts and documented data, and what is done with strange ones."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.errors import BenchmarkInputError, EmptyTestError, ScoreValueError
from benchmarks.evaluate.datasets import Request, make_tasks
from benchmarks.evaluate.held_out import read_held_out
from benchmarks.evaluate.intervals import estimate
from benchmarks.evaluate.ranking import evaluate_task, list_best
from benchmarks.evaluate.task import Scores, Task, sample_users
from tests.tiny_data import make_events, write_data

SILENT = Console(file=io.StringIO())


class Constant:
    """Scores everything alike."""

    def __init__(self, value: float = 0.0) -> None:
        self._value = value

    def score(self, user_ids: Sequence[str], product_ids: Sequence[str]) -> Scores:
        return np.full((len(user_ids), len(product_ids)), self._value)


def make_task(relevant: dict[str, set[str]], **changes: Any) -> Task:
    fields: dict[str, Any] = {
        "name": "t",
        "table": "t",
        "data": Path(),
        "now": datetime(2026, 1, 1, tzinfo=UTC),
        "relevant": {user: frozenset(products) for user, products in relevant.items()},
        "owned": {},
        "candidates": tuple(f"p{row:03}" for row in range(200)),
    }
    return Task(**{**fields, **changes})


def make_request(dataset: str, *directories: Path, work: Path, **changes: Any) -> Request:
    fields: dict[str, Any] = {"protocol": "full", "fit": "train", "user_count": 1000, "seed": 0}
    return Request(dataset=dataset, directories=directories, work=work, **{**fields, **changes})


def write_lists(directory: Path, *, train: str, test: str, valid: str | None = None) -> Path:
    directory.mkdir()
    (directory / "train.txt").write_text(train)
    (directory / "test.txt").write_text(test)
    if valid is not None:
        (directory / "valid.txt").write_text(valid)
    return directory


def write_ncf(directory: Path) -> Path:
    directory.mkdir()
    (directory / "own.train.rating").write_text("0\t1\t5\t10\n0\t2\t4\t20\n1\t3\t1\t30\n")
    (directory / "own.test.rating").write_text("0\t3\t5\t40\n1\t1\t2\t50\n")
    (directory / "own.test.negative").write_text("(0,3)\t3\t1\t2\n(1,1)\t2\n")
    return directory


def test_nobody_to_test_is_refused() -> None:
    with pytest.raises(EmptyTestError, match="at least one user"):
        make_task({})


def test_a_constant_scorer_hits_one_in_ten_of_a_hundred() -> None:
    negatives = {"u": frozenset(f"p{row:03}" for row in range(1, 100))}
    task = make_task({"u": {"p000"}}, negatives=negatives)
    assert evaluate_task(task, Constant(), k=10).recall[0] == pytest.approx(0.10)


def test_a_negative_that_is_the_positive_is_dropped() -> None:
    negatives = {"u": frozenset(f"p{row:03}" for row in range(20))}
    task = make_task({"u": {"p000"}}, negatives=negatives)
    # Twenty products are left, not twenty-one.
    assert evaluate_task(task, Constant(), k=10).recall[0] == pytest.approx(0.5)


def test_a_test_product_that_nobody_knows_counts_as_missed() -> None:
    task = make_task({"u": {"p000", "never"}}, candidates=("p000",))
    assert evaluate_task(task, Constant(), k=10).recall[0] == 0.5


def test_a_user_that_nobody_knows_is_asked_about() -> None:
    task = make_task({"stranger": {"p001"}})
    assert evaluate_task(task, Constant(), k=10).user_ids == ("stranger",)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_scorer_that_gives_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ScoreValueError):
        evaluate_task(make_task({"u": {"p000"}}), Constant(bad), k=10)


def test_one_user_and_one_product_are_enough() -> None:
    task = make_task({"u": {"p000"}}, candidates=("p000",))
    outcome = evaluate_task(task, Constant(), k=10)
    assert (outcome.recall[0], outcome.ndcg[0]) == (1.0, 1.0)


def test_the_best_list_leaves_out_what_is_no_candidate() -> None:
    task = make_task({"u": {"p003"}}, owned={"u": frozenset({"p000"})}, candidates=("p000", "p001", "p003"))
    assert list_best(task, Constant(), ["u"], k=20) == [("p001", "p003")]


def test_a_sample_of_users_depends_on_the_seed_alone() -> None:
    everybody = {str(row): frozenset({"p"}) for row in range(100)}
    backwards = dict(reversed(everybody.items()))
    assert sample_users(everybody, 7, seed=0) == sample_users(backwards, 7, seed=0)
    assert sample_users(everybody, 7, seed=0) != sample_users(everybody, 7, seed=1)
    assert sample_users(everybody, 100, seed=0) == everybody


def test_lists_are_ranked_in_full_without_what_was_fitted(tmp_path: Path) -> None:
    source = write_lists(tmp_path / "own", train="0 1 2\n1 2 3\n", test="0 3\n1\n7 1\n")
    (task,) = make_tasks(make_request("pairs", source, work=tmp_path / "work"), SILENT)
    assert task.candidates == ("C1", "C2", "C3")
    # User 1 has no test product, user 7 no history.
    assert task.relevant == {"0": frozenset({"C3"}), "7": frozenset({"C1"})}
    assert task.owned["0"] == frozenset({"C1", "C2"})


def test_fitting_the_validation_part_too_masks_it_too(tmp_path: Path) -> None:
    source = write_lists(tmp_path / "own", train="0 1\n1 2 3\n", test="0 3\n", valid="0 2\n")
    (task,) = make_tasks(make_request("pairs", source, work=tmp_path / "a"), SILENT)
    assert task.owned["0"] == frozenset({"C1"})
    (task,) = make_tasks(make_request("pairs", source, work=tmp_path / "b", fit="train+valid"), SILENT)
    assert task.owned["0"] == frozenset({"C1", "C2"})


def test_fitting_a_validation_part_that_is_not_there_is_refused(tmp_path: Path) -> None:
    source = write_lists(tmp_path / "own", train="0 1\n", test="0 3\n")
    with pytest.raises(BenchmarkInputError, match=r"valid\.txt"):
        make_tasks(make_request("pairs", source, work=tmp_path / "work", fit="train+valid"), SILENT)


def test_published_negatives_are_the_only_candidates(tmp_path: Path) -> None:
    source = write_ncf(tmp_path / "own")
    request = make_request("pairs", source, work=tmp_path / "work", protocol="sampled")
    (task,) = make_tasks(request, SILENT)
    assert task.negatives == {"0": frozenset({"C3", "C1", "C2"}), "1": frozenset({"C2"})}
    # C1 and C2 are user 0's own and no candidates; the positive is alone.
    assert evaluate_task(task, Constant(), k=1).recall.tolist() == [1.0, 0.5]


def test_two_directories_are_two_tasks_over_one_data_set(tmp_path: Path) -> None:
    first = write_lists(tmp_path / "a", train="0 1 2\n1 2\n", test="0 3\n1 1\n")
    second = write_lists(tmp_path / "b", train="0 1\n2 4\n", test="0 4\n")
    learning, financial = make_tasks(make_request("pairs", first, second, work=tmp_path / "work"), SILENT)
    assert (learning.table, financial.table) == ("learning", "financial")
    assert learning.data == financial.data
    assert financial.candidates == ("F1", "F4")
    assert financial.relevant == {"0": frozenset({"F4"})}
    assert financial.owned["0"] == frozenset({"C1", "C2", "F1"})


@pytest.mark.parametrize("protocol", ["leave-one-out", "full", "sampled"])
def test_documented_data_is_held_out_by_every_protocol(protocol: str, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", make_events())
    (task,) = make_tasks(make_request("data", data, work=tmp_path / "work", protocol=protocol), SILENT)
    assert all(not (task.relevant[user] & task.owned.get(user, frozenset())) for user in task.users)
    assert (task.negatives is not None) == (protocol == "sampled")
    if task.negatives is not None:
        assert all(not task.negatives[user] & task.relevant[user] for user in task.users)
        assert all(not task.negatives[user] & task.owned[user] for user in task.users)


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("test.txt", "0 1\n1 x\n", r"test\.txt: line 2"),
        ("own.test.rating", "0\t1\t5\n5\n", r"own\.test\.rating: line 2"),
    ],
)
def test_a_held_out_line_that_is_wrong_is_named(name: str, text: str, named: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BenchmarkInputError, match=named):
        read_held_out(tmp_path, "C")


def test_a_line_of_negatives_without_its_pair_is_named(tmp_path: Path) -> None:
    write_ncf(tmp_path / "own")
    (tmp_path / "own" / "own.test.negative").write_text("(0,3)\t1\n0,\t2\n")
    with pytest.raises(BenchmarkInputError, match=r"own\.test\.negative: line 2"):
        read_held_out(tmp_path / "own", "C")


def test_without_a_held_out_part_there_is_nothing_to_evaluate(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkInputError, match=r"test\.txt"):
        read_held_out(tmp_path, "C")


def test_the_interval_of_equal_values_is_a_point() -> None:
    found = estimate([["u", "v", "w"]], [np.array([0.5, 0.5, 0.5])])
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_mean_is_over_users_and_then_over_splits() -> None:
    found = estimate([["u"], ["u", "v", "w"]], [np.array([1.0]), np.array([0.0, 0.0, 0.3])])
    assert found.mean == pytest.approx((1.0 + 0.1) / 2)


def test_the_interval_has_the_width_of_the_standard_error() -> None:
    values = np.random.default_rng(1).random(2000)
    found = estimate([[f"u{row}" for row in range(2000)]], [values])
    # 1.96 standard errors either side; a thousand resamples know the edges to a few per cent.
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(2000), rel=0.15)


def test_a_user_of_many_splits_is_drawn_as_a_whole() -> None:
    values = np.random.default_rng(1).random(300)
    users = [f"u{row}" for row in range(300)]
    once, often = estimate([users], [values]), estimate([users] * 9, [values] * 9)
    assert often.high - often.low == pytest.approx(once.high - once.low)
