"""Has long work rest between its pieces, so that those who answer hardly wait for Python's lock.

A thread that computes keeps the lock for 5 ms at a time, and an answer takes the lock several times: beside
one busy thread half of the answers took four times as long. One that rests as it goes leaves most of the time
to others.
"""

import time
from collections.abc import Callable
from typing import Final

PIECE_S: Final = 0.001
"""A piece of work after which there is a rest."""
REST_SHARE: Final = 3.0
"""A rest is so many times as long as the piece before it."""
REST_S_MAX: Final = 0.03

Rest = Callable[[], None]
"""Called between pieces of work; returns when the next may begin."""


class Pace:
    """Measures how long a thread has worked, and has it rest in proportion. For one thread."""

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Begins to measure.

        Args:
            clock: gives seconds.
            sleep: waits so many seconds without Python's lock.
        """
        self._clock, self._sleep = clock, sleep
        self._start_s = clock()

    def rest(self) -> None:
        """Rests if a piece of work is done."""
        worked_s = self._clock() - self._start_s
        if worked_s >= PIECE_S:
            self._sleep(min(REST_SHARE * worked_s, REST_S_MAX))
            self._start_s = self._clock()


def never_rest() -> None:
    """Returns at once: at a start nobody is being answered."""
