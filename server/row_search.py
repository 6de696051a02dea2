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

from index.device_matrix import DeviceMatrix
from index.tiers import IndexPart, Probe, probe
from server import large_pages, native

Rows = NDArray[np.int64]
Queries = NDArray[np.int32]


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

    def search(
        self, queries: Queries, wanted: Sequence[Wanted], on_device: DeviceMatrix | None = None
    ) -> list[Rows]:
        """Returns distinct rows for each query, at most as many as are wanted.

        Args:
            queries: int32 [batch, dim].
            wanted: what each of them wants.
            on_device: the queries as the tower left them in the memory of the GPU, if they are there.
        """

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
        *,
        on_device: DeviceMatrix | None = None,
    ) -> Rows:
        """Returns candidate rows, int64 [batch, candidate_count], -1 where there are no more."""


class ScanSearch:
    """Compares every row: nothing is missed but what rounding to int8 puts below the last candidate."""

    name: Final = "exact"

    def __init__(self, item_vectors: NDArray[np.int8], path: str = native.AUTO) -> None:
        """Copies what is scanned, once as it is and once as the path reads it if that takes no more memory.

        Args:
            item_vectors: the bundle's matrix, int8 [product_count, dim].
            path: one of `native.available_paths`, or "auto".
        """
        self._items = native.ScanItems(large_pages.copy(item_vectors), path)
        if self._items.packed_size > 0:
            self._items.pack(large_pages.allocate((self._items.packed_size,), np.uint8))

    def search(
        self, queries: Queries, wanted: Sequence[Wanted], on_device: DeviceMatrix | None = None
    ) -> list[Rows]:
        """Scans once for all requests, in the host's memory; see `RowSearch`."""
        del on_device
        extents = [request.extent for request in wanted]
        return self._items.scan(
            queries,
            [extent.row_start for extent in extents],
            [extent.row_stop for extent in extents],
            [extent.bitmap for extent in extents],
            [request.candidate_count for request in wanted],
        )

    def count_compared(self, extent: Extent) -> int:
        """See `RowSearch`."""
        return extent.row_count


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

    def search(
        self, queries: Queries, wanted: Sequence[Wanted], on_device: DeviceMatrix | None = None
    ) -> list[Rows]:
        """Searches together what looks at the same rows; see `RowSearch`."""
        if len(wanted) == 1:  # Grouping reads a whole bitmap, which takes as long as a few comparisons.
            return [rows[rows >= 0] for rows in self._search(queries, wanted[0], on_device)]
        together: dict[Wanted, list[int]] = {}
        for position, request in enumerate(wanted):
            together.setdefault(request, []).append(position)
        answers: dict[int, Rows] = {}
        for request, positions in together.items():
            taken = None if on_device is None else on_device.take(positions)
            found = self._search(queries[positions], request, taken)
            answers.update(
                (position, rows[rows >= 0]) for position, rows in zip(positions, found, strict=True)
            )
        return [answers[position] for position in range(len(wanted))]

    def _search(self, queries: Queries, request: Wanted, on_device: DeviceMatrix | None) -> Rows:
        extent = request.extent
        return self._index.search(
            queries.astype(np.float32),
            request.candidate_count,
            extent.row_start,
            extent.row_stop,
            extent.bitmap,
            on_device=on_device,
        )

    def count_compared(self, extent: Extent) -> int:
        """See `RowSearch`."""
        return sum(math.ceil(part.left * part.share) for part in self.plan(extent))

    def plan(self, extent: Extent) -> Iterator[Probe]:
        """Yields what a search of an extent asks of each part that it needs."""
        return probe(self.parts, extent.row_start, extent.row_stop, extent.row_count)
