"""Validation measures over full rankings, in NumPy; a product of the user's past is never a candidate."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.split import Validation

RECALL_K: Final = 20
NDCG_K: Final = 10
Scores = NDArray[np.floating]

SCORED_COUNT: Final = 256  # Users scored at once: a chunk against 100,000 products takes 100 MB.


@dataclass(frozen=True)
class RankingQuality:
    """Holds means over the validation users."""

    recall_at_20: float
    ndcg_at_10: float


def measure_ranking(
    user_vectors: NDArray[np.float32], item_vectors: NDArray[np.float32], validation: Validation
) -> RankingQuality:
    """Measures inner products against what the validation users did next.

    Args:
        user_vectors: float32 [validation users, dim].
        item_vectors: float32 [products, dim], in catalogue order.
        validation: the users' pasts and held-out products.
    """
    count = len(user_vectors)
    chunks = (slice(start, min(start + SCORED_COUNT, count)) for start in range(0, count, SCORED_COUNT))
    best = [
        list_best(hide_seen(user_vectors[chunk] @ item_vectors.T, validation, chunk.start))
        for chunk in chunks
    ]
    return measure_lists(np.concatenate(best), validation)


def measure_lists(best: NDArray[np.int64], validation: Validation) -> RankingQuality:
    """Measures ranked lists against what the validation users did next.

    Recall is hits / |held-out products|; the ideal ranking of ndcg is cut at min(10, |held-out products|).

    Args:
        best: each user's best products, best first, int64 [validation users, k].
        validation: the users' held-out products.
    """
    wanted_count = np.bincount(validation.pair_user, minlength=len(best))
    item_count = 1 + max(best.max(initial=0), validation.pair_item.max(initial=0))
    wanted = validation.pair_user * item_count + validation.pair_item
    hit = np.isin(np.arange(len(best))[:, None] * item_count + best, wanted)  # [users, k]
    discount = 1.0 / np.log2(np.arange(2, NDCG_K + 2))
    gain = hit[:, :NDCG_K] @ discount[: min(NDCG_K, hit.shape[1])]
    ideal = np.cumsum(discount)[np.minimum(wanted_count, NDCG_K) - 1]
    recall = hit.sum(axis=1) / wanted_count
    return RankingQuality(float(recall.mean()), float((gain / ideal).mean()))


def measure_popularity(item_share: NDArray[np.float32], validation: Validation) -> RankingQuality:
    """Measures the list that ranks every product by its share of the training targets."""
    constant = np.ones((len(validation.users.user_row), 1), np.float32)
    return measure_ranking(constant, item_share[:, None], validation)


def hide_seen(scores: Scores, validation: Validation, start: int) -> Scores:
    """Gives the products of a user's past the score -inf; row 0 of [chunk, products] is user `start`."""
    seen = np.zeros(scores.shape, np.bool_)
    user = validation.seen_user - start
    inside = (user >= 0) & (user < len(seen))
    seen[user[inside], validation.seen_item[inside]] = True
    return np.where(seen, -np.inf, scores)


def list_best(scores: Scores, count: int = RECALL_K) -> NDArray[np.int64]:
    """Lists the products of the best scores of each row, best first, int64 [rows, <= count]."""
    k = min(count, scores.shape[1])
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)
