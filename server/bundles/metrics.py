"""Metrics of the bundles: which one serves, and what became of those that were to take its place."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.bundles.messages import Goal, Tell

_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
DONE: Final = "done"


class BundleMetrics:
    """Counts changes of bundles by what was wanted and what came of it."""

    def __init__(self, registry: CollectorRegistry, serving: str) -> None:
        """Registers the metrics.

        Args:
            registry: where.
            serving: version of the bundle that serves first.
        """
        self._info = Gauge(
            "prudence_bundle_info", "1 for the bundle that serves.", ["bundle_version"], registry=registry
        )
        self._changes = Counter(
            "prudence_bundle_changes",
            "Changes of bundles by goal and outcome, which is done or the reason of a refusal.",
            ["goal", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "prudence_bundle_load_seconds",
            "Time to open, warm and judge a bundle, of those that were whole.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._refused = Gauge(
            "prudence_bundle_refused",
            "1 while CURRENT cannot be read or names a bundle that was refused, else 0.",
            registry=registry,
        )
        self._serving = serving
        self._info.labels(serving).set(1)
        for goal in Goal:
            # Told from the start, so that the first change is seen as an increase.
            self._changes.labels(goal.value, DONE)

    def observe(self, told: Tell) -> None:
        """Counts what happened."""
        self._changes.labels(
            told.goal.value, DONE if told.refusal is None else told.refusal.reason.value
        ).inc()

    def watch(self, is_refused: Callable[[], bool]) -> None:
        """Asks whether CURRENT is refused whenever somebody reads the metrics."""
        self._refused.set_function(is_refused)

    def observe_load(self, elapsed_s: float) -> None:
        """Counts a bundle that was opened."""
        self._seconds.observe(elapsed_s)

    def set_serving(self, version: str) -> None:
        """Says which bundle serves now."""
        self._info.remove(self._serving)
        self._serving = version
        self._info.labels(version).set(1)
