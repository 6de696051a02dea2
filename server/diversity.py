"""Chooses a varied list among the best products: maximal marginal relevance over the bundle's own vectors.

Whatever is compared is a whole number, so that a list can be recomputed bit for bit from the bundle.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

WHOLE: Final = 10_000
"""The trade-off that keeps the order of the scores; trade-offs are whole ten-thousandths."""

DIVERSE_K_MAX: Final = 1000
"""The longest varied list: choosing takes time with the square of its length, .13 s for so many."""

POOL_COUNT_MIN: Final = 100
POOL_PER_K: Final = 2
_DIRECTION_LENGTH: Final = 1 << 14
_ONE: Final = float(_DIRECTION_LENGTH**2)  # The cosine of a product with itself.


def count_pool(k: int, trade_off: int) -> int:
    """Returns how many of the best eligible products a list of k is chosen from."""
    return k if trade_off == WHOLE else max(POOL_COUNT_MIN, POOL_PER_K * k)


def diversify(
    scores: NDArray[np.int64], vectors: NDArray[np.int32], k: int, trade_off: int
) -> NDArray[np.int64]:
    """Chooses products one after another, each good and unlike those that were chosen before it.

    Each step takes the product with the largest
    `trade_off * relevance - (WHOLE - trade_off) * likeness`, of equal ones the first. Relevance is the score,
    brought to 0 to 1 over the products given; likeness is the largest cosine to a chosen one, 0 at first. A
    product whose vector is zero is like nothing.

    Args:
        scores: int64 [n], best first, equal ones in ascending order of their ids.
        vectors: int32 [n, dim], without popularity.
        k: how many to choose.
        trade_off: 0, variety alone, to WHOLE.

    Returns:
        positions in the order of choice, int64 [min(k, n)].

    Source: Carbonell and Goldstein 1998, "The use of MMR, diversity-based reranking".
    """
    chosen = np.zeros(min(k, len(scores)), np.int64)
    if not len(chosen):
        return chosen
    # Whole numbers far below 2^53: sums and products of such floats are exact, in any order.
    spread = max(int(scores[0] - scores[-1]), 1)
    relevance = np.rint((scores - scores[-1]) / spread * _ONE)  # [n]
    directions = _find_directions(vectors)  # [n, dim]
    worth = trade_off * relevance
    likeness = np.zeros(len(scores))  # [n]
    for step in range(len(chosen)):
        best = int(np.argmax(worth - (WHOLE - trade_off) * likeness))
        chosen[step], worth[best] = best, -np.inf
        cosines = directions @ directions[best]  # [n]
        likeness = cosines if step == 0 else np.maximum(likeness, cosines)
    return chosen


def _find_directions(vectors: NDArray[np.int32]) -> NDArray[np.float64]:
    wide = vectors.astype(np.int64)  # Sums of squares may be beyond what floats add in any order.
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    # A division by zero only ever has zero above it.
    directions: NDArray[np.float64] = np.rint(wide / np.maximum(lengths, 1.0) * _DIRECTION_LENGTH)
    return directions
