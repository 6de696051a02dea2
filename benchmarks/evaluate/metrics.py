"""Defines the ranking metrics in plain numpy, one user at a time.

Every metric reads `hits`: bool [k], whether the product at that rank is relevant, best rank first. A list
shorter than k is one whose candidates were exhausted; its missing ranks count as misses.
"""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray


def mark_hits(ranked: Sequence[str], relevant: Collection[str], k: int) -> NDArray[np.bool_]:
    """Marks which of the first k ranked products are relevant.

    Args:
        ranked: product ids, best first; no duplicates.
        relevant: product ids that count as a hit.
        k: number of ranks, at least 1.

    Returns:
        bool [k].
    """
    assert k >= 1, f"k must be at least 1, not {k}"
    hits = np.zeros(k, dtype=np.bool_)  # [k]
    for rank, product_id in enumerate(ranked[:k]):
        hits[rank] = product_id in relevant
    return hits


def recall_at_k(hits: NDArray[np.bool_], relevant_count: int) -> float:
    """Returns the share of the relevant products that were ranked within k.

    Args:
        hits: bool [k].
        relevant_count: number of relevant products, at least 1.
    """
    assert relevant_count >= 1, "recall needs at least one relevant product"
    return float(hits.sum()) / relevant_count


def ndcg_at_k(hits: NDArray[np.bool_], relevant_count: int) -> float:
    """Returns the discounted gain over that of the best list, the ideal cut at min(k, relevant_count).

    Args:
        hits: bool [k].
        relevant_count: number of relevant products, at least 1.

    Source: Järvelin and Kekäläinen 2002, binary gains, discount 1 / log2(rank + 1).
    """
    assert relevant_count >= 1, "nDCG needs at least one relevant product"
    discounts = 1.0 / np.log2(np.arange(2, hits.size + 2))  # [k]
    ideal = discounts[: min(hits.size, relevant_count)].sum()
    return float((hits * discounts).sum() / ideal)
