"""What every section reads: scores of the sealed bundle, verdicts of the rules, and what came later."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.dataset import DataSet, read_dataset
from benchmarks.evaluate.bundle_scorer import BundleScorer, open_current
from benchmarks.evaluate.holding import Products, collect_products
from benchmarks.evaluate.metrics import NO_CANDIDATE, FloatArray, Ranked, rank
from benchmarks.evaluate.task import sample_users
from benchmarks.report.held_out import HeldOut
from index.bundle import Bundle
from index.features import Event
from server.population import judge
from suitability.policy import Policy

Record = Mapping[str, Any]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

K: Final = 10
CHANNEL: Final = "app"
SEED: Final = 0
_BLOCK_COUNT: Final = 500  # Users scored and judged at once: 20 MB of verdicts for 2,600 products.


@dataclass(frozen=True)
class Measured:
    """Tested users by products, as the bundle scores them and as the rules judge them.

    Attributes:
        users: ids, [users].
        profiles: suitability's user fields, empty for a user without a profile, [users].
        histories: what the bundle was told of each user, oldest first, [users].
        products: ids, ascending, [products].
        catalogue: suitability's product fields, [products].
        owner_counts: number of users who have each product among what the model knows, int64 [products].
        item_vectors: the bundle's, without popularity, int32 [products, dim - 1].
        scores: the bundle's integers, NO_CANDIDATE where the user has the product, float64 [users, products].
        relevant: products that are new to the user afterwards, bool [users, products].
        suitable: products that may be shown to the user; all without rules, bool [users, products].
        policy: the rules; None where none were asked.
        clock: when they were asked.
    """

    users: tuple[str, ...]
    profiles: tuple[Record, ...]
    histories: tuple[Sequence[Event], ...]
    products: tuple[str, ...]
    catalogue: tuple[Record, ...]
    owner_counts: IntArray
    item_vectors: NDArray[np.int32]
    scores: FloatArray
    relevant: BoolArray
    suitable: BoolArray
    policy: Policy | None
    clock: datetime

    @property
    def candidates(self) -> BoolArray:
        """Returns what may be ranked if no rule is asked, bool [users, products]."""
        return np.not_equal(self.scores, NO_CANDIDATE)

    @property
    def condition(self) -> str:
        """Says under what lists are made, for people."""
        return "without rules" if self.policy is None else "under the suitability rules"

    @property
    def popularity(self) -> FloatArray:
        """Returns most-popular's scores on the same candidates, float64 [users, products]."""
        return np.where(self.candidates, self.owner_counts.astype(np.float64), NO_CANDIDATE)


def measure(held_out: HeldOut, policy: Policy | None, *, user_count: int) -> Measured:
    """Scores and judges a sample of the tested users against the whole catalogue.

    Args:
        held_out: the bundle and what came later.
        policy: the rules; None to ask none.
        user_count: the most users to test, drawn with seed 0.
    """
    dataset, bundle = read_dataset(held_out.artifacts.data), open_current(held_out.artifacts.bundles)
    relevant = sample_users(held_out.relevant, user_count, SEED)
    users, products = tuple(sorted(relevant)), tuple(sorted(bundle.product_ids))
    column_of = {product: column for column, product in enumerate(products)}
    histories = {user: dataset.history(user) for user in users}
    scorer = BundleScorer(bundle, profiles=dataset.profiles, histories=histories, now=held_out.known_until)
    scores = np.concatenate([scorer.score(block, products) for block in _cut(users)]).astype(np.float64)
    scores[_mark(users, held_out.owned, column_of)] = NO_CANDIDATE
    catalogue = tuple(dataset.products[product] for product in products)
    return Measured(
        users=users,
        profiles=tuple(dataset.profiles.get(user, {}) for user in users),
        histories=tuple(histories[user] for user in users),
        products=products,
        catalogue=catalogue,
        owner_counts=_count_owners(held_out, products),
        item_vectors=_read_vectors(bundle, products),
        scores=scores,
        relevant=_mark(users, relevant, column_of),
        suitable=(
            np.ones(scores.shape, np.bool_)
            if policy is None
            else _judge(dataset, users, catalogue, policy, held_out.clock)
        ),
        policy=policy,
        clock=held_out.clock,
    )


def measure_ranking(scores: FloatArray, relevant: BoolArray, allowed: BoolArray, *, k: int = K) -> Ranked:
    """Ranks what is allowed and measures where the relevant products are, one value for each user.

    Args:
        scores: float64 [users, products], NO_CANDIDATE where a product is no candidate.
        relevant: bool [users, products], at least one of each user; one that is not allowed is never found.
        allowed: bool [users, products].
        k: number of ranks.
    """
    users, products = np.nonzero(relevant)
    masked = np.where(allowed, scores, NO_CANDIDATE)
    return rank(masked, users.astype(np.int64), products.astype(np.int64), relevant.sum(axis=1), k)


def list_best(scores: FloatArray, allowed: BoolArray, *, k: int = K) -> IntArray:
    """Lists each user's best columns, equal scores in the order of their ids, as a server lists.

    Returns:
        int64 [users, k]; -1 where no more is allowed.
    """
    masked = np.where(allowed, scores, NO_CANDIDATE)
    lists = np.argsort(-masked, axis=1, kind="stable")[:, :k]
    listed = np.take_along_axis(masked, lists, axis=1) != NO_CANDIDATE
    return np.where(listed, lists, -1).astype(np.int64)


def _cut(users: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(users), _BLOCK_COUNT):
        yield users[start : start + _BLOCK_COUNT]


def _mark(users: Sequence[str], products: Products, column_of: Mapping[str, int]) -> BoolArray:
    marks = np.zeros((len(users), len(column_of)), np.bool_)
    for row, user in enumerate(users):
        marks[row, [column_of[product] for product in products.get(user, ()) if product in column_of]] = True
    return marks


def _count_owners(held_out: HeldOut, products: Sequence[str]) -> IntArray:
    known = collect_products(held_out.artifacts.data)
    counts = Counter(product for mine in known.values() for product in mine)
    return np.array([counts[product] for product in products], np.int64)


def _read_vectors(bundle: Bundle, products: Sequence[str]) -> NDArray[np.int32]:
    row_of = {product: row for row, product in enumerate(bundle.product_ids)}
    return bundle.item_vectors[[row_of[product] for product in products], :-1]


def _judge(
    dataset: DataSet, users: Sequence[str], catalogue: Sequence[Record], policy: Policy, clock: datetime
) -> BoolArray:
    chunks = (
        # The server derives a pseudonym for every user that it knows; the id stands for it.
        [{**dataset.profiles.get(user, {}), "pseudonym": user.encode()} for user in block]
        for block in _cut(users)
    )
    masks = judge(chunks, catalogue, policy, clock, CHANNEL)
    return np.concatenate([~mask.any(axis=2) for mask in masks])
