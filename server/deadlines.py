"""Tells how long a call may still take, also while the wall clock is set.

gRPC's core keeps deadlines by the monotonic clock and ends every call whose time is over. Its Python turns a
deadline into wall time as the call arrives and subtracts the wall clock when asked, so that a clock set in
between makes a second into nothing or into a day.
"""

import time
from collections.abc import Callable
from typing import Final

import grpc

STEP_S: Final = 0.1
"""Less is no step: clocks that are slewed drift apart by a tenth of it in a minute."""
READING_S_MAX: Final = 0.02
"""A reading that took longer, because another thread ran, tells nothing of a step."""
UNTRUSTED_S: Final = 60.0
"""How long a step is remembered: no call waits longer before somebody asks how long it has left."""


class WallClockWatch:
    """Notices when the wall clock was set, by its distance from the monotonic clock."""

    def __init__(
        self, wall: Callable[[], float] | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Begins with the distance of now.

        Args:
            wall: reads the wall clock, seconds; by default the machine's.
            monotonic: reads the monotonic clock, seconds.
        """
        self._wall, self._monotonic = wall or _read_wall_s, monotonic
        self._distance_s = self._wall() - monotonic()
        self._untrusted_until_s = float("-inf")

    def was_set(self) -> bool:
        """Returns whether the clock was set within the last `UNTRUSTED_S`, as any thread has noticed."""
        start_s = self._monotonic()
        wall_s = self._wall()
        now_s = self._monotonic()
        if now_s - start_s <= READING_S_MAX:
            distance_s = wall_s - now_s
            # Two threads that notice one step say the same: nothing needs a lock.
            if abs(distance_s - self._distance_s) > STEP_S:
                self._untrusted_until_s = now_s + UNTRUSTED_S
            self._distance_s = distance_s
        return now_s < self._untrusted_until_s


def _read_wall_s() -> float:
    return time.time_ns() / 1e9


_WATCH: Final = WallClockWatch()


def read_time_left_s(context: grpc.ServicerContext, watch: WallClockWatch = _WATCH) -> float:
    """Returns the seconds that a call has left; infinite where the wall clock was set of late.

    A call that is over all the same is ended by gRPC's core, which reads the other clock, and is dropped as
    one that its caller cancelled.

    Args:
        context: of the call; one without a deadline has aeons left.
        watch: looked at by every call, so that a step shows to the first one after it.
    """
    left_s = float(context.time_remaining())
    # Asked for after the wall clock was read: a step in between is noticed.
    return float("inf") if watch.was_set() else left_s
