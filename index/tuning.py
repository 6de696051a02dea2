"""Chooses how hard each part of an index searches, by measured recall on real users and hard selections."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from index.ann import IndexKind, build_index, load_index, place_rows
from index.tiers import HNSW, SELECTED_SHARES, IndexFile

RECALL_K = 20
RECALL_TARGET = 0.99
_TUNING_TARGET = 0.995  # What the users measured reach, so that others reach the target as well.
CANDIDATE_COUNT = 100
"""What a server asks for first when k is small."""
MASK_SHARES = (0.1, 0.01)
"""Scattered shares of all rows whose recall is measured."""

_USER_CHUNK = 16
_SEED = 20261122

Rows = NDArray[np.int64]
Items = NDArray[np.int16] | NDArray[np.int32]


@dataclass(frozen=True)
class ExtentRecall:
    """Measured recall@RECALL_K of a request.

    Attributes:
        domain: learning, financial or both.
        row_start: first row of the domain within a risk limit.
        row_stop: one past its last row.
        share: scattered share of these rows that may be found.
        recall: what was found of the best of them.
    """

    domain: str
    row_start: int
    row_stop: int
    share: float
    recall: float


@dataclass(frozen=True)
class TunedIndex:
    """An index with its efforts chosen, and what it finds of what it may be asked for."""

    file: IndexFile
    recall: tuple[ExtentRecall, ...]
    user_count: int


@dataclass(frozen=True)
class _Users:
    """Users, and all items in whole numbers.

    Attributes:
        vectors: float32 [users, dim], what a server would search with.
        codes: int16 [users, dim], the same users quantised.
        items: int16 or int32 [n, dim].
    """

    vectors: NDArray[np.float32]
    codes: NDArray[np.int16]
    items: Items

    def find_best(self, extents: Sequence[Rows]) -> list[Rows]:
        """Returns the exact best RECALL_K rows of each of several sets of rows, int64 [users, k] each."""
        best = [np.empty((len(self.codes), min(RECALL_K, len(rows))), np.int64) for rows in extents]
        start, stop = min(rows[0] for rows in extents), max(rows[-1] for rows in extents) + 1
        # Sums of products stay far below 2^53, so float64 is exact here.
        items = self.items[start:stop].T.astype(np.float64)  # [dim, rows]
        for first in range(0, len(self.codes), _USER_CHUNK):
            chunk = slice(first, first + _USER_CHUNK)
            scores = self.codes[chunk].astype(np.float64) @ items  # [chunk, rows]
            for found, rows in zip(best, extents, strict=True):
                own = scores[:, rows - start]
                k = found.shape[1]
                found[chunk] = rows[np.argpartition(own, -k, axis=1)[:, -k:]]
        return best

    def score(self, chunk: slice, rows: Rows) -> NDArray[np.float64]:
        """Returns the exact scores of rows int64 [chunk, n] for the users of a chunk."""
        vectors = self.items[rows].astype(np.float64)  # [chunk, n, dim]
        scores: NDArray[np.float64] = np.einsum("ud,und->un", self.codes[chunk].astype(np.float64), vectors)
        return scores


def build_tuned(
    item_vectors: Items,
    users: NDArray[np.float32],
    user_codes: NDArray[np.int16],
    *,
    kind: IndexKind,
    learning_count: int,
    tier_stops: Sequence[int],
) -> TunedIndex:
    """Builds an index whose parts search just hard enough to find RECALL_TARGET of the best rows.

    They do whether all rows of a part are searched, a range of it, or rows scattered over it. Where no effort
    is enough, the largest is taken. What the whole index finds is measured afterwards, by searching.

    Args:
        item_vectors: int16 or int32 [n, dim], bundle rows.
        users: float32 [user_count, dim], what a server would search with; user_count >= 1.
        user_codes: int16 [user_count, dim], the same users quantised.
        kind: which index to build.
        learning_count: rows of the learning domain, which come first.
        tier_stops: one past the last row that each risk limit admits.
    """
    file = build_index(
        item_vectors.astype(np.float32), kind, learning_count=learning_count, tier_stops=tier_stops
    )
    known = _Users(users, user_codes, item_vectors)
    for position, part in enumerate(file.parts):
        if part.effort_max > 1:
            file = _tune_part(file, position, known)
    extents = list(_list_extents(len(item_vectors), learning_count, tier_stops))
    return TunedIndex(file, _measure(file, known, extents), len(users))


def _tune_part(file: IndexFile, position: int, users: _Users) -> IndexFile:
    """Returns the index with the least efforts of a part that are enough for all of it and for selections."""
    part = file.parts[position]
    rows = np.arange(part.row_start, part.row_stop)
    ranges = [rows[: math.ceil(len(rows) * share)] for share in SELECTED_SHARES]
    masks = [_scatter(rows, share) for share in SELECTED_SHARES]
    best = users.find_best([rows, *ranges, *masks])
    find_least = (
        _over_graph(file, position, users) if part.kind == HNSW else _over_lists(file, position, users)
    )
    effort = find_least(rows, best[0], 1)
    tables = []
    for selections, found in ((ranges, best[1 : 1 + len(ranges)]), (masks, best[1 + len(ranges) :])):
        efforts = [effort]
        for selected, expected in zip(selections, found, strict=True):
            # More effort never finds less, and fewer rows never take less.
            efforts.append(find_least(selected, expected, efforts[-1]))
        tables.append(tuple(efforts[1:]))
    return _with_efforts(file, position, effort, *tables)


def _with_efforts(
    file: IndexFile, position: int, effort: int, ranges: tuple[int, ...], masks: tuple[int, ...]
) -> IndexFile:
    parts = list(file.parts)
    parts[position] = dataclasses.replace(
        parts[position], effort=effort, range_efforts=ranges, mask_efforts=masks
    )
    return IndexFile(file.content, tuple(parts))


FindLeast = Callable[[Rows, Rows, int], int]
"""Takes selected rows, the best of them for each user, and the least effort to try; returns an effort that
is enough."""


def _over_lists(file: IndexFile, position: int, users: _Users) -> FindLeast:
    """An inverted file finds a best row if it probes the row's list, so no search is needed to tell."""
    part = file.parts[position]
    lists_of, places = place_rows(file, position, users.vectors)

    def find_least(_selected: Rows, best: Rows, low: int) -> int:
        # How many lists are probed before each best row is met, in ascending order.
        lists = lists_of[best - part.row_start]  # [users, k]
        probed = np.sort(np.take_along_axis(places, lists, axis=1), axis=None)
        return max(low, int(probed[math.ceil(_TUNING_TARGET * probed.size) - 1]) + 1)

    return find_least


def _over_graph(file: IndexFile, position: int, users: _Users) -> FindLeast:
    """A walk of a graph cannot be foretold, so efforts are tried."""
    part = file.parts[position]
    count = max(part.row_stop for part in file.parts)

    def find_least(selected: Rows, best: Rows, low: int) -> int:
        def reaches(effort: int) -> bool:
            same = (effort,) * len(SELECTED_SHARES)
            trial = _with_efforts(file, position, effort, same, same)
            return _recall(trial, users, selected, best, count) >= _TUNING_TARGET

        return _find_least(reaches, low, part.effort_max)

    return find_least


def _find_least(reaches: Callable[[int], bool], low: int, limit: int) -> int:
    """Returns the least effort from `low` that is enough, or the limit. More effort never finds less."""
    low, high = low - 1, low  # The answer is above low and at most high.
    while high < limit and not reaches(high):
        low, high = high, min(limit, 2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


@dataclass(frozen=True, order=True)
class _Extent:
    """Rows [row_start, row_stop), or a share that is scattered over them."""

    row_start: int
    row_stop: int
    share: float = 1.0

    def list_rows(self) -> Rows:
        return _scatter(np.arange(self.row_start, self.row_stop), self.share)


def _list_extents(
    count: int, learning_count: int, tier_stops: Sequence[int]
) -> Iterator[tuple[str, _Extent]]:
    """Yields what can be asked for: each domain within each tier, then what is harder.

    Harder are limits between two tiers, rows scattered over all, and both.
    """
    stops = sorted({stop for stop in (*tier_stops, count) if stop > learning_count})
    if learning_count:
        yield "learning", _Extent(0, learning_count)
    between = [(low + high) // 2 for low, high in pairwise([learning_count, *stops]) if high - low > 1]
    for stop in (*stops, *between):
        yield "financial", _Extent(learning_count, stop)
    for stop in (*(stops or [count]), *between):
        yield "both", _Extent(0, stop)
    for share in MASK_SHARES:
        yield "both", _Extent(0, count, share)
    for stop in between[-1:]:
        yield "both", _Extent(0, stop, MASK_SHARES[0])


def _measure(
    file: IndexFile, users: _Users, named: Sequence[tuple[str, _Extent]]
) -> tuple[ExtentRecall, ...]:
    """Measures each extent by searching, those of the same rows once."""
    extents = sorted({extent for _, extent in named})
    selections = [extent.list_rows() for extent in extents]
    recall = {
        extent: _recall(file, users, rows, best, len(users.items))
        for extent, rows, best in zip(extents, selections, users.find_best(selections), strict=True)
    }
    return tuple(
        ExtentRecall(domain, extent.row_start, extent.row_stop, extent.share, recall[extent])
        for domain, extent in named
    )


def _recall(file: IndexFile, users: _Users, selected: Rows, best: Rows, count: int) -> float:
    """Counts, after exact scoring, what scores at least as high as the true last of the best."""
    index = load_index(file)
    start, stop = int(selected[0]), int(selected[-1]) + 1
    marks = np.zeros(count, np.bool_)
    marks[selected] = True
    bitmap = None if len(selected) == stop - start else np.packbits(marks, bitorder="little").tobytes()
    hit_count = 0
    for first in range(0, len(users.codes), _USER_CHUNK):
        chunk = slice(first, first + _USER_CHUNK)
        found = index.search(users.vectors[chunk], CANDIDATE_COUNT, start, stop, bitmap)
        threshold = users.score(chunk, best[chunk]).min(axis=1)  # [chunk]
        hits = (found >= 0) & (users.score(chunk, np.maximum(found, 0)) >= threshold[:, None])
        hit_count += int(np.minimum(hits.sum(axis=1), best.shape[1]).sum())
    return hit_count / best.size


def _scatter(rows: Rows, share: float) -> Rows:
    """Returns a share of the rows, drawn evenly; at least one."""
    if share == 1:
        return rows
    drawn = np.random.default_rng(_SEED).choice(len(rows), math.ceil(len(rows) * share), replace=False)
    scattered: Rows = rows[np.sort(drawn)]
    return scattered
