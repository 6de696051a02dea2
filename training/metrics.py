"""Validation measures over full rankings, in NumPy; a product of the user's past is never a candidate."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.split import Validation

RECALL_K: Final = 20
NDCG_K: Final = 10
_CHUNK_COUNT: Final = 256  # Users scored at once: a chunk against 100,000 products takes 100 MB.


@dataclass(frozen=True)
class RankingQuality:
    """Holds means over the validation users."""

    recall_at_20: float
    ndcg_at_10: float


def measure_ranking(
    user_vectors: NDArray[np.float32], item_vectors: NDArray[np.float32], validation: Validation
) -> RankingQuality:
    """Measures inner products against what the validation users did next.

    Recall is hits / |held-out products|; the ideal ranking of ndcg is cut at min(10, |held-out products|).

    Args:
        user_vectors: float32 [validation users, dim].
        item_vectors: float32 [products, dim], in catalogue order.
        validation: the users' pasts and held-out products.
    """
    count = len(user_vectors)
    wanted_count = np.bincount(validation.pair_user, minlength=count)
    recall, gain = np.zeros(count), np.zeros(count)
    discount = 1.0 / np.log2(np.arange(2, NDCG_K + 2))
    for start in range(0, count, _CHUNK_COUNT):
        chunk = slice(start, min(start + _CHUNK_COUNT, count))
        hit = _find_hits(user_vectors[chunk] @ item_vectors.T, validation, start)  # [chunk, k]
        recall[chunk] = hit.sum(axis=1) / wanted_count[chunk]
        gain[chunk] = hit[:, :NDCG_K] @ discount[: min(NDCG_K, hit.shape[1])]
    ideal = np.cumsum(discount)[np.minimum(wanted_count, NDCG_K) - 1]
    return RankingQuality(float(recall.mean()), float((gain / ideal).mean()))


def measure_popularity(item_share: NDArray[np.float32], validation: Validation) -> RankingQuality:
    """Measures the list that ranks every product by its share of the training targets."""
    constant = np.ones((len(validation.users.user_row), 1), np.float32)
    return measure_ranking(constant, item_share[:, None], validation)


def _find_hits(scores: NDArray[np.float32], validation: Validation, start: int) -> NDArray[np.bool_]:
    """Marks which of each user's best products were wanted, best first."""
    wanted = np.zeros(scores.shape, np.bool_)
    _mark(wanted, validation.pair_user - start, validation.pair_item)
    seen = np.zeros(scores.shape, np.bool_)
    _mark(seen, validation.seen_user - start, validation.seen_item)
    scores = np.where(seen, -np.inf, scores)
    k = min(RECALL_K, scores.shape[1])
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(wanted, np.take_along_axis(best, order, axis=1), axis=1)


def _mark(mask: NDArray[np.bool_], user: NDArray[np.int64], item: NDArray[np.int64]) -> None:
    inside = (user >= 0) & (user < len(mask))
    mask[user[inside], item[inside]] = True
