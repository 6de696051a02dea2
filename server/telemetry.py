"""Every metric of the server, and what of a search is counted."""

from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from server.call_metrics import AnswerMetrics, CallMetrics
from server.deferred_counts import DeferredCounts
from server.experiments.metrics import ExperimentMetrics
from server.messages import StageTime
from server.overload.metrics import OverloadMetrics
from server.search import Found

_SECONDS: Final = (25e-6, 50e-6, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 1.0)
_BATCHES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_COUNTS: Final = (100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7)


class SearchMetrics:
    """What searches looked at and how long their stages took; labels name ways to search and stages."""

    def __init__(self, registry: CollectorRegistry, later: DeferredCounts) -> None:
        """Registers the metrics.

        Args:
            registry: where.
            later: has searches counted.
        """
        self._later = later
        self._searches = Counter(
            "prudence_searches",
            "Searches by each way that the planner chose for at least one of their rounds.",
            ["retriever"],
            registry=registry,
        )
        self._rounds = Counter("prudence_search_rounds", "Rounds of all searches.", registry=registry)
        self._scanned = Histogram(
            "prudence_rows_scanned",
            "Rows that a search compared with the user.",
            buckets=_COUNTS,
            registry=registry,
        )
        self._candidates = Histogram(
            "prudence_candidates", "Candidates that a search judged.", buckets=_COUNTS, registry=registry
        )
        self._segments = Counter(
            "prudence_segment_searches",
            "Searches by the segment of their user; none where the user has none.",
            ["segment"],
            registry=registry,
        )
        self._stand_ins = Counter(
            "prudence_segment_fallbacks",
            "Searches by a segment's query because the user tower gave nothing that can be used.",
            registry=registry,
        )
        self._batches = Histogram(
            "prudence_batch_size",
            "Searches in the batch that a search was in.",
            buckets=_BATCHES,
            registry=registry,
        )
        self._stages = Histogram(
            "prudence_stage_seconds",
            "Time that a stage took for the batch that a search was in.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        # Looking a child up by its labels takes longer than counting.
        self._searches_of = cache(self._searches.labels)
        self._segments_of = cache(self._segments.labels)
        self._stages_of = cache(self._stages.labels)

    def observe(self, found: Found) -> None:
        """Counts one search."""
        counts = (found.batch_count, found.round_count, found.rows_scanned_count, found.candidate_count)
        self._later.add(self._count, counts, found.retrievers, found.segment_id, found.stood_in, found.stages)

    def _count(
        self,
        counts: tuple[int, int, int, int],
        retrievers: tuple[str, ...],
        segment_id: str,
        stood_in: bool,
        stages: tuple[StageTime, ...],
    ) -> None:
        batch_count, round_count, rows_scanned_count, candidate_count = counts
        for name in retrievers:
            self._searches_of(name).inc()
        self._batches.observe(batch_count)
        self._rounds.inc(round_count)
        self._scanned.observe(rows_scanned_count)
        self._candidates.observe(candidate_count)
        self._stand_ins.inc(stood_in)
        self._segments_of(segment_id or "none").inc()
        for stage in stages:
            self._stages_of(stage.stage).observe(stage.seconds)


class Metrics:
    """What is counted where somebody reads the count; also of the process: CPU time, memory, open files."""

    def __init__(self, registry: CollectorRegistry, address: str = "") -> None:
        """Registers every metric.

        Args:
            registry: where.
            address: where they are served.
        """
        self.address = address
        later = DeferredCounts(registry)
        self.calls = CallMetrics(registry, later)
        self.answers = AnswerMetrics(registry, later)
        self.searches = SearchMetrics(registry, later)
        self.experiments = ExperimentMetrics(registry)
        self.overload = OverloadMetrics(registry)
        ProcessCollector(registry=registry)
