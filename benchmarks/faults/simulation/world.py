"""A world of one thread: a clock, things that will happen, a source of chance, and what went wrong so far."""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from enum import StrEnum


class Fault(StrEnum):
    """What must never happen."""

    LOST = "lost"
    """A request or an order that nobody answers."""
    DUPLICATED = "duplicated"
    """Two answers to one."""
    CROSSED = "crossed"
    """The answer of another request."""
    MIXED = "mixed"
    """An answer of two bundles, or of one that did not serve when the request began."""
    UNBOUNDED = "unbounded"
    """More calls or searches than the limits allow."""
    EXPIRED_COMPUTED = "expired computed"
    """A search that was begun although nobody could get its answer."""
    REFUSED_SERVED = "refused bundle served"
    """A bundle in force that is corrupt, unsigned, unfit, worse or older without an order that allows it."""


class World:
    """One schedule. What is to happen is done in the order of time, each thing whole before the next."""

    def __init__(self, seed: str) -> None:
        """Starts at an arbitrary instant.

        Args:
            seed: of everything that is drawn; the same draws the same again.
        """
        self.random = random.Random(seed)  # noqa: S311 - it must be the same again.
        self.now_s = 1000.0
        self.faults: list[tuple[Fault, str]] = []
        self.counts: Counter[str] = Counter()
        self.check: Callable[[], None] = lambda: None  # Between any two things.
        self._numbers = itertools.count()
        self._plan: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, delay_s: float, do: Callable[[], None]) -> None:
        """Has something done later."""
        heapq.heappush(self._plan, (self.now_s + delay_s, next(self._numbers), do))

    def draw(self, low: float, high: float) -> float:
        """Draws evenly between two numbers."""
        return self.random.uniform(low, high)

    def happens(self, share: float) -> bool:
        """Draws whether something happens that does so in a share of the cases."""
        return self.random.random() < share

    def report(self, fault: Fault, what: str) -> None:
        """Notes what must never happen."""
        self.faults.append((fault, f"{what} at {self.now_s - 1000:.6f} s"))

    def run(self, until_s: float = float("inf")) -> None:
        """Does what is due until an instant; a long computation calls this for what happens meanwhile."""
        while self._plan and self._plan[0][0] <= until_s:
            at_s, _, do = heapq.heappop(self._plan)
            # What is overdue, after the machine stood still, happens now.
            self.now_s = max(self.now_s, at_s)
            do()
            self.check()
        if until_s < float("inf"):
            self.now_s = max(self.now_s, until_s)
