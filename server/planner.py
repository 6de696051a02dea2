"""How a round is searched: exactly, with FAISS or on the GPU, whichever costs least for the rows it looks at.

Costs are measured when a bundle is opened (`server.calibration`) and never change while it serves. The choice
depends on the request's own rows alone, never on its batch. Up to SCANNED_COUNT_MAX rows it is the exact scan
everywhere. Above, it may differ between machines, and with it which rows an index of FAISS misses: naming one
strategy makes answers the same everywhere. The scan is taken unless something else is clearly cheaper.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from index.post_filter import GPU_K_MAX
from index.tiers import IndexPart, probe
from server.row_search import Extent, RowSearch

Strategy = Literal["exact", "faiss", "gpu"]

SCANNED_COUNT_MAX: Final = 10_000
"""Ranges of no more rows are scanned whatever was measured: nothing else is faster, and answers are exact."""
CHEAPER_SHARE: Final = 0.85
"""Other ways to search must cost less than so much of what the scan costs."""


class Costs(Protocol):
    """What one way of searching takes on this machine."""

    @property
    def least_s(self) -> float:
        """The least that any extent is estimated at."""

    def estimate(self, extent: Extent, candidate_count: int) -> float:
        """Returns the seconds for one request; infinity if it should not be searched in this way."""


@dataclass(frozen=True, slots=True)
class ScanCosts:
    """What a scan takes: per row of the range, or per row wanted where these are few.

    Attributes:
        near_row_s: per row of a range of which most rows are wanted, up to `near_count` rows.
        row_s: per row beyond those.
        bit_s: per row of a range of which few are wanted.
        wanted_row_s: per row wanted, in addition.
        near_count: rows that stay in a machine's caches from one search to the next.
    """

    near_row_s: float
    row_s: float
    bit_s: float
    wanted_row_s: float
    near_count: int

    @property
    def least_s(self) -> float:
        """See `Costs`."""
        return 0.0

    def estimate(self, extent: Extent, candidate_count: int) -> float:
        """See `Costs`."""
        del candidate_count
        width = extent.row_stop - extent.row_start
        near = min(width, self.near_count)
        whole_s = self.near_row_s * near + self.row_s * (width - near)
        return min(whole_s, self.bit_s * width + self.wanted_row_s * extent.row_count)


@dataclass(frozen=True, slots=True)
class PartCosts:
    """What one part of an index takes.

    Attributes:
        whole_s: for all of its rows.
        bitmap_s: for reading a bitmap, however many lists are probed.
        lists_s: for all of its lists where rows are selected.
    """

    whole_s: float
    bitmap_s: float
    lists_s: float


@dataclass(frozen=True, slots=True)
class IndexCosts:
    """What an index of FAISS takes, with the costs of each of its parts."""

    parts: Sequence[IndexPart]
    costs: Sequence[PartCosts]
    selects: bool

    @property
    def least_s(self) -> float:
        """See `Costs`. No part costs less than all of it."""
        return min(costs.whole_s for costs in self.costs)

    def estimate(self, extent: Extent, candidate_count: int) -> float:
        """See `Costs`. An index that does not select itself may give too few where few rows are wanted."""
        if not self.selects and is_beyond_reach(extent, candidate_count):
            return float("inf")
        total_s = 0.0
        for probed in probe(self.parts, extent.row_start, extent.row_stop, extent.row_count):
            costs, part = self.costs[probed.position], self.parts[probed.position]
            if probed.left == part.count:
                total_s += costs.whole_s
                continue
            bitmap_s = 0.0 if extent.bitmap is None else costs.bitmap_s
            # Lists hold rows of other ranges, which are read as well: what is left of a part costs as much as
            # all of it where as many lists are probed. What lists take may seem nothing: where efforts hardly
            # differ, it is not told from a bitmap's time.
            lists_ratio = max(1.0, probed.share * part.list_count / part.effort)
            total_s += max(costs.lists_s * probed.share + bitmap_s, costs.whole_s * lists_ratio)
        return total_s


@dataclass(frozen=True, slots=True)
class MatrixCosts:
    """What comparing every row of a range on the GPU takes: per search, and per row."""

    search_s: float
    row_s: float

    @property
    def least_s(self) -> float:
        """See `Costs`."""
        return self.search_s

    def estimate(self, extent: Extent, candidate_count: int) -> float:
        """See `Costs`."""
        if is_beyond_reach(extent, candidate_count):
            return float("inf")
        return self.search_s + self.row_s * (extent.row_stop - extent.row_start)


def is_beyond_reach(extent: Extent, candidate_count: int) -> bool:
    """Tells whether the most rows that a GPU finds hold too few wanted ones, if these are spread evenly."""
    return candidate_count * (extent.row_stop - extent.row_start) > GPU_K_MAX * extent.row_count


class Planner:
    """Chooses among the ways to search."""

    def __init__(self, searches: Mapping[Strategy, RowSearch], costs: Mapping[Strategy, Costs]) -> None:
        """Keeps the ways to search.

        Args:
            searches: by strategy; one, or several of which one is "exact". The first wins ties.
            costs: what each takes; not needed of one alone, which is always taken.
        """
        self.searches = searches
        self._costs = costs
        self._least_s = {strategy: cost.least_s for strategy, cost in costs.items()}
        names = ", ".join(search.name for search in searches.values())
        self.name = names if len(searches) == 1 else f"auto: {names}"

    def choose(self, extent: Extent, candidate_count: int) -> Strategy:
        """Returns how to search an extent for so many candidates."""
        strategies = list(self.searches)
        if len(strategies) == 1:
            return strategies[0]
        if extent.row_stop - extent.row_start <= SCANNED_COUNT_MAX:
            return "exact"
        chosen: Strategy = "exact"
        chosen_s = self._costs[chosen].estimate(extent, candidate_count) * CHEAPER_SHARE
        for strategy in strategies:
            # Most of what is cheap to scan is so for certain: planning must not take as long.
            if strategy != "exact" and self._least_s[strategy] < chosen_s:
                cost_s = self._costs[strategy].estimate(extent, candidate_count)
                if cost_s < chosen_s:
                    chosen, chosen_s = strategy, cost_s
        return chosen
