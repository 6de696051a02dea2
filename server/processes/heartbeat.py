"""Finds processes that hang: each is asked every second whether it lives, and which batch it computes.

A process that hangs keeps its share of the port, and the kernel goes on giving it connections. It is to be
ended when it has not answered for `SILENCE_S_MAX`, or answers and has been at one batch for `BATCH_S_MAX`.
Where the supervisor itself stood still, with the machine or alone, it could hear nobody: all counts begin
anew. A state machine over a clock: it returns what is to be said, and whom to end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from server.processes.wire import Ping, Pong, ToProcess

PERIOD_S: Final = 1.0
SILENCE_S_MAX: Final = 10.0
"""A machine with fifteen times more work than cores still lets a thread have its turn within a second."""
BATCH_S_MAX: Final = 60.0
"""As long as any call waits: whoever was to be answered is gone. A batch that is slow is none that hangs."""


@dataclass(slots=True)
class _Pulse:
    """When a process answered last, and when it was last seen without work or at another batch."""

    heard_s: float
    moved_s: float
    batch: int | None = None
    asked: bool = False


class Heartbeat:
    """Knows the processes that serve. One that starts or drains is not among them, and is not asked."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Starts with no process.

        Args:
            clock: seconds that never go back.
        """
        self._clock = clock
        self._pulses: dict[int, _Pulse] = {}
        self._next_s = clock()

    @property
    def next_s(self) -> float | None:
        """When `beat` is to be called again, by the clock; None while no process serves."""
        return self._next_s if self._pulses else None

    def join(self, number: int) -> None:
        """Counts a process in that serves."""
        now_s = self._clock()
        if not self._pulses:
            self._next_s = now_s + PERIOD_S
        self._pulses[number] = _Pulse(now_s, now_s)

    def leave(self, number: int) -> None:
        """Counts a process out that has ended."""
        self._pulses.pop(number, None)

    def hear(self, number: int, pong: Pong) -> None:
        """Notes that a process has answered, however late."""
        pulse = self._pulses.get(number)
        if pulse is None:
            return
        pulse.asked, pulse.heard_s = False, self._clock()
        if pong.batch is None or pong.batch != pulse.batch:
            pulse.moved_s = pulse.heard_s
        pulse.batch = pong.batch

    def beat(self) -> list[tuple[int, ToProcess]]:
        """Asks whoever owes no answer, once per period; what was said until now must have been heard."""
        now_s = self._clock()
        if now_s < self._next_s:
            return []
        if now_s - self._next_s > PERIOD_S:
            for pulse in self._pulses.values():
                pulse.heard_s = pulse.moved_s = now_s
        self._next_s = now_s + PERIOD_S
        # One question at a time: a pipe that nobody reads must not fill, or the supervisor would hang, too.
        numbers = [number for number, pulse in self._pulses.items() if not pulse.asked]
        for number in numbers:
            self._pulses[number].asked = True
        return [(number, Ping()) for number in numbers]

    def list_hanging(self) -> list[tuple[int, str]]:
        """Returns the processes that are to be ended and why; to be asked right after `beat`."""
        now_s = self._clock()
        hanging = []
        for number, pulse in self._pulses.items():
            if now_s - pulse.heard_s >= SILENCE_S_MAX:
                hanging.append((number, f"it has not answered for {now_s - pulse.heard_s:.1f} s"))
            elif now_s - pulse.moved_s >= BATCH_S_MAX:
                hanging.append((number, f"it has been at one batch for {now_s - pulse.moved_s:.1f} s"))
        return hanging
