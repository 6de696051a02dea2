"""Decides of each call whether it may come in, and whether enough of its time is left.

Rejecting early is what keeps an overloaded server useful: what is refused must cost next to nothing, and what
cannot be answered in time must not be begun ("Addressing Cascading Failures", Site Reliability Engineering,
chapter 22).
"""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from server.errors import DeadlineError, OverloadError
from server.overload.limit import AdaptiveLimit
from server.overload.metrics import OverloadMetrics
from server.overload.priority import TIMED_METHODS, Priority, of_method
from server.overload.quantile import RecentQuantile
from server.overload.slot import Slot, TakeTurn

TOO_MANY: Final = "too many calls are under way; retry later"

PRESSED_S: Final = 1.0
"""For so long after a refusal the server is under pressure."""
SWITCH_INTERVAL_S: Final = 5e-3
PRESSED_SWITCH_INTERVAL_S: Final = 1e-4
"""How long a thread may keep Python's lock while another waits for it: Python's own, and under pressure. The
thread that takes calls from the network needs it several times for each call, and falls behind otherwise;
with nothing to refuse, handing over that often would only cost."""

Expect = Callable[[Priority | None], float]
"""Estimates the seconds until a search of a class would be done; None for one that nothing is ahead of."""


class OverloadController:
    """Counts the calls under way; many threads ask it, and none of them waits for long."""

    def __init__(
        self,
        limit: AdaptiveLimit,
        metrics: OverloadMetrics | None = None,
        clock: Callable[[], float] = time.monotonic,
        set_switch_interval: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """Starts with no call.

        Args:
            limit: the limit as it is now.
            metrics: counts decisions; None where nobody reads the count.
            clock: seconds that never go back.
            set_switch_interval: told how soon Python's threads shall hand over, whenever that changes.
        """
        self._limit = limit
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._set_switch_interval = set_switch_interval
        self._pressed = False
        self._refused_s = float("-inf")
        self._rest = RecentQuantile()
        self._expect: Expect = lambda priority: 0.0
        if metrics is not None:
            metrics.watch(lambda: limit.limit, lambda: limit.under_way)

    def watch_searches(self, expect: Expect) -> TakeTurn:
        """Has `expect` asked how long a search would take now; returns what gives searches a turn."""
        self._expect = expect
        return self.take_turn

    def has_room(self, method: str, most: int, count: Callable[[], int] | None = None) -> bool:
        """Tells whether a call may come as far as to a thread, where its caller and its message are known.

        Args:
            method: full name.
            most: calls that are that far already, at most.
            count: counts them; takes longer, and is asked only where `most` are too many. None where `most`
                is the count.
        """
        priority = of_method(method)
        if self._limit.has_room(priority, most):
            return True
        if count is not None and self._limit.has_room(priority, count()):
            return True
        self._reject("limit", priority)
        return False

    def enter(self, method: str, priority: Priority, remaining_s: float) -> Slot:
        """Lets a call in, now that its message is there; whoever gets a slot gives it back to `leave`.

        Args:
            method: full name.
            priority: class of the caller; the method may lower it.
            remaining_s: until the call's deadline.

        Raises:
            DeadlineError: an answer takes longer than that even when nothing is ahead of it.
            OverloadError: too many calls are under way, or what waits takes longer than that.
        """
        slot = Slot(max(priority, of_method(method)), method in TIMED_METHODS, self._clock())
        if slot.timed:
            self._check_time(slot, remaining_s)
        with self._lock:
            room = self._limit.has_room(slot.priority)
            if room:
                self._limit.enter()
        if not room:
            self._reject("limit", slot.priority)
            raise OverloadError(TOO_MANY)
        if self._metrics is not None:
            self._metrics.admit(slot.priority)
        if slot.timed and self._is_pressed(slot.entered_s):
            slot.turn = self._turn
            slot.take_turn()
        return slot

    def _check_time(self, slot: Slot, remaining_s: float) -> None:
        rest_s = self._rest.read(slot.entered_s)
        # Nearly every call has time for all that waits.
        if remaining_s >= rest_s + self._expect(slot.priority):
            return
        if remaining_s < rest_s + self._expect(None):
            self._reject("deadline", slot.priority)
            raise DeadlineError("less time is left than an answer takes")
        self._reject("wait", slot.priority)
        raise OverloadError("more calls wait than can be answered in the time left; retry later")

    def take_turn(self) -> AbstractContextManager[object]:
        """Returns what the compute thread holds while it works in Python: under pressure the calls' turn."""
        return self._turn if self._is_pressed(self._clock()) else nullcontext()

    def leave(self, slot: Slot, *, answered: bool, behind_s: float = 0.0) -> None:
        """Counts a call as gone.

        Args:
            slot: the call's.
            answered: whether it was answered; refusals say nothing about load.
            behind_s: how long the thread that takes calls from the network lets them wait.
        """
        slot.give_turn()
        now_s = self._clock()
        latency_s = now_s - slot.entered_s
        measured = slot.timed and answered
        with self._lock:
            # It hands over first the call and then its message, so a call has waited for it twice.
            self._limit.leave(now_s, latency_s + 2 * behind_s if measured else None)
            if measured:
                self._rest.add(latency_s - slot.searching_s, now_s)

    def _is_pressed(self, now_s: float) -> bool:
        """Tells whether calls were refused a moment ago; ends the pressure where none was."""
        pressed = now_s - self._refused_s < PRESSED_S
        if self._pressed != pressed:
            self._press(pressed)
        return pressed

    def _press(self, pressed: bool) -> None:
        """Notes the beginning or the end of the pressure."""
        with self._lock:
            self._pressed = pressed
            self._set_switch_interval(PRESSED_SWITCH_INTERVAL_S if pressed else SWITCH_INTERVAL_S)

    def _reject(self, reason: str, priority: Priority) -> None:
        self._refused_s = self._clock()
        if not self._pressed:
            self._press(True)
        if self._metrics is not None:
            self._metrics.reject(reason, priority)
