"""Defines the ranking metrics, in plain numpy, over blocks of users.

Products of equal score stand in random order, and a metric is its expected value: constant scores give every
candidate the same chance, so one positive among 99 negatives has HR@10 .10. By linearity the expectation is a
sum over relevant products: with g candidates above and e (itself included) at its score, such a product is at
each of the ranks g + 1 to g + e with chance 1 / e.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import ScoreValueError

FloatArray = NDArray[np.float64]
NO_CANDIDATE = -np.inf


@dataclass(frozen=True)
class Ranked:
    """What the first k ranks of each user's list hold, in expectation.

    Attributes:
        recall: hits / |test|, float64 [users]; with one positive it is the hit rate.
        ndcg: discounted gain over that of the best list, cut at min(k, |test|), float64 [users].
    """

    recall: FloatArray
    ndcg: FloatArray


def rank(
    scores: FloatArray,
    pair_user: NDArray[np.int64],
    pair_product: NDArray[np.int64],
    test_count: NDArray[np.int64],
    k: int,
) -> Ranked:
    """Ranks every user's candidates and measures where the relevant ones are.

    Args:
        scores: float64 [users, products], NO_CANDIDATE where a product is no candidate of the user's.
        pair_user: row of each relevant pair, [pairs].
        pair_product: column of each relevant pair, [pairs]; no pair twice.
        test_count: each user's number of relevant products, at least 1, [users]; one without a column is
            never found, and neither is one that is no candidate.
        k: number of ranks.

    Raises:
        ScoreValueError: a score is NaN or plus infinity.

    Source: Järvelin and Kekäläinen 2002, binary gains, discount 1 / log2(rank + 1); ties of McSherry and
    Najork 2008.
    """
    assert k >= 1, f"k must be at least 1, not {k}"
    assert (test_count >= 1).all(), "a user without a test product is not tested"
    bad = np.isnan(scores) | (scores == np.inf)
    if bad.any():
        raise ScoreValueError(
            f"{int(bad.sum())} of {scores.size} scores are NaN or infinite; expected numbers"
        )
    discounts = 1.0 / np.log2(np.arange(2, k + 2))  # [k]
    gained = np.concatenate([[0.0], np.cumsum(discounts)])  # [k + 1], the gain of filling the first ranks
    recall, ndcg = np.zeros(len(scores)), np.zeros(len(scores))
    for user, product in zip(pair_user, pair_product, strict=True):
        mine = scores[user]
        if mine[product] == NO_CANDIDATE:
            continue
        above = int((mine > mine[product]).sum())
        if above >= k:
            continue
        tied = int((mine == mine[product]).sum())
        last = min(above + tied, k)
        recall[user] += (last - above) / tied
        ndcg[user] += (gained[last] - gained[above]) / tied
    return Ranked(recall / test_count, ndcg / gained[np.minimum(test_count, k)])
