"""Chooses a diverse list by maximal marginal relevance, in plain numpy: the definition."""

import numpy as np
from numpy.typing import NDArray


def mmr(
    scores: NDArray[np.float64], vectors: NDArray[np.float64], k: int, trade_off: float
) -> NDArray[np.int64]:
    """Chooses k candidates one after another, each good and unlike those that were chosen before it.

    Each step takes the candidate with the largest
    `trade_off * score - (1 - trade_off) * (largest cosine to a chosen one, 0 for the first)`; of equal ones
    the first. So 1 keeps the order of the scores, and 0 looks at the vectors alone.

    Args:
        scores: relevance on the scale of a cosine, for example 0 to 1, float64 [n].
        vectors: unit length, or zero for a candidate that is like nothing, float64 [n, dim].
        k: how many to choose.
        trade_off: 0 to 1.

    Returns:
        Positions in the order of choice, int64 [min(k, n)].

    Source: Carbonell and Goldstein 1998, "The use of MMR, diversity-based reranking".
    """
    assert 0 <= trade_off <= 1, f"trade_off must be 0 to 1, not {trade_off}"
    assert k >= 0, f"k must not be negative, but is {k}"
    chosen = np.zeros(min(k, len(scores)), np.int64)
    free = np.ones(len(scores), np.bool_)
    likeness = np.zeros(len(scores))  # [n], the largest cosine to a chosen candidate
    for step in range(len(chosen)):
        worth = trade_off * scores - (1 - trade_off) * likeness
        best = int(np.argmax(np.where(free, worth, -np.inf)))
        chosen[step], free[best] = best, False
        cosines = vectors @ vectors[best]  # [n]
        likeness = cosines if step == 0 else np.maximum(likeness, cosines)
    return chosen
