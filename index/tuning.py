"""Chooses how hard each part of an index searches, by measured recall on real users and hard selections."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from index.ann import IndexKind, build_index, find_nearest, load_index, place_rows
from index.tiers import HNSW, SELECTED_SHARES, IndexFile

RECALL_K = 20
RECALL_TARGET = 0.99
_TUNING_TARGET = 0.995  # What the users measured reach, so that others reach the target as well.
CANDIDATE_COUNT = 100
"""What a server asks for first when k is small."""
MASK_SHARES = (0.1, 0.01)
"""Scattered shares of all rows whose recall is measured."""

_USER_CHUNK = 16
_ROW_CHUNK = 1 << 18
_SPARE_COUNT = 4
"""What is nearest in single precision is scored exactly; so many more are, so that rounding loses none."""
_SEED = 20261122

Rows = NDArray[np.int64]


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
    """Users, and all items.

    Attributes:
        vectors: float32 [users, dim], what a server would search with.
        codes: int32 [users, dim], the same users quantised.
        items: int32 [n, dim].
        values: float32 [n, dim], the items as the index holds them.
    """

    vectors: NDArray[np.float32]
    codes: NDArray[np.int32]
    items: NDArray[np.int32]
    values: NDArray[np.float32]

    def find_best(self, rows: Rows, stops: Sequence[int]) -> list[Rows]:
        """Returns the best RECALL_K of rows[:stop] by exact score for each stop, int64 [users, k] each.

        Args:
            rows: item rows in any order.
            stops: ascending, from 1.
        """
        queries = self.codes.astype(np.float32)
        kept, best, start = np.empty((len(queries), 0), np.int64), [], 0
        for stop in stops:
            # What is best of more rows is best of fewer, or among the others.
            for first in range(start, stop, _ROW_CHUNK):
                part = rows[first : min(stop, first + _ROW_CHUNK)]
                near = find_nearest(self.values[part], queries, min(len(part), RECALL_K + _SPARE_COUNT))
                kept = self._keep_best(np.concatenate([kept, part[near]], axis=1))
            best.append(kept)
            start = stop
        return best

    def _keep_best(self, rows: Rows) -> Rows:
        """Returns the best RECALL_K of each user's rows, int64 [users, n]."""
        k = min(RECALL_K, rows.shape[1])
        kept = np.empty((len(rows), k), np.int64)
        for first in range(0, len(rows), _USER_CHUNK):
            chunk = slice(first, first + _USER_CHUNK)
            places = np.argpartition(self.score(chunk, rows[chunk]), -k, axis=1)[:, -k:]
            kept[chunk] = np.take_along_axis(rows[chunk], places, axis=1)
        return kept

    def score(self, chunk: slice, rows: Rows) -> NDArray[np.float64]:
        """Returns the exact scores of rows int64 [chunk, n] for the users of a chunk."""
        # Sums of products stay far below 2^53, so float64 is exact here.
        vectors = self.items[rows].astype(np.float64)  # [chunk, n, dim]
        scores: NDArray[np.float64] = np.einsum("ud,und->un", self.codes[chunk].astype(np.float64), vectors)
        return scores


def build_tuned(
    item_vectors: NDArray[np.int32],
    users: NDArray[np.float32],
    user_codes: NDArray[np.int32],
    *,
    kind: IndexKind,
    learning_count: int,
    tier_stops: Sequence[int],
) -> TunedIndex:
    """Builds an index whose parts search just hard enough to find RECALL_TARGET of the best rows.

    They do whether all rows of a part are searched, a range of it, or rows scattered over it. Where no effort
    is enough, the largest is taken. What the whole index finds is measured afterwards, by searching.

    Args:
        item_vectors: int32 [n, dim], bundle rows.
        users: float32 [user_count, dim], what a server would search with; user_count >= 1.
        user_codes: int32 [user_count, dim], the same users quantised.
        kind: which index to build.
        learning_count: rows of the learning domain, which come first.
        tier_stops: one past the last row that each risk limit admits.
    """
    values = item_vectors.astype(np.float32)
    file = build_index(values, kind, learning_count=learning_count, tier_stops=tier_stops)
    known = _Users(users, user_codes, item_vectors, values)
    for position, part in enumerate(file.parts):
        if part.effort_max > 1:
            file = _tune_part(file, position, known)
    extents = list(_list_extents(len(item_vectors), learning_count, tier_stops))
    return TunedIndex(file, _measure(file, known, extents), len(users))


def _tune_part(file: IndexFile, position: int, users: _Users) -> IndexFile:
    """Returns the index with the least efforts of a part that are enough for all of it and for selections."""
    part = file.parts[position]
    in_order = np.arange(part.row_start, part.row_stop)
    scattered = _scatter(in_order)
    stops = [math.ceil(part.count * share) for share in reversed(SELECTED_SHARES)]
    find_least = (
        _over_graph(file, position, users) if part.kind == HNSW else _over_lists(file, position, users)
    )
    *best_in_order, best = users.find_best(in_order, [*stops, part.count])
    effort = find_least(in_order, best, 1)
    tables = []
    for rows, bests in ((in_order, best_in_order), (scattered, users.find_best(scattered, stops))):
        efforts = [effort]
        for stop, best in zip(reversed(stops), reversed(bests), strict=True):
            # More effort never finds less, and fewer rows never take less.
            efforts.append(find_least(np.sort(rows[:stop]), best, efforts[-1]))
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
        rows = np.arange(self.row_start, self.row_stop)
        return rows if self.share == 1 else np.sort(_scatter(rows)[: math.ceil(len(rows) * self.share)])


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
    recall = {
        extent: _recall(file, users, extent.list_rows(), best, len(users.items))
        for extent, best in _find_best_of(extents, users)
    }
    return tuple(
        ExtentRecall(domain, extent.row_start, extent.row_stop, extent.share, recall[extent])
        for domain, extent in named
    )


def _find_best_of(extents: Sequence[_Extent], users: _Users) -> Iterator[tuple[_Extent, Rows]]:
    """Yields extents, given in ascending order, with the best of their rows."""
    for start, alike in groupby((each for each in extents if each.share == 1), attrgetter("row_start")):
        group = list(alike)
        counts = [extent.row_stop - start for extent in group]
        yield from zip(group, users.find_best(np.arange(start, start + counts[-1]), counts), strict=True)
    for extent in extents:
        if extent.share < 1:
            rows = extent.list_rows()
            yield extent, users.find_best(rows, [len(rows)])[0]


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


def _scatter(rows: Rows) -> Rows:
    """Returns the rows in an order that is drawn, so that its first ones are scattered evenly over them."""
    drawn: Rows = np.random.default_rng(_SEED).permutation(rows)
    return drawn
