"""How the rows are divided among FAISS indexes, and which of them a search needs.

Rows stand in ascending risk, so a risk limit admits a prefix of them: a tier. A nested index has one part for
the learning rows and, for each tier, one for all its other rows: each holds those of lower tiers again. So a
search for one domain within a limit of the policy needs one part and no selector, one for both domains two,
and no row is in both of these.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

FLAT_ROW_COUNT_MAX = 10_000
"""Most rows for which an exact scan is used. Measured on clustered vectors whose risk differs, at 64 dims and
.993 of the best, an inverted file of a tier costs less than a scan from about 7,500 rows where clusters are
tight, and from about 20,000 where norms differ much and half of the lists must be probed."""


@dataclass(frozen=True)
class IndexPart:
    """One FAISS index over a range of the rows.

    Attributes:
        kind: its FAISS class.
        row_start: first row.
        row_stop: one past its last row.
        list_count: lists of an inverted file; 1 for other kinds.
        effort: lists probed per query by an inverted file, length of the queue of HNSW, 1 if flat.
        size: its bytes, which follow those of the part before it.
    """

    kind: str
    row_start: int
    row_stop: int
    list_count: int
    effort: int
    size: int

    @property
    def count(self) -> int:
        """Returns the number of rows."""
        return self.row_stop - self.row_start

    @property
    def name(self) -> str:
        """Returns what to call it in a message."""
        return f"{self.kind} of rows [{self.row_start}, {self.row_stop})"


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


def is_whole(parts: Sequence[IndexPart], count: int) -> bool:
    """Tells whether the parts hold every row, so that `cover` finds parts for any search."""
    starts = sorted({part.row_start for part in parts})
    if not parts or starts[0] != 0 or max(part.row_stop for part in parts) != count:
        return False
    ends = {start: max(part.row_stop for part in parts if part.row_start == start) for start in starts}
    return ends[starts[-1]] == count and all(
        ends[start] >= following for start, following in pairwise(starts)
    )
