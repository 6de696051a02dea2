"""Tells whether this process has kept a processor busy of late: only then do its own threads wait long."""

import time
from collections.abc import Callable
from typing import Final

WINDOW_S: Final = 0.1
"""The share is of at least so long."""
BUSY_SHARE: Final = 0.5
"""Of one processor, all threads together: one thread at a time has Python's lock."""


class ProcessorShare:
    """Compares processor time with time, whenever it is asked; any thread may ask."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, used: Callable[[], float] = time.process_time
    ) -> None:
        """Begins to measure.

        Args:
            clock: gives seconds.
            used: gives the seconds of processor time that this process has taken.
        """
        self._clock, self._used = clock, used
        self._since = clock(), used()
        self._busy = False

    def is_busy(self) -> bool:
        """Tells whether the last window was busy."""
        since_s, used_s = self._since
        elapsed_s = self._clock() - since_s
        if elapsed_s >= WINDOW_S:
            # Two threads that measure at once measure the same: nothing needs a lock.
            now_used_s = self._used()
            self._since = since_s + elapsed_s, now_used_s
            self._busy = now_used_s - used_s >= BUSY_SHARE * elapsed_s
        return self._busy
