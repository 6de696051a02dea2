"""The plain definition of quantise, score and select, in NumPy.

The native kernel and every faster path must agree with these functions bit for bit. Scores are integers:
int16 vectors, int64 accumulation, no rounding after the tower. The order of a list is total: score
descending, then `id_rank` ascending (the position of a product_id in ascending UTF-8 byte order).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index.errors import VectorValueError

Int16Array = NDArray[np.int16]
Int64Array = NDArray[np.int64]
Float32Array = NDArray[np.float32]

INT16_LIMIT = 32767
"""Largest magnitude after quantising; -32768 is never produced, so negating a vector is exact."""


def quantise(vectors: Float32Array, scale: float) -> Int16Array:
    """Turns float vectors into int16: multiplied by `scale`, rounded half to even, saturated at +-32767.

    Args:
        vectors: float32 [n, dim] or [dim], finite.
        scale: positive finite number of integer steps per unit.

    Returns:
        int16, same shape.

    Raises:
        VectorValueError: a value is NaN or infinite, or the scale is not positive and finite.
    """
    scaled = _scaled(vectors, scale)
    return np.clip(scaled, -INT16_LIMIT, INT16_LIMIT).astype(np.int16)


def count_saturated(vectors: Float32Array, scale: float) -> int:
    """Counts the values that `quantise` would clip."""
    return int(np.count_nonzero(np.abs(_scaled(vectors, scale)) > INT16_LIMIT))


def score(user: Int16Array, items: Int16Array) -> Int64Array:
    """Scores items for one user: the integer dot product.

    Args:
        user: int16 [dim].
        items: int16 [n, dim].

    Returns:
        int64 [n].
    """
    return items.astype(np.int64) @ user.astype(np.int64)  # [n]


def select(scores: Int64Array, id_rank: Int64Array, k: int) -> Int64Array:
    """Selects the best k positions: score descending, id_rank ascending.

    Args:
        scores: int64 [n].
        id_rank: int64 [n], distinct.
        k: number of positions wanted, at least 0.

    Returns:
        positions, int64 [<= k], best first.
    """
    order = np.lexsort((id_rank, -scores))  # [n]
    return order[:k].astype(np.int64)


def rank_ids(product_ids: Sequence[str]) -> Int64Array:
    """Ranks ids by ascending UTF-8 byte order: result[row] is the position of that row's id."""
    order = sorted(range(len(product_ids)), key=lambda row: product_ids[row].encode("utf-8"))
    ranks = np.empty(len(product_ids), dtype=np.int64)  # [n]
    ranks[order] = np.arange(len(product_ids), dtype=np.int64)
    return ranks


def item_scale_for(vectors: Float32Array) -> float:
    """Returns the item scale that uses the whole int16 range: 32767 / max|v|, or 32767 for all zeros."""
    return _full_range_scale(vectors, headroom=1.0)


def user_scale_for(vectors: Float32Array, *, unit_length: bool) -> float:
    """Returns the user scale: 32767 for unit-length vectors, else a quarter of the calibration's full range.

    A user seen later may have larger values than any calibration user; four times the largest still fits.
    """
    if unit_length:
        return float(INT16_LIMIT)
    return _full_range_scale(vectors, headroom=4.0)


def _full_range_scale(vectors: Float32Array, *, headroom: float) -> float:
    largest = float(np.max(np.abs(vectors), initial=0.0))
    if not np.isfinite(largest):
        raise VectorValueError(f"vectors hold NaN or infinity; expected finite values, got max {largest}")
    return INT16_LIMIT / (headroom * largest) if largest > 0 else float(INT16_LIMIT)


def _scaled(vectors: Float32Array, scale: float) -> NDArray[np.float64]:
    if not (np.isfinite(scale) and scale > 0):
        raise VectorValueError(f"scale is {scale}; expected a positive finite number")
    if not np.isfinite(vectors).all():
        bad = int(np.count_nonzero(~np.isfinite(vectors)))
        raise VectorValueError(f"{bad} of {vectors.size} values are NaN or infinite; expected finite values")
    return np.rint(vectors.astype(np.float64) * scale)
