"""Measures what quantising costs: exact integer search against exact float search on real users."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.reference import quantise

RECALL_K: Final = 20
CANDIDATE_COUNT: Final = 100  # The oversampling that the integer re-score starts from.
_INT8_LIMIT: Final = 127


@dataclass(frozen=True)
class QuantisationLoss:
    """Holds means over the calibration users, against the float search's best RECALL_K products.

    recall_at_20 is the overlap with the integer search's best 20; recall_at_20_of_100 is how much of it is
    among the integer search's best 100.
    """

    recall_at_20: float
    recall_at_20_of_100: float
    user_count: int


def measure_int16(
    users: NDArray[np.float32], items: NDArray[np.float32], *, user_scale: float, item_scale: float
) -> QuantisationLoss:
    """Measures int16 users against int16 items, as the server scores."""
    return _measure(users, items, quantise(users, user_scale), quantise(items, item_scale))


def measure_int8(users: NDArray[np.float32], items: NDArray[np.float32]) -> QuantisationLoss:
    """Measures int8 users against int8 items, each over its own full range, as the int8 scan retrieves."""
    return _measure(users, items, _to_int8(users), _to_int8(items))


def _to_int8(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    largest = float(np.abs(vectors).max(initial=0.0)) or 1.0
    steps: NDArray[np.float32] = np.rint(vectors * (_INT8_LIMIT / largest))
    return steps.astype(np.int8)


def _measure(
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    user_integers: NDArray[np.int16] | NDArray[np.int8],
    item_integers: NDArray[np.int16] | NDArray[np.int8],
) -> QuantisationLoss:
    exact = items.astype(np.float64).T
    # Products of integers this small are exact in float64, and float64 multiplies faster than int64.
    coarse = item_integers.astype(np.float64).T
    near, wide = 0, 0
    k = min(RECALL_K, len(items))
    for user, integers in zip(users.astype(np.float64), user_integers.astype(np.float64), strict=True):
        wanted = _best(user @ exact, k)
        found = _best(integers @ coarse, CANDIDATE_COUNT)
        near += len(np.intersect1d(wanted, found[:k]))
        wide += len(np.intersect1d(wanted, found))
    return QuantisationLoss(near / (k * len(users)), wide / (k * len(users)), len(users))


def _best(scores: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    return np.argsort(-scores, kind="stable")[:count]
