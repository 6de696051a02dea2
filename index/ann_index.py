"""A search over the parts of an index: which of them a request needs, and the best of what they find."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index.device_matrix import DeviceMatrix
from index.errors import AnnError, AnnQueryError
from index.post_filter import Found, Marks
from index.tiers import IndexPart, cover


@dataclass(frozen=True, eq=False)
class Queries:
    """What is searched for.

    Attributes:
        values: float32 [batch, dim], finite, rows one after the other.
        on_device: the same vectors in the memory of the GPU, if they are there; at most rounded otherwise.
    """

    values: NDArray[np.float32]
    on_device: DeviceMatrix | None = None

    @property
    def pointer(self) -> int:
        """The address for a GPU: faiss copies what is on the host, and reads the rest where it is."""
        return int(self.values.ctypes.data) if self.on_device is None else self.on_device.pointer


class Part(Protocol):
    """One faiss index on a device. Rows are counted from its own first one."""

    kind: str

    def search(self, queries: Queries, count: int, start: int, stop: int, marks: Marks | None) -> Found:
        """Finds the best `count` of [start, stop), or of those that bool [stop] `marks` marks."""


class AnnIndex:
    """Searches some of the rows, each with the smallest part that holds them.

    One search runs at a time: a GPU index is not thread-safe.
    """

    def __init__(
        self, searches: Sequence[Part], parts: Sequence[IndexPart], *, dim: int, owner: object = None
    ) -> None:
        self._searches = searches
        self._owner = owner  # The bytes that the searches read.
        self._lock = threading.Lock()
        kind = searches[-1].kind
        self.parts = tuple(parts)
        self.kind: str = kind if len(searches) == 1 else f"nested {kind}"
        self.count = max(part.row_stop for part in parts)
        self.dim = dim

    def search(
        self,
        queries: NDArray[np.float32],
        candidate_count: int,
        row_start: int,
        row_stop: int,
        bitmap: bytes | None = None,
        *,
        on_device: DeviceMatrix | None = None,
    ) -> NDArray[np.int64]:
        """Finds candidates among the rows [row_start, row_stop), or those of them in a bitmap.

        If these are no more than candidate_count, they are returned whole, in row order. Otherwise rows come
        best first and may be fewer than asked for; the rest is -1.

        Args:
            queries: float32 [batch, dim], finite.
            candidate_count: rows wanted per query, at least 1.
            row_start: first row of the range.
            row_stop: one past its last row.
            bitmap: one bit for each row of the index, the first in the lowest bit; None for no limit.
            on_device: the queries in the memory of the GPU, complete; an index there reads them in place.

        Returns:
            item rows, int64 [batch, candidate_count].

        Raises:
            AnnQueryError: the queries, the count, the range or the bitmap cannot be searched.
        """
        self._require_query(queries, candidate_count, row_start, row_stop)
        if on_device is not None and (on_device.count, on_device.dim) != queries.shape:
            found_shape = [on_device.count, on_device.dim]
            raise AnnQueryError(f"on_device: shape {found_shape}; expected that of queries {queries.shape}")
        marks, wanted_count = None, row_stop - row_start
        if bitmap is not None:
            marks = self._read_bitmap(bitmap, row_start, row_stop)
            wanted_count = int(np.count_nonzero(marks))
        if wanted_count <= candidate_count:
            found = np.full((len(queries), candidate_count), -1, dtype=np.int64)  # [batch, candidate_count]
            found[:, :wanted_count] = (
                np.arange(row_start, row_stop) if marks is None else np.flatnonzero(marks)
            )
            return found
        if marks is not None:
            # A bitmap that ends early is searched in a lower tier.
            row_start, row_stop = int(marks.argmax()), len(marks) - int(marks[::-1].argmax())
        content = Queries(np.ascontiguousarray(queries, dtype=np.float32), on_device)
        with self._lock:
            return self._search_parts(content, candidate_count, row_start, row_stop, marks)

    def _search_parts(
        self, queries: Queries, count: int, row_start: int, row_stop: int, marks: Marks | None
    ) -> NDArray[np.int64]:
        answers: list[Found] = []
        for position, start, stop in cover(self.parts, row_start, row_stop):
            first = self.parts[position].row_start
            own = None if marks is None else marks[first:stop]
            scores, rows = self._search_part(position, queries, count, start - first, stop - first, own)
            # A mapped file may be damaged after it was proven: no row may leave the range.
            fits = (rows >= start - first) & (rows < stop - first)
            answers.append((scores, np.where(fits, rows + first, -1)))
        return answers[0][1] if len(answers) == 1 else _keep_best(answers, count)

    def _search_part(
        self,
        position: int,
        queries: Queries,
        count: int,
        start: int,
        stop: int,
        marks: Marks | None,
    ) -> Found:
        search = self._searches[position]
        try:
            return search.search(queries, count, start, stop, marks)
        except RuntimeError as error:
            raise AnnError(f"{search.kind}: the search failed: {error}") from error

    def _read_bitmap(self, bitmap: bytes, row_start: int, row_stop: int) -> Marks:
        expected = (self.count + 7) // 8
        if len(bitmap) != expected:
            raise AnnQueryError(
                f"bitmap: {len(bitmap)} bytes; expected {expected} for the {self.count} rows of the index"
            )
        bits = np.frombuffer(bitmap, np.uint8)
        marks = np.unpackbits(bits, count=row_stop, bitorder="little").view(np.bool_)
        marks[:row_start] = False
        return marks

    def _require_query(
        self, queries: NDArray[np.float32], candidate_count: int, row_start: int, row_stop: int
    ) -> None:
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise AnnQueryError(f"queries: shape {queries.shape}; expected [batch, {self.dim}]")
        if candidate_count < 1:
            raise AnnQueryError(f"candidate_count is {candidate_count}; expected at least 1")
        if not 0 <= row_start <= row_stop <= self.count:
            raise AnnQueryError(
                f"rows [{row_start}, {row_stop}); expected 0 <= start <= stop <= {self.count}"
            )
        require_finite(queries, "queries")


def find_effort(part: IndexPart, start: int, stop: int, marks: Marks | None) -> int:
    """Returns how hard to search a part for rows of [start, stop), or for those of them that are marked."""
    left = stop - start if marks is None else int(np.count_nonzero(marks))
    return part.find_effort(stop - start, max(1, left))


def require_finite(values: NDArray[np.float32], name: str) -> None:
    """Refuses NaN and infinity: faiss answers infinite queries with plausible rows.

    Raises:
        AnnQueryError: there are such values.
    """
    if not np.isfinite(values).all():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        raise AnnQueryError(f"{name}: {bad} of {values.size} values are NaN or infinite")


def _keep_best(answers: Sequence[Found], count: int) -> NDArray[np.int64]:
    """Returns the best `count` rows of several answers, int64 [batch, count]; padding comes last."""
    rows = np.concatenate([answer[1] for answer in answers], axis=1)  # [batch, answers * count]
    scores = np.concatenate([answer[0] for answer in answers], axis=1)
    order = np.argsort(np.where(rows < 0, np.inf, -scores), axis=1, kind="stable")[:, :count]
    best: NDArray[np.int64] = rows[np.arange(len(rows))[:, None], order]
    return best
