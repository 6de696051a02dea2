"""The concurrency limit: how many calls may be under way, adapted to how long they take.

The gradient of Netflix' concurrency-limits (github.com/Netflix/concurrency-limits, Gradient2Limit and
WindowedLimit): when a window's latency is above what is wanted, the limit is multiplied by wanted / measured,
at least by a half; while it is below, and the limit is made use of, it grows by one, as in its AIMDLimit.
Gradient2 wants what was measured over a long time, which follows a lasting overload upwards; here the wanted
latency is a setting. With one compute thread latency is proportional to the number of calls (Little's law),
so that one step of the gradient is already the right one.
"""

from dataclasses import dataclass, field
from typing import Final

from server.overload.priority import SHARES, Priority

WINDOW_S: Final = 0.1
WINDOW_COUNT_MIN: Final = 10
"""A window is closed once it is as long as that and has seen so many calls."""
WINDOW_S_MAX: Final = 1.0
"""Or once it is as long as that."""
WINDOW_PERCENTILE: Final = 0.9
BACKOFF_MAX: Final = 0.5
LIMIT_MIN: Final = 4
"""Enough to keep the compute thread at work whatever is measured."""


@dataclass(slots=True)
class AdaptiveLimit:
    """Lets calls in and out; a state machine without clock, threads or locks of its own.

    Attributes:
        target_s: the latency that nine of ten calls may reach.
        maximum: the limit's upper bound, and where it starts.
        under_way: calls let in that have not left.
    """

    target_s: float
    maximum: int
    under_way: int = 0
    _limit: float = field(init=False)
    _latencies_s: list[float] = field(default_factory=list)
    _since_s: float | None = None
    _cut_s: float = float("-inf")
    _peak: int = 0

    def __post_init__(self) -> None:
        self._limit = float(self.maximum)

    @property
    def limit(self) -> int:
        """How many calls may be under way now."""
        return int(self._limit)

    def has_room(self, priority: Priority, count: int | None = None) -> bool:
        """Tells whether one more call of a class may come in.

        Args:
            priority: the class.
            count: calls that are there; None for those under way.
        """
        there = self.under_way if count is None else count
        return there < max(1.0, SHARES[priority] * self.limit)

    def enter(self) -> None:
        """Counts a call as under way."""
        self.under_way += 1
        self._peak = max(self._peak, self.under_way)

    def leave(self, now_s: float, latency_s: float | None) -> None:
        """Counts a call as gone.

        Args:
            now_s: seconds that never go back.
            latency_s: how long it took; None where that says nothing about load.
        """
        self.under_way -= 1
        # A call from before the last cut tells of what the cut has answered already.
        if latency_s is None or now_s - latency_s < self._cut_s:
            return
        if self._since_s is None:
            self._since_s = now_s
        self._latencies_s.append(latency_s)
        length_s = now_s - self._since_s
        if (length_s >= WINDOW_S and len(self._latencies_s) >= WINDOW_COUNT_MIN) or length_s >= WINDOW_S_MAX:
            self._close_window(now_s)

    def _close_window(self, now_s: float) -> None:
        ordered = sorted(self._latencies_s)
        measured_s = ordered[int(WINDOW_PERCENTILE * (len(ordered) - 1))]
        if measured_s > self.target_s:
            self._limit *= max(BACKOFF_MAX, self.target_s / measured_s)
            self._cut_s = now_s
        elif 2 * self._peak >= self._limit:
            # A limit that nobody comes near to says nothing, and stays.
            self._limit += 1
        self._limit = min(max(self._limit, LIMIT_MIN), float(self.maximum))
        self._latencies_s.clear()
        self._since_s, self._peak = now_s, self.under_way
