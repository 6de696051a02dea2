"""How the rows are divided among FAISS indexes, and which of them a search needs.

Rows stand in ascending risk, so a risk limit admits a prefix of them: a tier. A nested index has one part for
the learning rows and, for each tier, one for all its other rows: each holds those of lower tiers again. So a
search for one domain within a limit of the policy needs one part and no selector, one for both domains two,
and no row is in both of these.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

HNSW = "IndexHNSWFlat"

FLAT_ROW_COUNT_MAX = 10_000
"""Most rows for which an exact scan is used. Measured on clustered vectors whose risk differs, at 64 dims and
.993 of the best, an inverted file of a tier costs less than a scan from about 7,500 rows where clusters are
tight, and from about 20,000 where norms differ much and half of the lists must be probed."""


SELECTED_SHARES = (0.75, 0.5, 0.25, 0.1, 0.03, 0.01)
"""Shares of a part's rows for which efforts are measured. Of fewer, the last say, all lists are probed."""


@dataclass(frozen=True)
class IndexPart:
    """One FAISS index over a range of the rows, and how hard it searches.

    An effort is the lists probed per query by an inverted file, the length of the queue of HNSW, 1 if flat.
    The fewer rows are left, the more it takes, and more still where a range is left: rows next to each other
    in risk are of few clusters, so the best of them may be far from the query.

    Attributes:
        kind: its FAISS class.
        row_start: first row.
        row_stop: one past its last row.
        list_count: lists of an inverted file; 1 for other kinds.
        effort: where all rows are searched.
        range_efforts: where a range of them is, for each of SELECTED_SHARES.
        mask_efforts: where as many are, scattered over all of it.
        size: its bytes, which follow those of the part before it.
    """

    kind: str
    row_start: int
    row_stop: int
    list_count: int
    effort: int
    range_efforts: tuple[int, ...]
    mask_efforts: tuple[int, ...]
    size: int

    @property
    def count(self) -> int:
        """Returns the number of rows."""
        return self.row_stop - self.row_start

    @property
    def effort_max(self) -> int:
        """Returns the effort that looks at every row."""
        return self.count if self.kind == HNSW else self.list_count

    @property
    def name(self) -> str:
        """Returns what to call it in a message."""
        return f"{self.kind} of rows [{self.row_start}, {self.row_stop})"

    def find_effort(self, width: int, left: int) -> int:
        """Returns how hard to search for the best of `left` rows that lie in a range of `width`, both >= 1.

        What a range takes is multiplied by what a mask does: after the range, the rows left are as scattered.
        """
        of_range = self._read_efforts(self.range_efforts, width / self.count)
        of_mask = self._read_efforts(self.mask_efforts, left / width)
        return max(1, min(self.effort_max, round(of_range * of_mask / self.effort)))

    def _read_efforts(self, efforts: Sequence[int], share: float) -> float:
        """Reads between two measured shares: on a line over the share's logarithm, which is enough for lists.

        What a graph needs rises in steps, so it takes what the smaller of the two shares does.
        """
        above_share, above = 1.0, self.effort
        for below_share, below in zip(SELECTED_SHARES, efforts, strict=True):
            if share >= below_share:
                way = math.log(above_share / share) / math.log(above_share / below_share)
                return above + (below - above) * (math.ceil(way) if self.kind == HNSW else way)
            above_share, above = below_share, below
        return self.effort_max


@dataclass(frozen=True)
class Probe:
    """What a search asks of one part.

    Attributes:
        position: the part's.
        left: rows of it to choose from.
        share: how much of its lists is probed, or of its rows compared.
    """

    position: int
    left: int
    share: float


@dataclass(frozen=True)
class IndexFile:
    """The bytes of an index, in memory or mapped, and the parts that lie in them one after the other."""

    content: bytes | mmap.mmap
    parts: tuple[IndexPart, ...]


def is_small(row_count: int) -> bool:
    """Tells whether comparing every row is as fast as an inverted file."""
    return row_count <= FLAT_ROW_COUNT_MAX


def divide_rows(count: int, learning_count: int, tier_stops: Sequence[int]) -> list[tuple[int, int]]:
    """Returns the row ranges of a nested index's parts.

    Equal tiers count once, empty ones not at all. Of the tiers that are small only the largest is kept, with
    the learning rows if it stays small with them: a scan of a range of it is a scan of a smaller one.

    Args:
        count: number of rows, at least 1.
        learning_count: rows of learning content, which come first.
        tier_stops: one past the last row of each tier.
    """
    stops = sorted({stop for stop in (*tier_stops, count) if stop > learning_count})
    start = 0 if is_small(learning_count) else learning_count
    small = [stop for stop in stops if is_small(stop - start)]
    ranges = [(start, stop) for stop in small[-1:]] + [(learning_count, stop) for stop in stops[len(small) :]]
    no_part_starts = learning_count > 0 and not any(first == 0 for first, _ in ranges)
    return [(0, learning_count), *ranges] if no_part_starts else ranges


def cover(parts: Sequence[IndexPart], row_start: int, row_stop: int) -> Iterator[tuple[int, int, int]]:
    """Yields the position of each part that a search of [row_start, row_stop) needs, and which rows of it.

    That is the smallest part that holds all of them, or one for those before the first row of another and
    others for the rest.
    """
    while row_start < row_stop:
        later = [part.row_start for part in parts if row_start < part.row_start < row_stop]
        for stop in (row_stop, min(later, default=row_stop)):
            holding = [
                (part.count, position)
                for position, part in enumerate(parts)
                if part.row_start <= row_start and stop <= part.row_stop
            ]
            if holding:
                yield min(holding)[1], row_start, stop
                row_start = stop
                break


def probe(parts: Sequence[IndexPart], row_start: int, row_stop: int, row_count: int) -> Iterator[Probe]:
    """Yields what a search for `row_count` rows of [row_start, row_stop) asks of each part that it needs.

    It is what `index.ann` does if the rows are spread evenly over the range.
    """
    width = row_stop - row_start
    for position, start, stop in cover(parts, row_start, row_stop):
        part = parts[position]
        left = round(row_count * (stop - start) / width)
        effort = part.find_effort(stop - start, max(1, left))
        yield Probe(position, left, min(1.0, effort / part.list_count))


def is_whole(parts: Sequence[IndexPart], count: int) -> bool:
    """Tells whether the parts hold every row, so that `cover` finds parts for any search."""
    starts = sorted({part.row_start for part in parts})
    if not parts or starts[0] != 0 or max(part.row_stop for part in parts) != count:
        return False
    ends = {start: max(part.row_stop for part in parts if part.row_start == start) for start in starts}
    return ends[starts[-1]] == count and all(
        ends[start] >= following for start, following in pairwise(starts)
    )
