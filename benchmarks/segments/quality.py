"""Measures lists with and without association rules, and what stands in for a missing vector or history."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.holding import Products
from benchmarks.evaluate.intervals import Estimate, estimate, estimate_gain
from benchmarks.evaluate.metrics import NO_CANDIDATE, rank
from benchmarks.segments.users import Asked, Scores, find_kindred, score
from index.bundle import Bundle

K: Final = 20
RULES: Final = "association rules"
FALLBACK: Final = "no usable vector"
COLD: Final = "no history"

Change = Callable[[slice, Scores], Scores]


@dataclass(frozen=True)
class Row:
    """How good the lists of one way to rank are; a gain is over the first row of the same question."""

    question: str
    way: str
    user_count: int
    recall: Estimate
    ndcg: Estimate
    ndcg_gain: Estimate | None


@dataclass(frozen=True)
class Reach:
    """How far rules reach.

    Attributes:
        rule_count: rules of the bundle.
        asked_share: share of the users whose history a rule leads from.
        listed_share: share of all listed products of learning content that a rule leads to.
    """

    rule_count: int
    asked_share: float
    listed_share: float


@dataclass(frozen=True)
class Question:
    """What is asked of every way to rank: bools are [users, products]."""

    name: str
    asked: Asked
    relevant: NDArray[np.bool_]
    candidates: NDArray[np.bool_]


def measure_rules(
    bundle: Bundle, asked: Asked, relevant: Products, owned: Products
) -> tuple[list[Row], Reach]:
    """Measures learning content ranked by the model alone, and with the rules' boosts.

    Raises:
        BenchmarkInputError: the bundle has no rules.
    """
    rules = bundle.associations
    if rules is None:
        raise BenchmarkInputError("the bundle has no associations.parquet; export and build it again")
    question = _make_question(RULES, bundle, asked, relevant, owned, row_stop=bundle.learning_count)
    suggestions = [rules.suggest(rows) for rows in asked.histories]
    every = np.arange(len(bundle.product_ids))
    listed_count = suggested_count = 0

    def boost(block: slice, scores: Scores) -> Scores:
        nonlocal listed_count, suggested_count
        boosted = scores + np.stack([mine.boost(every) for mine in suggestions[block]])
        masked = np.where(question.candidates[block], boosted, NO_CANDIDATE)
        best = np.argsort(-masked, axis=1, kind="stable")[:, :K]
        for mine, rows in zip(suggestions[block], best, strict=True):
            listed_count += len(rows)
            suggested_count += int(np.isin(rows, mine.rows).sum())
        return boosted

    alone = _measure(question, bundle, "model alone", asked.vectors, None)
    with_rules = _measure(question, bundle, "model and rules", asked.vectors, boost)
    share = sum(len(mine.rows) > 0 for mine in suggestions) / len(suggestions)
    reach = Reach(len(rules.consequents), share, suggested_count / max(1, listed_count))
    return _compare(question, [alone, with_rules]), reach


def measure_stand_ins(
    bundle: Bundle, asked: Asked, relevant: Products, owned: Products, owners: NDArray[np.int64]
) -> list[Row]:
    """Measures what could stand in for a vector that cannot be used, and for a history that is missing.

    Args:
        bundle: the bundle.
        asked: the users.
        relevant: what each took later.
        owned: what each has.
        owners: users of each segment who have each product, int64 [segments, products].

    Raises:
        BenchmarkInputError: the bundle has no segments.
    """
    segments = bundle.segments
    if segments is None:
        raise BenchmarkInputError("the bundle has no segments.json; export and build it again")
    rows = []
    for name, first, places in (
        (FALLBACK, None, find_kindred(bundle, segments, asked.histories)),
        (COLD, asked.cold_vectors, segments.assign(asked.cold_vectors)),
    ):
        question = _make_question(name, bundle, asked, relevant, owned, row_stop=len(bundle.product_ids))
        ways = [_measure(question, bundle, "most popular", asked.vectors, _replace(owners.sum(axis=0)))]
        if first is not None:
            ways.insert(0, _measure(question, bundle, "model, profile alone", first, None))
        ways.append(_measure(question, bundle, "segment's centroid", segments.centroids[places], None))
        ways.append(_measure(question, bundle, "segment's owners", asked.vectors, _replace(owners[places])))
        if first is None:
            ways.append(_measure(question, bundle, "the user's own vector", asked.vectors, None))
        rows += _compare(question, ways)
    return rows


@dataclass(frozen=True)
class _Way:
    name: str
    recall: Scores  # [users with something to find]
    ndcg: Scores


def _make_question(
    name: str, bundle: Bundle, asked: Asked, relevant: Products, owned: Products, *, row_stop: int
) -> Question:
    """Asks about the rows [0, row_stop), and of the users who took one of them later."""
    row_of = {product_id: row for row, product_id in enumerate(bundle.product_ids)}
    wanted = _mark(asked, relevant, row_of)
    candidates = ~_mark(asked, owned, row_of)
    wanted[:, row_stop:] = candidates[:, row_stop:] = False
    return Question(name, asked, wanted, candidates)


def _measure(
    question: Question, bundle: Bundle, name: str, queries: NDArray[np.int32], change: Change | None
) -> _Way:
    recall, ndcg = [], []
    for block, scores in score(bundle, queries):
        changed = scores if change is None else change(block, scores)
        relevant = question.relevant[block]
        tested = relevant.any(axis=1)
        masked = np.where(question.candidates[block], changed, NO_CANDIDATE)[tested]
        users, products = np.nonzero(relevant[tested])
        found = rank(masked, users, products, relevant[tested].sum(axis=1), K)
        recall.append(found.recall)
        ndcg.append(found.ndcg)
    return _Way(name, np.concatenate(recall), np.concatenate(ndcg))


def _compare(question: Question, ways: list[_Way]) -> list[Row]:
    users = [[question.asked.users[place] for place in np.flatnonzero(question.relevant.any(axis=1))]]
    return [
        Row(
            question=question.name,
            way=way.name,
            user_count=len(users[0]),
            recall=estimate(users, [way.recall]),
            ndcg=estimate(users, [way.ndcg]),
            ndcg_gain=None if way is ways[0] else estimate_gain(users, [way.ndcg], [ways[0].ndcg]),
        )
        for way in ways
    ]


def _replace(counts: NDArray[np.int64]) -> Change:
    """Ranks by counts, [products] or [users, products], in place of scores."""

    def change(block: slice, scores: Scores) -> Scores:
        mine = counts if counts.ndim == 1 else counts[block]
        return np.broadcast_to(mine, scores.shape).astype(np.float64)

    return change


def _mark(asked: Asked, products: Products, row_of: Mapping[str, int]) -> NDArray[np.bool_]:
    marks = np.zeros((len(asked.users), len(row_of)), np.bool_)
    for place, user in enumerate(asked.users):
        marks[place, [row_of[name] for name in products.get(user, ()) if name in row_of]] = True
    return marks
