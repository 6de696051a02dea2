"""Has all processes prepare for a change that takes long to bring into force, so that they swap together.

Whoever has an order asks for it. Every process that serves compiles or opens what is needed and says so; if
one cannot, all let go of it and nothing has changed. One of each log is under way, until whoever asked
releases it: by then its record was written and followed, or refused. A state machine over a clock: it returns
what is to be said.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from server.processes.wire import Prepare, Prepared, Release, ToProcess

PREPARE_S_MAX: Final = 60.0
"""Compiling for a large catalogue takes seconds, of each process at the same time."""

Said = list[tuple[int, ToProcess]]
"""Messages, each with the number of the process that it is for."""


@dataclass(slots=True)
class _Held:
    """What is prepared for. Whoever is `waiting` has not said that it is ready; `answered` once all have."""

    by: int
    number: int
    texts: Mapping[str, str]
    waiting: set[int]
    deadline_s: float
    answered: bool = False


class Preparations:
    """Knows what processes prepare for, by log."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Starts with nothing under way.

        Args:
            clock: seconds that never go back.
        """
        self._clock = clock
        self._serving: set[int] = set()
        self._held: dict[str, _Held] = {}
        self._count = 0

    @property
    def deadline_s(self) -> float | None:
        """When `expire` is to be called, by the clock; None while nobody is waited for."""
        return min((each.deadline_s for each in self._held.values() if not each.answered), default=None)

    def join(self, number: int) -> Said:
        """Counts a process in that is about to serve, and has it prepare for what all others do."""
        self._serving.add(number)
        said: Said = []
        for log, held in self._held.items():
            if not held.answered:
                held.waiting.add(number)
                said.append((number, Prepare(log, held.texts, held.number)))
        return said

    def begin(self, by: int, asked: Prepare) -> Said:
        """Has every process prepare, the one that asks among them."""
        if asked.log in self._held:
            return [(by, Prepared(asked.log, busy=True))]
        self._count += 1
        self._held[asked.log] = _Held(
            by, self._count, asked.texts, set(self._serving), self._clock() + PREPARE_S_MAX
        )
        return [(each, Prepare(asked.log, asked.texts, self._count)) for each in sorted(self._serving)]

    def hear(self, number: int, prepared: Prepared) -> Said:
        """Notes that a process is ready, or why it cannot be."""
        held = self._held.get(prepared.log)
        if held is None or held.number != prepared.number or held.answered:
            return []
        if prepared.problem:
            return self._give_up(prepared.log, f"process {number}: {prepared.problem}")
        held.waiting.discard(number)
        return self._answer_complete()

    def release(self, by: int, released: Release) -> Said:
        """Ends what a process asked for; whoever still keeps something for it lets go of it."""
        held = self._held.get(released.log)
        if held is None or held.by != by:
            return []
        del self._held[released.log]
        return [(each, released) for each in sorted(self._serving)]

    def leave(self, number: int) -> Said:
        """Counts a process out that has ended; what it asked for is let go of."""
        self._serving.discard(number)
        said: Said = []
        for log, held in [*self._held.items()]:
            held.waiting.discard(number)
            if held.by == number:
                said += self.release(number, Release(log))
        return said + self._answer_complete()

    def expire(self) -> Said:
        """Gives up what takes too long."""
        now_s, said = self._clock(), list[tuple[int, ToProcess]]()
        for log, held in [*self._held.items()]:
            if not held.answered and held.deadline_s <= now_s:
                late = ", ".join(map(str, sorted(held.waiting)))
                said += self._give_up(log, f"process {late}: not ready within {PREPARE_S_MAX:.0f} s")
        return said

    def _answer_complete(self) -> Said:
        said: Said = []
        for log, held in self._held.items():
            if not held.waiting and not held.answered:
                held.answered = True
                said.append((held.by, Prepared(log)))
        return said

    def _give_up(self, log: str, problem: str) -> Said:
        by = self._held[log].by
        return [*self.release(by, Release(log)), (by, Prepared(log, problem=problem))]
