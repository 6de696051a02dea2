"""The ways to find candidate rows: an exact scan of int8 vectors, and an index of FAISS on CPU or GPU.

All of them answer the same rounds. What they return is a set of rows; the list's order comes from the integer
score that follows.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from index.ann import LEFT_COUNT_MAX
from index.reference import narrow
from index.tiers import IndexPart, cover
from server import native

Rows = NDArray[np.int64]
Queries = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Extent:
    """The rows that a search chooses from.

    Attributes:
        row_start: first row of a range.
        row_stop: one past its last row.
        row_count: how many of them may be chosen: fewer than the range has if a bitmap selects.
        bitmap: if not None, only these: a bit for each row of the catalogue, the first in the lowest bit.
    """

    row_start: int
    row_stop: int
    row_count: int
    bitmap: bytes | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one request wants of a search: so many rows of an extent, at least 1."""

    extent: Extent
    candidate_count: int


class RowSearch(Protocol):
    """Finds rows for many requests at once; a request's rows do not depend on the others."""

    @property
    def name(self) -> str:
        """Names it in traces and in the start line."""

    def search(self, queries: Queries, wanted: Sequence[Wanted]) -> list[Rows]:
        """Returns distinct rows for each query of int16 [batch, dim], at most as many as are wanted."""

    def count_compared(self, extent: Extent) -> int:
        """Returns how many rows are compared with a query; an estimate where lists are probed."""


class Index(Protocol):
    """What is needed of `index.ann_index.AnnIndex`."""

    kind: str
    parts: tuple[IndexPart, ...]

    def search(
        self,
        queries: NDArray[np.float32],
        candidate_count: int,
        row_start: int,
        row_stop: int,
        bitmap: bytes | None = None,
    ) -> Rows:
        """Returns candidate rows, int64 [batch, candidate_count], -1 where there are no more."""


class ScanSearch:
    """Compares every row: nothing is missed but what rounding to int8 puts below the last candidate."""

    name: Final = "exact"

    def __init__(self, item_vectors: NDArray[np.int8], path: str = native.AUTO) -> None:
        """Keeps what is scanned.

        Args:
            item_vectors: the bundle's matrix, int8 [product_count, dim].
            path: one of `native.available_paths`, or "auto".
        """
        self._items = np.ascontiguousarray(item_vectors)
        self._path = path

    def search(self, queries: Queries, wanted: Sequence[Wanted]) -> list[Rows]:
        """Scans once for all requests that want so many rows; see `RowSearch`."""
        users = narrow(queries)  # [batch, dim]
        together: dict[int, list[int]] = {}
        for position, request in enumerate(wanted):
            together.setdefault(request.candidate_count, []).append(position)
        answers: dict[int, Rows] = {}
        for count, positions in together.items():
            found = self._scan(users[positions], [wanted[position].extent for position in positions], count)
            answers.update(
                (position, rows[rows >= 0]) for position, rows in zip(positions, found, strict=True)
            )
        return [answers[position] for position in range(len(wanted))]

    def count_compared(self, extent: Extent) -> int:
        """See `RowSearch`."""
        return extent.row_count

    def _scan(self, users: NDArray[np.int8], extents: Sequence[Extent], count: int) -> Rows:
        """Returns the best rows of each extent, int64 [batch, count], -1 where there are no more."""
        return native.scan(
            users,
            self._items,
            np.array([extent.row_start for extent in extents], np.int64),
            np.array([extent.row_stop for extent in extents], np.int64),
            [_read_bitmap(extent.bitmap) for extent in extents],
            count=count,
            path=self._path,
        )[0]


class IndexSearch:
    """Asks an index of FAISS, which may miss rows."""

    def __init__(self, index: Index, name: str) -> None:
        """Keeps the index.

        Args:
            index: the index, on whatever device.
            name: what to call it before its kind.
        """
        self._index = index
        self.name = f"{name} {index.kind}"

    @property
    def parts(self) -> tuple[IndexPart, ...]:
        """The parts of the index."""
        return self._index.parts

    def search(self, queries: Queries, wanted: Sequence[Wanted]) -> list[Rows]:
        """Searches together what looks at the same rows; see `RowSearch`."""
        together: dict[Wanted, list[int]] = {}
        for position, request in enumerate(wanted):
            together.setdefault(request, []).append(position)
        answers: dict[int, Rows] = {}
        for request, positions in together.items():
            extent = request.extent
            found = self._index.search(
                queries[positions].astype(np.float32),
                request.candidate_count,
                extent.row_start,
                extent.row_stop,
                extent.bitmap,
            )
            answers.update(
                (position, rows[rows >= 0]) for position, rows in zip(positions, found, strict=True)
            )
        return [answers[position] for position in range(len(wanted))]

    def count_compared(self, extent: Extent) -> int:
        """See `RowSearch`."""
        return sum(math.ceil(left * share) for _, left, share in probe(self.parts, extent))


def probe(parts: Sequence[IndexPart], extent: Extent) -> Iterator[tuple[int, int, float]]:
    """Yields of each part that a search needs its position, the rows to choose from and the share probed.

    The share follows `index.ann`: the fewer rows are left, the more lists are probed.
    """
    width = extent.row_stop - extent.row_start
    for position, start, stop in cover(parts, extent.row_start, extent.row_stop):
        part = parts[position]
        left = round(extent.row_count * (stop - start) / width)
        effort = part.effort
        if left < part.count:
            grown = math.ceil(effort * part.count / max(left, 1))
            effort = part.list_count if left <= LEFT_COUNT_MAX else min(part.list_count, grown)
        yield position, left, min(1.0, effort / part.list_count)


def _read_bitmap(bitmap: bytes | None) -> NDArray[np.uint8] | None:
    return None if bitmap is None else np.frombuffer(bitmap, np.uint8)
