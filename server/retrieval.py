"""Which rows a request looks at: candidates from FAISS, then more, in the end every row that could pass.

The first round looks at the whole part of the catalogue that was asked for, so that an answer can tell what
the rules took away; later ones only at rows that the filter leaves and that were not looked at yet. A round
either searches with FAISS or takes all of these rows. The last one takes all, so a list is shorter than k
only if nothing else is eligible.
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
        self,
        queries: NDArray[np.float32],
        candidate_count: int,
        row_start: int,
        row_stop: int,
        bitmap: bytes | None = None,
    ) -> Rows:
        """Returns candidate rows, int64 [batch, candidate_count], -1 where there are no more."""


@dataclass(frozen=True, slots=True)
class Round:
    """One look at the catalogue. Requests with equal rounds are searched together.

    Attributes:
        candidate_count: rows wanted; None takes all of them, which makes the round the last.
        row_start: first row of the part of the catalogue.
        row_stop: one past its last row.
        bitmap: if not None, only these of its rows: a bit for each row of the catalogue, the first in the
            lowest bit.
    """

    candidate_count: int | None
    row_start: int
    row_stop: int
    bitmap: bytes | None = None

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

    def plan_first(self, row_start: int, row_stop: int, k: int) -> Round:
        """Returns the first round, over the rows [row_start, row_stop)."""
        candidate_count = _count_candidates(k, 0)
        if self._mode == "exact" or candidate_count >= row_stop - row_start:
            return Round(None, row_start, row_stop)
        return Round(candidate_count, row_start, row_stop)

    def plan_next(self, rows_left: NDArray[np.bool_], k: int, round_number: int) -> Round:
        """Returns a later round.

        Args:
            rows_left: bool [product_count], the rows that are worth looking at.
            k: number of products wanted.
            round_number: 1 for the second round; after an exhaustive one there is none to ask for.
        """
        bitmap = np.packbits(rows_left, bitorder="little").tobytes()
        candidate_count = _count_candidates(k, round_number)
        few = np.count_nonzero(rows_left) <= candidate_count
        if few or round_number >= FAISS_ROUND_COUNT_MAX:
            return Round(None, 0, len(rows_left), bitmap)
        return Round(candidate_count, 0, len(rows_left), bitmap)

    def search(self, queries: NDArray[np.int16], search_round: Round) -> list[Rows]:
        """Runs one round for several requests.

        Args:
            queries: quantised user vectors, int16 [batch, dim].
            search_round: the round that all of them are in.

        Returns:
            one array of distinct rows per query.
        """
        start, stop, bitmap = search_round.row_start, search_round.row_stop, search_round.bitmap
        if search_round.candidate_count is not None:
            wanted = search_round.candidate_count
            found = self._index.search(queries.astype(np.float32), wanted, start, stop, bitmap)
            return [rows[rows >= 0] for rows in found]  # [batch, candidate_count]
        rows = np.arange(start, stop, dtype=np.int64)
        if bitmap is not None:
            bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), count=stop, bitorder="little")
            rows = rows[bits[start:].view(np.bool_)]
        return [rows] * len(queries)


def _count_candidates(k: int, round_number: int) -> int:
    return max(CANDIDATE_COUNT_MIN, CANDIDATES_PER_K * k) << round_number
