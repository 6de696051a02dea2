"""Measures what each way of searching takes on this machine, with the bundle's own vectors and queries.

All of it takes CALIBRATION_S_MAX and at most one search more, whatever the size of the catalogue. What there
was no time to measure counts as endless, so it is not chosen.

A choice depends on the request alone, but what it costs also on how many others are answered with it: alone,
a scan waits for memory, and in a batch it shares what it read. So each search is measured alone and together
with others, and its cost is the geometric mean of both: the least makes neither much dearer than it could be.
"""

import math
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from index.tiers import IndexPart
from server.planner import IndexCosts, MatrixCosts, PartCosts, ScanCosts
from server.row_search import Extent, IndexSearch, Queries, RowSearch, Wanted

CALIBRATION_S_MAX: Final = 0.25

_REPEAT_COUNT: Final = 3
_REPEAT_S_MAX: Final = 0.002
"""After a second time, which no longer meets pages for the first time, longer searches are not repeated."""
_CANDIDATE_COUNT: Final = 100
_TOGETHER_COUNT: Final = 4
_SCAN_ROW_COUNT: Final = 1 << 20
"""More than a machine's caches hold: costs per row hardly grow from here on."""
_NEAR_ROW_COUNT: Final = 1 << 17
"""What caches hold, 8 MiB of 64 dims: a tenth of a million rows took 1.3 ns a row, the whole 3.7."""
_FEW_STEP: Final = 64
_MORE_STEP: Final = 16


class Stopwatch:
    """Times searches until the time for all of them is used up."""

    def __init__(
        self, queries: Queries, row_count: int, clock: Callable[[], float] = time.thread_time
    ) -> None:
        """Keeps what searches are timed with.

        Args:
            queries: user vectors as requests have them, int32 [n >= 1, dim].
            row_count: rows of the catalogue.
            clock: gives seconds; those of this thread unless others work for it.
        """
        self._queries = queries
        self.row_count = row_count
        self._clock = clock
        self._deadline_s = clock() + CALIBRATION_S_MAX

    def time(self, search: RowSearch, extent: Extent) -> float:
        """Returns the seconds per request; infinity if there was no time left."""
        return math.sqrt(self._time(search, extent, 1) * self._time(search, extent, _TOGETHER_COUNT))

    def _time(self, search: RowSearch, extent: Extent, count: int) -> float:
        """Returns the seconds per request of so many, the least of a few; infinity if no time was left."""
        queries = np.resize(self._queries, (count, self._queries.shape[1]))
        wanted = [Wanted(extent, _CANDIDATE_COUNT)] * count
        least_s, spent_s = math.inf, 0.0
        for number in range(_REPEAT_COUNT):
            start_s = self._clock()
            if start_s > self._deadline_s or (number > 1 and spent_s > _REPEAT_S_MAX):
                break
            search.search(queries, wanted)
            elapsed_s = self._clock() - start_s
            least_s, spent_s = min(least_s, elapsed_s / count), spent_s + elapsed_s
        return least_s

    def select(self, row_start: int, row_stop: int, step: int) -> Extent:
        """Returns every row of a range whose distance from its start is a multiple of `step`."""
        marks = np.zeros(self.row_count, np.bool_)
        marks[row_start:row_stop:step] = True
        bitmap = np.packbits(marks, bitorder="little").tobytes()
        return Extent(row_start, row_stop, int(np.count_nonzero(marks)), bitmap)


def time_scan(stopwatch: Stopwatch, search: RowSearch) -> ScanCosts:
    """Measures a scan: of all rows, of as many as caches hold, and of few and of more that are selected."""
    row_count = min(stopwatch.row_count, _SCAN_ROW_COUNT)
    near_count = min(row_count, _NEAR_ROW_COUNT)
    whole_s = stopwatch.time(search, Extent(0, row_count, row_count))
    near_row_s = row_s = whole_s / row_count
    if near_count < row_count:
        near_s = stopwatch.time(search, Extent(0, near_count, near_count))
        if near_s / near_count < row_s:
            near_row_s, row_s = near_s / near_count, (whole_s - near_s) / (row_count - near_count)
    few, more = (stopwatch.select(0, row_count, step) for step in (_FEW_STEP, _MORE_STEP))
    few_s, more_s = (stopwatch.time(search, extent) for extent in (few, more))
    if not math.isfinite(more_s):
        return ScanCosts(near_row_s, row_s, math.inf, math.inf, near_count)
    wanted_row_s = max(0.0, more_s - few_s) / max(1, more.row_count - few.row_count)
    bit_s = max(0.0, few_s - wanted_row_s * few.row_count) / row_count
    return ScanCosts(near_row_s, row_s, bit_s, wanted_row_s, near_count)


def time_index(stopwatch: Stopwatch, search: IndexSearch, *, selects: bool) -> IndexCosts:
    """Measures each part of an index: searched whole, and with many and with few rows selected.

    Args:
        stopwatch: what times.
        search: the index.
        selects: whether it applies a selection itself, instead of dropping what was not selected.
    """
    # What serves most requests is measured first: whole parts, then selections of the largest.
    wholes_s = [
        stopwatch.time(search, Extent(part.row_start, part.row_stop, part.count)) for part in search.parts
    ]
    selections_s = [_time_selection(stopwatch, search, part) for part in reversed(search.parts)]
    costs = [
        PartCosts(whole_s, *selection_s)
        for whole_s, selection_s in zip(wholes_s, reversed(selections_s), strict=True)
    ]
    return IndexCosts(search.parts, costs, selects)


def _time_selection(stopwatch: Stopwatch, search: IndexSearch, part: IndexPart) -> tuple[float, float]:
    """Returns what a bitmap takes over a part, and all of its lists."""
    more, few = (stopwatch.select(part.row_start, part.row_stop, step) for step in (2, _MORE_STEP))
    more_s, few_s = stopwatch.time(search, more), stopwatch.time(search, few)
    if not math.isfinite(few_s):
        return math.inf, math.inf
    more_share, few_share = (sum(part.share for part in search.plan(each)) for each in (more, few))
    if few_share == more_share:
        return 0.0, more_s / more_share
    lists_s = max(0.0, few_s - more_s) / (few_share - more_share)
    return max(0.0, more_s - lists_s * more_share), lists_s


def time_matrix(stopwatch: Stopwatch, search: RowSearch) -> MatrixCosts:
    """Measures comparing all rows and half of them."""
    count = stopwatch.row_count
    half = max(1, count // 2)
    whole_s, half_s = (stopwatch.time(search, Extent(0, stop, stop)) for stop in (count, half))
    row_s = max(0.0, whole_s - half_s) / max(1, count - half) if math.isfinite(half_s) else math.inf
    return MatrixCosts(half_s, row_s)
