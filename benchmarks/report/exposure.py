"""Measures of lists: how much of the catalogue they show, how evenly, and how varied each one is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluate.metrics import FloatArray

IntArray = NDArray[np.int64]


def discount(k: int) -> FloatArray:
    """Returns what each rank is worth: the attention that it gets, float64 [k].

    Source: Singh and Joachims 2018 take the discount of DCG, 1 / log2(rank + 1), for exposure.
    """
    return 1.0 / np.log2(np.arange(2, k + 2))


def measure_exposure(lists: IntArray, product_count: int) -> FloatArray:
    """Sums the exposure of each product over all lists.

    Args:
        lists: columns of products, int64 [users, k], -1 where there is none.
        product_count: number of columns.

    Returns:
        float64 [products].
    """
    worth = np.broadcast_to(discount(lists.shape[1]), lists.shape)
    shown = lists >= 0
    # Without any entry numpy counts in whole numbers.
    return np.bincount(lists[shown], worth[shown], product_count).astype(np.float64)


def gini(amounts: FloatArray) -> float:
    """Returns the Gini coefficient: 0 where all have the same, near 1 where one has everything.

    Zero amounts count. Nothing at all is evenly spread: 0.

    Source: Gini 1912, by the sorted form: sum of (2 i - n - 1) x_i over n sum x, i from 1 upwards.
    """
    total = amounts.sum()
    if total == 0:
        return 0.0
    count = len(amounts)
    places = 2 * np.arange(1, count + 1) - count - 1
    return float((places * np.sort(amounts)).sum() / (count * total))


def measure_diversity(lists: IntArray, item_vectors: NDArray[np.int32]) -> FloatArray:
    """Returns each list's mean distance between two of its products, 1 - cosine.

    Args:
        lists: int64 [users, k], -1 where there is none.
        item_vectors: int32 [products, dim]; one that is zero is at distance 1 of every other.

    Returns:
        float64 [users]; NaN for a list of fewer than two.

    Source: Ziegler et al. 2005, intra-list similarity.
    """
    vectors = item_vectors.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    diversity = np.full(len(lists), np.nan)
    for row, shown in enumerate(lists):
        mine = directions[shown[shown >= 0]]  # [listed, dim]
        if len(mine) > 1:
            cosines = mine @ mine.T
            pairs = len(mine) * (len(mine) - 1)
            diversity[row] = 1 - (cosines.sum() - np.trace(cosines)) / pairs
    return diversity


def count_kinds(lists: IntArray, kinds: Sequence[object]) -> FloatArray:
    """Counts the different kinds in each list, for example categories, float64 [users]."""
    return np.array([len({kinds[column] for column in shown if column >= 0}) for shown in lists], np.float64)
