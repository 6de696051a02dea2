"""Metrics of admission: the limit, who was let in, who was refused and why, and what was dropped."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from server.overload.priority import Priority

REASONS: Final = ("limit", "deadline", "wait", "queue")
"""Too many calls for the class; too little time for any answer; too little for what waits; a full queue."""
DROPS: Final = ("expired", "cancelled", "displaced", "wasted")
"""Not computed: out of time, nobody waits, a higher class took the place. Computed, and nobody waits."""


class OverloadMetrics:
    """Counts decisions by class."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers the metrics.

        Args:
            registry: where.
        """
        self._limit = Gauge(
            "prudence_overload_limit",
            "Calls that may be under way, as adapted to latency.",
            registry=registry,
        )
        self._under_way = Gauge(
            "prudence_overload_under_way", "Calls that the limit counts now.", registry=registry
        )
        admitted = Counter(
            "prudence_overload_admitted", "Calls let in, by class.", ["priority"], registry=registry
        )
        rejected = Counter(
            "prudence_overload_rejected",
            "Calls and searches refused before any work: limit, deadline, wait, queue.",
            ["cause", "priority"],
            registry=registry,
        )
        dropped = Counter(
            "prudence_overload_dropped",
            "Searches that nobody got: expired, cancelled or displaced uncomputed, or wasted.",
            ["cause", "priority"],
            registry=registry,
        )
        # Every label is there from the start, so that rates are known before the first rejection.
        self._admitted = {each: admitted.labels(each.label) for each in Priority}
        self._rejected = {
            (why, each): rejected.labels(why, each.label) for why in REASONS for each in Priority
        }
        self._dropped = {(why, each): dropped.labels(why, each.label) for why in DROPS for each in Priority}

    def watch(self, limit: Callable[[], int], under_way: Callable[[], int]) -> None:
        """Has both asked whenever metrics are read."""
        self._limit.set_function(limit)
        self._under_way.set_function(under_way)

    def admit(self, priority: Priority) -> None:
        """Counts a call let in."""
        self._admitted[priority].inc()

    def reject(self, reason: str, priority: Priority) -> None:
        """Counts a refusal, for one of REASONS."""
        self._rejected[reason, priority].inc()

    def observe(self, reason: str, priority: Priority) -> None:
        """Counts a search that was refused or dropped, for one of REASONS or DROPS."""
        (self._dropped if reason in DROPS else self._rejected)[reason, priority].inc()
