"""Cases for the scan: users, items and ranges, drawn or given, and what the definition finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from index import reference
from server import native

DIMS = (0, 1, 3, 15, 16, 17, 64, 65, 100, 128)
ROW_COUNTS = (0, 1, 7, 63, 64, 65, 127, 401)
# An eighth, and in a batch a thirteenth, parts the two ways to scan.
DENSITIES = (0.0, 0.01, 0.07, 0.1, 0.13, 0.6, 1.0)


@dataclass(frozen=True, slots=True)
class Case:
    """What a scan is asked."""

    users: np.ndarray
    items: np.ndarray
    row_starts: np.ndarray
    row_stops: np.ndarray
    bitmaps: list[np.ndarray | None] | None = None


def draw(
    seed: int, dim: int, row_count: int, *, user_count: int = 5, low: int = -128, high: int = 127
) -> Case:
    """Draws users with ranges of their own."""
    random = np.random.default_rng(seed)
    ends = np.sort(random.integers(0, row_count + 1, (2, user_count)), axis=0)
    ends[:, 0] = 0, row_count
    return Case(
        random.integers(low, high, (user_count, dim), dtype=np.int8, endpoint=True),
        random.integers(low, high, (row_count, dim), dtype=np.int8, endpoint=True),
        ends[0],
        ends[1],
    )


def with_bitmaps(case: Case, density: float, *, every: int = 1) -> Case:
    """Gives every n-th user a bitmap with this part of the rows."""
    random = np.random.default_rng(7)
    bitmaps = [
        np.packbits(random.random(len(case.items)) < density, bitorder="little")
        if place % every == 0
        else None
        for place in range(len(case.users))
    ]
    return Case(case.users, case.items, case.row_starts, case.row_stops, bitmaps)


def define(case: Case, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Scans by the definition."""
    return reference.scan(case.users, case.items, case.row_starts, case.row_stops, case.bitmaps, count)


def check(case: Case, count: int) -> None:
    """Compares every path of this machine with the definition."""
    expected_rows, expected_scores = define(case, count)
    for path in native.available_paths():
        rows, scores = native.scan(
            case.users, case.items, case.row_starts, case.row_stops, case.bitmaps, count=count, path=path
        )
        np.testing.assert_array_equal(rows, expected_rows, err_msg=path)
        np.testing.assert_array_equal(scores, expected_scores, err_msg=path)
