"""The plain definition of quantise, score, select and scan, in NumPy.

The native kernel and every faster path must agree with these functions bit for bit. Scores are integers:
vectors of whole numbers of 24 bits, int64 accumulation, no rounding after the tower. The order of a list
is total: score descending, then `id_rank` ascending (the position of a product_id in ascending UTF-8 byte
order).

A scan finds candidates: it scores int8 vectors and breaks ties by row, which the list's order then overrules.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index.errors import VectorValueError

UInt8Array = NDArray[np.uint8]
Int8Array = NDArray[np.int8]
Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]
Float32Array = NDArray[np.float32]

INT8_LIMIT = 127
"""Largest magnitude after narrowing."""
STEP_LIMIT = 2**23 - 1
"""Largest magnitude after quantising: 24 bits with the sign, as fine as the float32 of a tower, which holds
each of these numbers. Scores of vectors of 4,096 components stay far within 64 bits."""


def quantise(vectors: Float32Array, scale: float) -> Int32Array:
    """Turns float vectors into steps: multiplied by `scale`, rounded half to even, saturated at STEP_LIMIT.

    Args:
        vectors: float32 [n, dim] or [dim], finite.
        scale: positive finite number of integer steps per unit.

    Returns:
        int32, same shape.

    Raises:
        VectorValueError: a value is NaN or infinite, or the scale is not positive and finite.
    """
    return np.clip(_scaled(vectors, scale), -STEP_LIMIT, STEP_LIMIT).astype(np.int32)


def count_saturated(vectors: Float32Array, scale: float) -> int:
    """Counts the values that `quantise` would clip."""
    return int(np.count_nonzero(np.abs(_scaled(vectors, scale)) > STEP_LIMIT))


def score(user: Int32Array, items: Int32Array) -> Int64Array:
    """Scores items for one user: the integer dot product.

    Args:
        user: int32 [dim].
        items: int32 [n, dim].

    Returns:
        int64 [n].
    """
    scores: Int64Array = items.astype(np.int64) @ user.astype(np.int64)
    return scores


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


def narrow(query: Int32Array) -> Int8Array:
    """Turns a quantised user vector into int8: its largest component becomes 127, halves round to even.

    The scale differs by vector, which leaves the order within one user's list as it is.

    Args:
        query: int32 [dim] or [batch, dim].

    Returns:
        int8, same shape; zeros stay zeros.
    """
    wide = query.astype(np.float64)
    largest = np.max(np.abs(wide), axis=-1, initial=0.0, keepdims=True)
    # The products are exact, and a quotient that is no half is further from one than its rounding error.
    return np.rint(wide * INT8_LIMIT / np.where(largest > 0, largest, 1.0)).astype(np.int8)


def scan(
    users: Int8Array,
    items: Int8Array,
    row_starts: Int64Array,
    row_stops: Int64Array,
    bitmaps: Sequence[UInt8Array | None] | UInt8Array | None,
    count: int,
) -> tuple[Int64Array, Int64Array]:
    """Finds the best rows of a range for each user: score descending, row ascending.

    Args:
        users: int8 [b, dim].
        items: int8 [n, dim].
        row_starts: first row of each user's range, int64 [b].
        row_stops: one past its last row, int64 [b].
        bitmaps: one per user, uint8 [ceil(n / 8)] with row r at bit r % 8 of byte r // 8; None is all rows.
        count: number of rows wanted, at least 0.

    Returns:
        Rows int64 [b, count] and their scores int64 [b, count]; a place without a row has row -1 and score 0.
    """
    best_rows = np.full((len(users), count), -1, np.int64)
    best_scores = np.zeros((len(users), count), np.int64)
    for place, user in enumerate(users):
        rows = np.arange(row_starts[place], row_stops[place], dtype=np.int64)
        bitmap = None if bitmaps is None else bitmaps[place]
        if bitmap is not None:
            rows = rows[np.unpackbits(bitmap, bitorder="little")[rows] == 1]
        scores = items[rows].astype(np.int64) @ user.astype(np.int64)  # [rows]
        order = np.lexsort((rows, -scores))[:count]
        best_rows[place, : len(order)] = rows[order]
        best_scores[place, : len(order)] = scores[order]
    return best_rows, best_scores


def rank_ids(product_ids: Sequence[str]) -> Int64Array:
    """Ranks ids by ascending UTF-8 byte order: result[row] is the position of that row's id."""
    order = sorted(range(len(product_ids)), key=lambda row: product_ids[row].encode("utf-8"))
    ranks = np.empty(len(product_ids), dtype=np.int64)  # [n]
    ranks[order] = np.arange(len(product_ids), dtype=np.int64)
    return ranks


def item_scale_for(vectors: Float32Array) -> float:
    """Returns the item scale: half of the range for these, so that products added later fit as well."""
    return _scale_for(vectors, headroom=2.0)


def user_scale_for(vectors: Float32Array, *, unit_length: bool) -> float:
    """Returns the user scale: what every vector fits for unit-length ones, else a quarter of the full range.

    Of other vectors a user seen later may have larger values than any calibration user; four times the
    largest still fits.
    """
    return float(STEP_LIMIT) if unit_length else _scale_for(vectors, headroom=4.0)


def _scale_for(vectors: Float32Array, *, headroom: float) -> float:
    """Returns the steps of a unit at which the largest value, times the headroom, is at the limit."""
    largest = float(np.max(np.abs(vectors), initial=0.0))
    if not np.isfinite(largest):
        raise VectorValueError(f"vectors hold NaN or infinity; expected finite values, got max {largest}")
    return STEP_LIMIT / (headroom * largest) if largest > 0 else float(STEP_LIMIT)


def _scaled(vectors: Float32Array, scale: float) -> NDArray[np.float64]:
    if not (np.isfinite(scale) and scale > 0):
        raise VectorValueError(f"scale is {scale}; expected a positive finite number")
    if not np.isfinite(vectors).all():
        bad = int(np.count_nonzero(~np.isfinite(vectors)))
        raise VectorValueError(f"{bad} of {vectors.size} values are NaN or infinite; expected finite values")
    return np.rint(vectors.astype(np.float64) * scale)
