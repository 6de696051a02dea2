"""The temporal protocol on splits small enough to work out by hand."""

import csv
import gzip
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.ranking import Outcome, evaluate_task
from benchmarks.evaluate.task import Scores
from benchmarks.evaluate.temporal import Split, make_task, read_far_trans_splits


class FixedScorer:
    """Gives every user the same scores."""

    def __init__(self, scores: dict[str, float]) -> None:
        self._scores = scores

    def score(self, user_ids: Sequence[str], product_ids: Sequence[str]) -> Scores:
        return np.tile(np.array([self._scores[product] for product in product_ids]), (len(user_ids), 1))


def make_split(purchases: dict[str, set[str]], owned: dict[str, set[str]]) -> Split:
    return Split(
        number=3,
        time_point="2020-01-01",
        eligible=("a", "b", "c", "d"),
        purchases={user: frozenset(products) for user, products in purchases.items()},
        owned={user: frozenset(products) for user, products in owned.items()},
    )


def evaluate(split: Split, scores: dict[str, float]) -> Outcome:
    return evaluate_task(make_task(split, Path()), FixedScorer(scores), k=10)


def test_owned_products_are_no_candidates() -> None:
    split = make_split({"u": {"b"}}, {"u": {"a"}})
    assert evaluate(split, {"a": 9, "b": 5, "c": 1, "d": 0}).ndcg.tolist() == [1.0]


def test_users_without_an_earlier_purchase_do_not_count() -> None:
    split = make_split({"u": {"b"}, "new": {"c"}}, {"u": {"a"}})
    assert split.users == ["u"]


def test_equal_scores_count_by_their_expectation() -> None:
    split = make_split({"u": {"c"}}, {"u": {"z"}})
    expected = sum(1 / math.log2(place + 2) for place in range(4)) / 4
    assert evaluate(split, dict.fromkeys("abcd", 7.0)).ndcg[0] == pytest.approx(expected)


def test_outcomes_hold_every_user() -> None:
    split = make_split({"u": {"a"}, "v": {"b"}}, {"u": {"z"}, "v": {"z"}})
    outcome = evaluate(split, {"a": 4, "b": 3, "c": 2, "d": 1})
    assert outcome.user_ids == ("u", "v")
    assert outcome.ndcg == pytest.approx([1.0, 1 / math.log2(3)])
    assert outcome.recall.tolist() == [1.0, 1.0]


def write_far_trans(directory: Path) -> None:
    (directory / "splits_dev.csv").write_text("split,time_point\n0,2020-01-02\n1,2020-02-01\n")
    with (directory / "transactions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customerID", "ISIN", "timestamp"])
        writer.writerows([["u", "a", "2020-01-01"], ["u", "b", "2020-01-02"], ["v", "a", "2020-01-20"]])
    for name, rows in (("tests", "0,u,c\n1,v,c\n"), ("eligible_assets", "0,c\n0,a\n1,c\n")):
        header = "split,customerID,ISIN\n" if name == "tests" else "split,ISIN\n"
        with gzip.open(directory / f"split_{name}_dev.csv.gz", "wt") as file:
            file.write(header + rows)


def test_read_splits_owns_only_what_is_dated_before_the_time_point(tmp_path: Path) -> None:
    write_far_trans(tmp_path)
    first, second = read_far_trans_splits(tmp_path, [0, 1])
    assert first.owned == {"u": frozenset({"a"})}
    assert second.owned == {"u": frozenset({"a", "b"}), "v": frozenset({"a"})}
    assert first.eligible == ("a", "c")
    assert first.purchases == {"u": frozenset({"c"})}


def test_read_splits_refuses_an_unknown_split(tmp_path: Path) -> None:
    write_far_trans(tmp_path)
    with pytest.raises(BenchmarkInputError, match=r"\[7\]"):
        read_far_trans_splits(tmp_path, [7])


def test_read_splits_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkInputError, match=r"splits_dev\.csv"):
        read_far_trans_splits(tmp_path, [0])
