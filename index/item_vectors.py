"""Item vectors as a bundle stores them: whole numbers to score with, and bytes to search with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.errors import BuildInputError
from index.reference import INT8_LIMIT, quantise
from index.vector_norms import describe_overlong, measure_norms

_ROW_CHUNK = 65_536  # Rows rounded at a time: as float64 all of a million would take a gigabyte.


@dataclass(frozen=True)
class ItemVectors:
    """Item vectors in bundle order.

    Attributes:
        int32: whole numbers of 24 bits, int32 [n, dim].
        int8: the same in 127 steps, int8 [n, dim].
        int8_scale: steps per unit of int8.
    """

    int32: NDArray[np.int32]
    int8: NDArray[np.int8]
    int8_scale: float

    def take(self, rows: NDArray[np.int64]) -> ItemVectors:
        """Returns these rows in this order; together they are all rows, so that the scale stays."""
        return ItemVectors(self.int32[rows], self.int8[rows], self.int8_scale)


def make_item_vectors(
    vectors: NDArray[np.float32], product_ids: Sequence[str], item_scale: float
) -> ItemVectors:
    """Quantises the item tower's vectors.

    Args:
        vectors: float32 [n, dim], finite, bundle rows.
        product_ids: id of each row.
        item_scale: steps per unit of the whole numbers.

    Raises:
        BuildInputError: a few vectors are so long that they would win every list.
        VectorValueError: the scale is not positive.
    """
    # Checked before rounding: beside a vector that is long enough all others round to zero.
    overlong = describe_overlong(measure_norms(vectors), product_ids)
    if overlong is not None:
        raise BuildInputError(f"item_vectors.npy: {overlong}")
    return add_bytes(quantise(vectors, item_scale), item_scale)


def add_bytes(int32: NDArray[np.int32], item_scale: float) -> ItemVectors:
    """Makes bytes of what is scored with.

    Args:
        int32: whole numbers, int32 [n, dim].
        item_scale: steps per unit of these.
    """
    int8_scale = find_int8_scale(int32, item_scale)
    return ItemVectors(int32, to_int8(int32, item_scale, int8_scale), int8_scale)


def find_int8_scale(item_vectors: NDArray[np.int32], item_scale: float) -> float:
    """Returns the steps per unit of int8 at which the largest component of all becomes 127.

    Args:
        item_vectors: int32 [n, dim].
        item_scale: steps per unit of these vectors.
    """
    largest = max(int(item_vectors.max(initial=0)), -int(item_vectors.min(initial=0))) or 1
    return item_scale * INT8_LIMIT / largest


def to_int8(item_vectors: NDArray[np.int32], item_scale: float, int8_scale: float) -> NDArray[np.int8]:
    """Rounds item vectors to int8: half to even, saturated at +-127.

    Args:
        item_vectors: int32 [n, dim].
        item_scale: steps per unit of these vectors.
        int8_scale: steps per unit of the result.
    """
    rounded = np.empty(item_vectors.shape, np.int8)  # [n, dim]
    for start in range(0, len(item_vectors), _ROW_CHUNK):
        chunk = slice(start, start + _ROW_CHUNK)
        steps = np.rint(item_vectors[chunk] * (int8_scale / item_scale))  # [chunk, dim]
        rounded[chunk] = np.clip(steps, -INT8_LIMIT, INT8_LIMIT)
    return rounded
