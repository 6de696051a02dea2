"""Chooses how hard each part of an index searches, by measured recall on real users."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.ann import IndexKind, build_index, load_index
from index.ann_index import AnnIndex
from index.tiers import IndexFile, cover

RECALL_K = 20
RECALL_TARGET = 0.99
_TUNING_TARGET = 0.993  # What the users measured reach, so that others reach the target as well.
CANDIDATE_COUNT = 100
"""What a server asks for first when k is small."""

_USER_CHUNK = 64


@dataclass(frozen=True)
class RangeRecall:
    """Measured recall@RECALL_K of a request for a domain within a tier: the rows [row_start, row_stop)."""

    domain: str
    row_start: int
    row_stop: int
    recall: float


@dataclass(frozen=True)
class TunedIndex:
    """An index with its efforts chosen, and what it finds of every tier."""

    file: IndexFile
    recall: tuple[RangeRecall, ...]
    user_count: int


@dataclass(frozen=True)
class _Range:
    """A range of rows, and the exact score of each user's k-th best row in it."""

    row_start: int
    row_stop: int
    k: int
    threshold: NDArray[np.float64]  # [users]


def build_tuned(
    item_vectors: NDArray[np.int16],
    users: NDArray[np.float32],
    user_codes: NDArray[np.int16],
    *,
    kind: IndexKind,
    learning_count: int,
    tier_stops: Sequence[int],
) -> TunedIndex:
    """Builds an index whose parts search just hard enough to reach RECALL_TARGET in every tier they answer.

    Where no effort reaches it, the largest is taken. Recall counts, after exact scoring of CANDIDATE_COUNT
    candidates, the rows that score at least as high as the true k-th.

    Args:
        item_vectors: int16 [n, dim], bundle rows.
        users: float32 [user_count, dim], what a server would search with; user_count >= 1.
        user_codes: int16 [user_count, dim], the same users quantised.
        kind: which index to build.
        learning_count: rows of the learning domain, which come first.
        tier_stops: one past the last row that each risk limit admits.
    """
    file = build_index(
        item_vectors.astype(np.float32), kind, learning_count=learning_count, tier_stops=tier_stops
    )
    named = _name_ranges(item_vectors.shape[0], learning_count, tier_stops)
    ranges = {rows: _measure_range(item_vectors, user_codes, *rows) for _, rows in named}

    def measure(index: AnnIndex, rows: tuple[int, int]) -> float:
        return _recall(index, item_vectors, users, user_codes, ranges[rows])

    for position in range(len(file.parts)):
        file = _tune_part(file, position, list(ranges), measure)
    index = load_index(file)
    recall = tuple(RangeRecall(domain, *rows, measure(index, rows)) for domain, rows in named)
    return TunedIndex(file, recall, users.shape[0])


def _name_ranges(
    count: int, learning_count: int, tier_stops: Sequence[int]
) -> list[tuple[str, tuple[int, int]]]:
    """Returns what can be asked for: each domain, and both, within each tier."""
    stops = sorted({stop for stop in (*tier_stops, count) if stop > learning_count})
    ranges = [("learning", (0, learning_count))] if learning_count else []
    ranges += [("financial", (learning_count, stop)) for stop in stops]
    return ranges + [("both", (0, stop)) for stop in stops or [count]]


def _tune_part(
    file: IndexFile,
    position: int,
    ranges: Sequence[tuple[int, int]],
    measure: Callable[[AnnIndex, tuple[int, int]], float],
) -> IndexFile:
    """Returns the index with the least effort of a part that is enough for all that it answers alone."""
    answered = [rows for rows in ranges if [found[0] for found in cover(file.parts, *rows)] == [position]]

    def with_effort(effort: int) -> IndexFile:
        parts = list(file.parts)
        parts[position] = dataclasses.replace(parts[position], effort=effort)
        return IndexFile(file.content, tuple(parts))

    def reaches(effort: int) -> bool:
        index = load_index(with_effort(effort))
        return all(measure(index, rows) >= _TUNING_TARGET for rows in answered)

    return with_effort(_find_least(reaches, file.parts[position].effort))


def _find_least(reaches: Callable[[int], bool], limit: int) -> int:
    """Returns the least effort that is enough, or the limit. More effort never finds less."""
    low, high = 0, 1  # The answer is above low and at most high.
    while high < limit and not reaches(high):
        low, high = high, min(limit, 2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def _measure_range(
    item_vectors: NDArray[np.int16], user_codes: NDArray[np.int16], row_start: int, row_stop: int
) -> _Range:
    k = min(RECALL_K, row_stop - row_start)
    # Sums of int16 products stay far below 2^53, so float64 is exact here.
    items = item_vectors[row_start:row_stop].astype(np.float64)  # [rows, dim]
    threshold = np.empty(user_codes.shape[0], np.float64)  # [users]
    for start in range(0, user_codes.shape[0], _USER_CHUNK):
        chunk = slice(start, start + _USER_CHUNK)
        scores = user_codes[chunk].astype(np.float64) @ items.T  # [chunk, rows]
        threshold[chunk] = np.partition(scores, -k, axis=1)[:, -k]
    return _Range(row_start, row_stop, k, threshold)


def _recall(
    index: AnnIndex,
    item_vectors: NDArray[np.int16],
    users: NDArray[np.float32],
    user_codes: NDArray[np.int16],
    rows: _Range,
) -> float:
    found_count = 0
    for start in range(0, users.shape[0], _USER_CHUNK):
        chunk = slice(start, start + _USER_CHUNK)
        found = index.search(users[chunk], CANDIDATE_COUNT, rows.row_start, rows.row_stop)
        vectors = item_vectors[np.maximum(found, 0)].astype(np.float64)  # [chunk, candidates, dim]
        scores = np.einsum("ud,ucd->uc", user_codes[chunk].astype(np.float64), vectors)
        hits = (found >= 0) & (scores >= rows.threshold[chunk, None])
        found_count += int(np.minimum(hits.sum(axis=1), rows.k).sum())
    return found_count / (rows.k * int(users.shape[0]))
