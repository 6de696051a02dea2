"""What searches looked at is counted, under names that no request can add to."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from server import call_metrics
from server.call_metrics import AnswerMetrics
from server.clock import Clock
from server.deferred_counts import DeferredCounts
from server.messages import DecisionStamp, ListAnswer
from server.search import Searcher
from server.snapshot import load_fit_policy, open_snapshot
from server.telemetry import SearchMetrics
from tests.server.cases import CHANNEL, NOW
from tests.server.searching import found_of, make_job


def test_a_search_counts_its_way_rounds_rows_candidates_and_stages(tiny_bundles: Path) -> None:
    snapshot = open_snapshot(
        tiny_bundles,
        load_fit_policy(None),
        device="cpu",
        thread_count=1,
        retriever="exact",
        allow_assumed=False,
    )
    registry = CollectorRegistry()
    metrics = SearchMetrics(registry, DeferredCounts(registry))
    searcher = Searcher(Clock(NOW), CHANNEL)
    found = [found_of(outcome) for outcome in searcher.run([make_job(snapshot), make_job(snapshot, k=1)])]
    for each in found:
        metrics.observe(each)

    def read(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"prudence_{name}", labels)

    for name in {name for each in found for name in each.retrievers}:
        expected = sum(name in each.retrievers for each in found)
        assert read("searches_total", retriever=name) == expected
    assert read("search_rounds_total") == sum(each.round_count for each in found)
    assert read("rows_scanned_sum") == sum(each.rows_scanned_count for each in found)
    assert read("candidates_sum") == sum(each.candidate_count for each in found)
    for stage in ("features", "embed", "retrieve", "score", "gate"):
        assert read("stage_seconds_count", stage=stage) == 2.0


def test_bundles_of_the_past_are_counted_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_metrics, "BUNDLE_COUNT_MAX", 2)
    registry = CollectorRegistry()
    metrics = AnswerMetrics(registry, DeferredCounts(registry))
    for version in ("a", "b", "b", "c"):
        stamp = DecisionStamp(NOW, True, version, "", None, "", 0, "")
        metrics.observe(ListAnswer((), (), (), stamp, None, ""))
    counts = [registry.get_sample_value("prudence_answers_total", {"bundle_version": each}) for each in "abc"]
    assert counts == [None, 2, 1]
