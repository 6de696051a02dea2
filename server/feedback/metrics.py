"""Metrics of the feedback log; labels name verdicts and outcomes, never users or products."""

from collections import Counter as Tally
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from server.events import EventVerdict

_SECONDS: Final = (1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class FeedbackMetrics:
    """What became of events and answers, and how long making them durable took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers the metrics.

        Args:
            registry: where.
        """
        self._events = Counter(
            "prudence_feedback_events", "Events of callers, by verdict.", ["verdict"], registry=registry
        )
        self.answers = Counter(
            "prudence_feedback_answers",
            "Answers for the log: logged, or lost because the queue was full or writing failed.",
            ["outcome"],
            registry=registry,
        )
        # A rate needs the value before the first loss, too.
        for outcome in ("logged", "queue_full", "failed"):
            self.answers.labels(outcome)
        self.commit_seconds = Histogram(
            "prudence_feedback_commit_seconds",
            "Time to make a group durable in the log and to apply it to the store.",
            buckets=_SECONDS,
            registry=registry,
        )

    def count(self, verdicts: Iterable[EventVerdict]) -> None:
        """Counts events."""
        for verdict, count in Tally(verdicts).items():
            self._events.labels(verdict.name.lower()).inc(count)
