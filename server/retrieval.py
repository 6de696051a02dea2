"""Which rows a request looks at: candidates from FAISS, then more, in the end every row that could pass.

A round either searches with FAISS or takes a range of rows whole. The first round looks at the whole part of
the catalogue that was asked for; later ones only at the rows that the user's limits can admit. The last one
is exhaustive, so a list is shorter than k only if nothing else is eligible.
"""

from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

CANDIDATE_COUNT_MIN: Final = 100
CANDIDATES_PER_K: Final = 4
FAISS_ROUND_COUNT_MAX: Final = 3


class Index(Protocol):
    """What retrieval needs of `index.ann.AnnIndex`."""

    kind: str

    def search(
        self, queries: NDArray[np.float32], candidate_count: int, row_start: int, row_stop: int
    ) -> Rows:
        """Returns candidate rows, int64 [batch, candidate_count], -1 where there are no more."""


@dataclass(frozen=True, slots=True)
class SearchRange:
    """The rows [start, stop) that a request asks for; no row from `admitted_stop` on can be eligible."""

    start: int
    stop: int
    admitted_stop: int


@dataclass(frozen=True, slots=True)
class Round:
    """One look at the catalogue. Requests with equal rounds are searched together.

    `candidate_count` is None where the range is taken whole, which makes the round the last.
    """

    candidate_count: int | None
    row_start: int
    row_stop: int

    @property
    def exhaustive(self) -> bool:
        """Whether no further round could find more."""
        return self.candidate_count is None


class Retriever:
    """Plans rounds and runs them."""

    def __init__(self, index: Index, mode: Literal["faiss", "exact"]) -> None:
        self._index = index
        self._mode = mode

    @property
    def name(self) -> str:
        """Names what answers, for traces and the start line."""
        return f"faiss {self._index.kind}" if self._mode == "faiss" else "exact"

    def plan(self, search_range: SearchRange, k: int, round_number: int) -> Round:
        """Returns the round with this number, from 0; after an exhaustive one there is none to ask for."""
        start, stop = search_range.start, search_range.stop
        if round_number > 0:
            stop = max(start, min(stop, search_range.admitted_stop))
        candidate_count = max(CANDIDATE_COUNT_MIN, CANDIDATES_PER_K * k) << round_number
        whole = candidate_count >= stop - start
        if self._mode == "exact" or whole or round_number >= FAISS_ROUND_COUNT_MAX:
            return Round(None, start, stop)
        return Round(candidate_count, start, stop)

    def search(self, queries: NDArray[np.int16], search_round: Round) -> list[Rows]:
        """Runs one round for several requests.

        Args:
            queries: quantised user vectors, int16 [batch, dim].
            search_round: the round that all of them are in.

        Returns:
            one array of distinct rows per query.
        """
        if search_round.candidate_count is None:
            rows = np.arange(search_round.row_start, search_round.row_stop, dtype=np.int64)
            return [rows] * len(queries)
        found = self._index.search(
            queries.astype(np.float32),
            search_round.candidate_count,
            search_round.row_start,
            search_round.row_stop,
        )  # [batch, candidate_count]
        return [rows[rows >= 0] for rows in found]
