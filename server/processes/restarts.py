"""Says when a process that ended is started again: soon at first, ever later while it keeps ending."""

from collections.abc import Callable
from typing import Final

FIRST_DELAY_S: Final = 0.5
DELAY_S_MAX: Final = 30.0
STEADY_S: Final = 60.0
"""A process that was ready for so long starts over with the first delay."""


class Restarts:
    """Counts the ends of one process in a row. A state machine over a clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Starts with no end counted.

        Args:
            clock: seconds that never go back.
        """
        self._clock = clock
        self._ready_s: float | None = None
        self._delay_s = FIRST_DELAY_S
        self.count = 0

    def became_ready(self) -> None:
        """Notes that the process serves."""
        self._ready_s = self._clock()

    def ended(self) -> float:
        """Notes that the process ended; returns the instant, by the clock, at which it is started again."""
        now_s = self._clock()
        if self._ready_s is not None and now_s - self._ready_s >= STEADY_S:
            self._delay_s = FIRST_DELAY_S
        start_s = now_s + self._delay_s
        self._delay_s = min(2 * self._delay_s, DELAY_S_MAX)
        self._ready_s = None
        self.count += 1
        return start_s
