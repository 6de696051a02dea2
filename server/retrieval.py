"""Which rows a request looks at: the best of its part of the catalogue, then more, in the end every row left.

The first round looks at the whole part of the catalogue that was asked for, so that an answer can tell what
the rules took away; later ones only at rows that the filter leaves and that were not looked at yet. The last
one takes all of these, so a list is shorter than k only if nothing else is eligible.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from index.device_matrix import DeviceMatrix
from server.planner import Planner, Strategy
from server.row_bits import RowSet
from server.row_search import Extent, Queries, Rows, Wanted

__all__ = ["Retriever", "Round", "Rows"]

CANDIDATE_COUNT_MIN: Final = 100
CANDIDATES_PER_K: Final = 4
GROWTH: Final = (1, 2, 16)
"""How many times as many candidates each round wants. After these rounds, all rows left are looked at."""


@dataclass(frozen=True, slots=True)
class Round:
    """One look at the catalogue.

    Attributes:
        strategy: how rows are searched; None takes all of them, which makes the round the last.
        extent: the rows to choose from.
        candidate_count: rows wanted.
    """

    strategy: Strategy | None
    extent: Extent
    candidate_count: int

    @property
    def exhaustive(self) -> bool:
        """Whether no further round could find more."""
        return self.strategy is None

    @property
    def sure_count(self) -> int:
        """How many of the rows found first have a higher score than every row that was not found.

        A scan rounds to int8, so that this may be wrong near its last rows, not in its first half.
        """
        return self.candidate_count // 2 if self.strategy == "exact" else self.candidate_count


class Retriever:
    """Plans rounds and runs them."""

    def __init__(self, planner: Planner) -> None:
        """Keeps what chooses among the ways to search."""
        self._planner = planner

    @property
    def name(self) -> str:
        """Names what may answer, for the start line."""
        return self._planner.name

    def plan_first(self, row_start: int, row_stop: int, k: int, rows_left: RowSet | None = None) -> Round:
        """Returns the first round.

        Args:
            row_start: first row of the part of the catalogue asked for.
            row_stop: one past its last row.
            k: number of products wanted.
            rows_left: the rows that may be looked at; None if all may.
        """
        planned = self._plan(row_start, row_stop, rows_left, _count_candidates(k, 0))
        left_out_count = row_stop - row_start - planned.extent.row_count
        if planned.strategy in (None, "exact") or left_out_count > planned.candidate_count // 2:
            return planned
        # An index searches faster without a bitmap, and together what looks at the same rows. The few that
        # are left out are dropped by who asks.
        return replace(planned, extent=Extent(row_start, row_stop, row_stop - row_start))

    def plan_last(self, row_start: int, row_stop: int, rows_left: RowSet) -> Round:
        """Returns a round that takes all rows of a range that are left."""
        extent = _limit(row_start, row_stop, rows_left)
        return Round(None, extent, extent.row_count)

    def plan_next(self, row_start: int, row_stop: int, rows_left: RowSet, k: int, round_number: int) -> Round:
        """Returns a later round.

        Args:
            row_start: no row before it is worth looking at.
            row_stop: nor is this one or any after it.
            rows_left: the rows that are worth looking at.
            k: number of products wanted.
            round_number: 1 for the second round; after an exhaustive one there is none to ask for.
        """
        if round_number >= len(GROWTH):
            return self.plan_last(row_start, row_stop, rows_left)
        return self._plan(row_start, row_stop, rows_left, _count_candidates(k, round_number))

    def search(
        self, queries: Queries, rounds: Sequence[Round], on_device: DeviceMatrix | None = None
    ) -> list[Rows]:
        """Runs a round for each of several requests.

        Args:
            queries: quantised user vectors, int32 [batch, dim].
            rounds: the round of each.
            on_device: the same vectors in the memory of the GPU, as the tower left them there.

        Returns:
            one array of distinct rows per query.
        """
        answers: dict[int, Rows] = {}
        together: dict[Strategy, list[int]] = {}
        for position, planned in enumerate(rounds):
            if planned.strategy is None:
                answers[position] = _read_rows(planned.extent)
            else:
                together.setdefault(planned.strategy, []).append(position)
        for strategy, positions in together.items():
            wanted = [
                Wanted(rounds[position].extent, rounds[position].candidate_count) for position in positions
            ]
            search = self._planner.searches[strategy].search
            if len(positions) == len(rounds):
                return search(queries, wanted, on_device)
            taken = None if on_device is None else on_device.take(positions)
            found = search(queries[positions], wanted, taken)
            answers.update(zip(positions, found, strict=True))
        return [answers[position] for position in range(len(rounds))]

    def describe(self, planned: Round) -> tuple[str, int]:
        """Returns the name of what ran a round, and how many rows it compared with the query."""
        if planned.strategy is None:
            return "all rows", planned.extent.row_count
        search = self._planner.searches[planned.strategy]
        return search.name, search.count_compared(planned.extent)

    def _plan(self, row_start: int, row_stop: int, rows_left: RowSet | None, candidate_count: int) -> Round:
        extent = _limit(row_start, row_stop, rows_left)
        if extent.row_count <= candidate_count:
            return Round(None, extent, extent.row_count)
        return Round(self._planner.choose(extent, candidate_count), extent, candidate_count)


def _limit(row_start: int, row_stop: int, rows_left: RowSet | None) -> Extent:
    """Returns the rows of a range that are left."""
    row_stop = max(row_start, row_stop)
    width = row_stop - row_start
    left_count = width if rows_left is None else rows_left.count(row_start, row_stop)
    if rows_left is None or left_count == width:
        return Extent(row_start, row_stop, width)
    return Extent(row_start, row_stop, left_count, rows_left.to_bytes())


def _read_rows(extent: Extent) -> Rows:
    """Returns every row of an extent, in ascending order."""
    if extent.bitmap is None:
        return np.arange(extent.row_start, extent.row_stop, dtype=np.int64)
    first = extent.row_start // 8
    part = np.frombuffer(extent.bitmap, np.uint8)[first : -(-extent.row_stop // 8)]
    bits = np.unpackbits(part, bitorder="little")[extent.row_start - 8 * first : extent.row_stop - 8 * first]
    rows: Rows = np.flatnonzero(bits) + extent.row_start
    return rows


def _count_candidates(k: int, round_number: int) -> int:
    return max(CANDIDATE_COUNT_MIN, CANDIDATES_PER_K * k) * GROWTH[round_number]
