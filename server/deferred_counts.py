"""Counts later, many things at a time: a call only notes what happened, and whoever reads metrics reads all.

To count one call and its search takes twenty steps in Python, and alone each of them finds its code and data
gone from the processor's caches: three times as long as the same steps one after the other.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

WAITING_COUNT_MAX: Final = 256
"""So much may be noted; the call that notes one thing more counts all of it."""


class DeferredCounts(Collector):
    """Keeps what is to be counted; nothing that it keeps may hold a bundle in memory."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Has everything counted before metrics are read; to be made before the metrics that it counts.

        Args:
            registry: which is read in the order in which metrics came to it.
        """
        self._waiting: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._counting = threading.Lock()
        registry.register(self)

    def add(self, count: Callable[..., None], *what: Any) -> None:
        """Notes what `count` is to be called with, in the order of notes."""
        self._waiting.append((count, what))
        if len(self._waiting) >= WAITING_COUNT_MAX:
            self.flush()

    def flush(self) -> None:
        """Counts everything noted so far."""
        with self._counting:
            for _ in range(len(self._waiting)):
                count, what = self._waiting.popleft()
                count(*what)

    def collect(self) -> Iterable[Metric]:
        """Counts what waits; there is no metric of it."""
        self.flush()
        return ()

    def describe(self) -> Iterable[Metric]:
        """Names no metric."""
        return ()
