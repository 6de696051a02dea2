"""Metrics of calls and answers: how many came, how they ended and how long they took; what rules withheld."""

import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.deferred_counts import DeferredCounts
from server.messages import ListAnswer, ResponseReason, Withheld

_SECONDS: Final = (
    *(0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
BUNDLE_COUNT_MAX: Final = 32
"""So many bundles have their lists counted, more than are ever served at once: others come every day."""
_LISTED: Final = (0.0, 1.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0)


class CallMetrics:
    """Counts calls by method, which are those of the wire contract alone, and by how they ended."""

    def __init__(self, registry: CollectorRegistry, later: DeferredCounts) -> None:
        """Registers the metrics.

        Args:
            registry: where.
            later: has calls counted.
        """
        self._later = later
        self._calls = Counter(
            "prudence_calls",
            "Calls by method, gRPC code and reason; the reason is empty where the code is OK.",
            ["method", "code", "reason"],
            registry=registry,
        )
        self._seconds = Histogram(
            "prudence_call_seconds",
            "Time from a call's first byte on a thread to its answer.",
            ["method"],
            buckets=_SECONDS,
            registry=registry,
        )
        # Looking a child up by its labels takes longer than counting.
        self._calls_of = cache(self._calls.labels)
        self._seconds_of = cache(self._seconds.labels)
        self._in_flight = Gauge(
            "prudence_calls_in_flight", "Calls that threads answer now.", registry=registry
        )
        self._calls_waiting = Gauge(
            "prudence_calls_waiting", "Calls that wait for a thread.", registry=registry
        )
        self._searches_waiting = Gauge(
            "prudence_searches_waiting", "Searches that wait for the compute thread.", registry=registry
        )

    def end(self, method: str, code: str, reason: str, elapsed_s: float) -> None:
        """Counts how a call ended.

        Args:
            method: full name, of a method that exists.
            code: name of the gRPC code.
            reason: as in google.rpc.ErrorInfo; empty if it ended well.
            elapsed_s: what it took.
        """
        self._later.add(self._count, method, code, reason, elapsed_s)

    def _count(self, method: str, code: str, reason: str, elapsed_s: float) -> None:
        self._calls_of(method, code, reason).inc()
        self._seconds_of(method).observe(elapsed_s)

    def refuse(self, method: str, code: str, reason: str) -> None:
        """Counts a call that was refused before it took a thread; arguments as for `end`."""
        self._calls.labels(method, code, reason).inc()

    def watch_calls(self, waiting: Callable[[], int], answered: Callable[[], int]) -> None:
        """Has both asked whenever metrics are read: the calls that wait, and those that threads answer."""
        self._calls_waiting.set_function(waiting)
        self._in_flight.set_function(answered)

    def watch_searches(self, count: Callable[[], int]) -> None:
        """Has `count` asked for the searches that wait, whenever metrics are read."""
        self._searches_waiting.set_function(count)


class AnswerMetrics:
    """Counts lists by bundle, how long they are, and what the rules took from them."""

    def __init__(self, registry: CollectorRegistry, later: DeferredCounts) -> None:
        """Registers the metrics.

        Args:
            registry: where.
            later: has lists counted.
        """
        self._later = later
        self._answers = Counter(
            "prudence_answers",
            "Lists by the bundle that they are from.",
            ["bundle_version"],
            registry=registry,
        )
        self._reasons = Counter(
            "prudence_answer_reasons",
            "Lists by each reason given beside them, such as FEWER_ELIGIBLE_THAN_K.",
            ["reason"],
            registry=registry,
        )
        self._listed = Histogram(
            "prudence_products_listed", "Products in a list.", buckets=_LISTED, registry=registry
        )
        self._withheld = Counter(
            "prudence_products_withheld",
            "Products that a search looked at and the rules withheld, by disclosable reason code.",
            ["code"],
            registry=registry,
        )
        self._lock = threading.Lock()
        self._answers_of: dict[str, Counter] = {}
        self._reasons_of = cache(self._reasons.labels)
        self._withheld_of = cache(self._withheld.labels)

    def observe(self, answer: ListAnswer) -> None:
        """Counts one list."""
        version, product_count = answer.decision.bundle_version, len(answer.products)
        self._later.add(self._count, version, product_count, answer.reasons, answer.withheld)

    def _count(
        self,
        version: str,
        product_count: int,
        reasons: Sequence[ResponseReason],
        withheld: Sequence[Withheld],
    ) -> None:
        (self._answers_of.get(version) or self._add_bundle(version)).inc()
        self._listed.observe(product_count)
        for reason in reasons:
            self._reasons_of(reason.name).inc()
        for each in withheld:
            self._withheld_of(each.code).inc(each.product_count)

    def _add_bundle(self, version: str) -> Counter:
        """Begins to count a bundle's lists; beyond BUNDLE_COUNT_MAX the one that began first goes."""
        with self._lock:
            if version not in self._answers_of and len(self._answers_of) >= BUNDLE_COUNT_MAX:
                oldest = next(iter(self._answers_of))
                del self._answers_of[oldest]
                self._answers.remove(oldest)
            return self._answers_of.setdefault(version, self._answers.labels(version))
