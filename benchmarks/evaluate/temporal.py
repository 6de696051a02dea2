"""Evaluates by the temporal protocol: rolling splits in time, each with its own candidates.

At each split the scorer knows only what is dated before the time point. Candidates are the split's eligible
products less those the user already owns; users are those with a test purchase and at least one earlier one
(the `eligible_customers` of the FAR-Trans splits). A metric is averaged over users, then over splits.
"""

import csv
import gzip
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.metrics import mark_hits, ndcg_at_k, recall_at_k

USER_BLOCK = 512

Scores = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True)
class Split:
    """One point in time: who is tested on what, among which candidates.

    Attributes:
        number: position in time, from 0.
        time_point: ISO date; everything dated before it is known.
        eligible: product ids that may be ranked, ascending.
        purchases: for each tested user the products bought after the time point, none owned before it.
        owned: for each user the products owned before the time point.
    """

    number: int
    time_point: str
    eligible: tuple[str, ...]
    purchases: Mapping[str, frozenset[str]]
    owned: Mapping[str, frozenset[str]]

    @property
    def users(self) -> list[str]:
        """Returns the users that count: tested, and with a history at the time point."""
        return sorted(user for user in self.purchases if user in self.owned)


class Scorer(Protocol):
    """Anything that scores products for users: a baseline, a model, a sealed bundle, a server."""

    def score(self, user_ids: Sequence[str], product_ids: Sequence[str]) -> Scores:
        """Returns scores [users, products]; higher is better, ties go to the smaller product id."""
        ...


@dataclass(frozen=True)
class SplitResult:
    """What one scorer reached on one split."""

    split: int
    user_count: int
    ndcg_at_10: float
    recall_at_10: float


def evaluate_split(split: Split, scorer: Scorer, *, k: int = 10) -> SplitResult:
    """Ranks every candidate for every user of the split and averages the metrics over users.

    Args:
        split: the split.
        scorer: knows only what is dated before the split's time point.
        k: list length.
    """
    users = split.users
    products = np.array(split.eligible)
    ndcg: list[float] = []
    recall: list[float] = []
    for start in range(0, len(users), USER_BLOCK):
        block = users[start : start + USER_BLOCK]
        scores = scorer.score(block, split.eligible)  # [block, products]
        # A stable sort of descending scores keeps equal scores in ascending id order, as the server does.
        order = np.argsort(-scores, axis=1, kind="stable")  # [block, products]
        for user, ranking in zip(block, order, strict=True):
            owned, relevant = split.owned[user], split.purchases[user]
            # Only owned products are skipped, so the head of the ranking is enough.
            head = products[ranking[: k + len(owned)]]
            ranked = [product for product in head if product not in owned]
            hits = mark_hits(ranked, relevant, k)
            ndcg.append(ndcg_at_k(hits, len(relevant)))
            recall.append(recall_at_k(hits, len(relevant)))
    return SplitResult(split.number, len(users), float(np.mean(ndcg)), float(np.mean(recall)))


def read_far_trans_splits(directory: Path, numbers: Sequence[int]) -> list[Split]:
    """Reads the splits that lie beside the FAR-Trans files.

    Args:
        directory: holds transactions.csv, splits_dev.csv and the two split lists.
        numbers: which splits.

    Raises:
        BenchmarkInputError: a file or a split is missing.
    """
    time_points = {int(row["split"]): row["time_point"] for row in _read_rows(directory / "splits_dev.csv")}
    unknown = sorted(set(numbers) - set(time_points))
    if unknown:
        held = f"{min(time_points)} to {max(time_points)}"
        raise BenchmarkInputError(f"splits_dev.csv has no splits {unknown}; it holds {held}")
    eligible: dict[int, list[str]] = defaultdict(list)
    for row in _read_rows(directory / "split_eligible_assets_dev.csv.gz"):
        eligible[int(row["split"])].append(row["ISIN"])
    purchases: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in _read_rows(directory / "split_tests_dev.csv.gz"):
        purchases[int(row["split"])][row["customerID"]].add(row["ISIN"])
    transactions = [
        (row["timestamp"], row["customerID"], row["ISIN"])
        for row in _read_rows(directory / "transactions.csv")
    ]
    return [
        Split(
            number=number,
            time_point=time_points[number],
            eligible=tuple(sorted(eligible[number])),
            purchases={user: frozenset(products) for user, products in purchases[number].items()},
            owned=_owned_before(transactions, time_points[number]),
        )
        for number in numbers
    ]


def _owned_before(transactions: Sequence[tuple[str, str, str]], time_point: str) -> dict[str, frozenset[str]]:
    owned: dict[str, set[str]] = defaultdict(set)
    for date, user, product in transactions:
        if date < time_point:
            owned[user].add(product)
    return {user: frozenset(products) for user, products in owned.items()}


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise BenchmarkInputError(f"{path.name} is missing in {path.parent}")
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
