"""Searching where nothing can be selected, as on a GPU: over all rows, with more until enough of them fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Found = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Scores and rows of an answer, each [batch, count], best first; where there are no more, the row is -1."""

Marks = NDArray[np.bool_]
"""For each row up to the last of a range whether it may be found, bool [row_stop]."""

GPU_K_MAX = 2048
"""Most neighbours that faiss returns per query on a GPU (its own limit)."""

_GROWTH = 4


def search_and_filter(
    run: Callable[[int], Found], total: int, count: int, row_start: int, row_stop: int, marks: Marks | None
) -> Found:
    """Searches all rows and keeps those of a range and of a set.

    Args:
        run: finds the best k of all rows; k is at most GPU_K_MAX and `total`.
        total: number of all rows.
        count: rows wanted per query.
        row_start: first row that may be kept.
        row_stop: one past the last.
        marks: which of them may be kept; None for all.

    Returns:
        at most `count` rows per query, fewer where GPU_K_MAX neighbours hold fewer.
    """
    limit = min(GPU_K_MAX, total)
    reach = min(limit, count)
    while True:
        scores, rows = run(reach)  # [batch, reach]
        fits = (rows >= row_start) & (rows < row_stop)
        if marks is not None:
            fits &= marks[np.where(fits, rows, 0)]
        if reach == limit or int(fits.sum(axis=1).min(initial=count)) >= count:
            break
        reach = min(limit, reach * _GROWTH)
    order = np.argsort(~fits, axis=1, kind="stable")[:, :count]
    kept = np.take_along_axis(fits, order, axis=1)
    found = np.full((len(rows), count), -1, dtype=np.int64)
    found_scores = np.full((len(rows), count), -np.inf, dtype=np.float32)
    width = order.shape[1]
    found[:, :width][kept] = np.take_along_axis(rows, order, axis=1)[kept]
    found_scores[:, :width][kept] = np.take_along_axis(scores, order, axis=1)[kept]
    return found_scores, found
