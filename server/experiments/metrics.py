"""Metrics of experiments: what each variant's users are answered, and what became of the experiments file."""

from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.experiments.plan import HELD, HOLDBACK, OPEN, Plan
from server.messages import ExperimentVariant

_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
_LABELS: Final = ("experiment", "variant")


class ExperimentMetrics:
    """Counts answers by variant. Labels are those of the plan in force: at most 130 pairs of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers the metrics.

        Args:
            registry: where.
        """
        self._answers = Counter(
            "prudence_experiment_answers", "Answers to the users of a variant.", _LABELS, registry=registry
        )
        self._seconds = Histogram(
            "prudence_experiment_answer_seconds",
            "Time that an answer to a variant's user took, from the checked request on.",
            _LABELS,
            buckets=_SECONDS,
            registry=registry,
        )
        self._withheld = Counter(
            "prudence_experiment_products_withheld",
            "Products that the rules withheld from a variant's users, each as often as it has reason codes.",
            _LABELS,
            registry=registry,
        )
        self._files = Counter(
            "prudence_experiments_files",
            "Changes of the experiments file: taken, or refused, so that the plan before it goes on.",
            ["outcome"],
            registry=registry,
        )
        self._refused = Gauge(
            "prudence_experiments_file_refused",
            "1 while the experiments file is another one than what is in force.",
            registry=registry,
        )
        for outcome in ("taken", "refused"):
            self._files.labels(outcome)
        self._known: frozenset[tuple[str, str]] = frozenset()

    def follow(self, plan: Plan) -> None:
        """Begins with a plan's variants, and drops those that it has no more."""
        known, before = frozenset(_list_labels(plan)), self._known
        # First, so that answers that end meanwhile bring back nothing that is dropped.
        self._known = known
        for metric in (self._answers, self._seconds, self._withheld):
            for labels in before - known:
                metric.remove(*labels)
            for labels in known:
                metric.labels(*labels)

    def count_file(self, *, taken: bool) -> None:
        """Counts what became of a changed file."""
        self._files.labels("taken" if taken else "refused").inc()
        self._refused.set(not taken)

    def observe(self, drawn: Sequence[ExperimentVariant], elapsed_s: float, withheld_count: int) -> None:
        """Counts one answer for each variant that its user drew."""
        for each in drawn:
            labels = (each.experiment, each.variant)
            # A request may end under the plan that it began with.
            if labels in self._known:
                self._answers.labels(*labels).inc()
                self._seconds.labels(*labels).observe(elapsed_s)
                self._withheld.labels(*labels).inc(withheld_count)


def _list_labels(plan: Plan) -> Iterable[tuple[str, str]]:
    if plan.holdback is not None:
        yield from ((HOLDBACK, HELD), (HOLDBACK, OPEN))
    for experiment in plan.experiments:
        yield from ((experiment.name, variant.name) for variant in experiment.variants)
