"""Promotion gates: what is worse than the bundle that serves, or judges otherwise than the rules, is told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.bundles.gates import Limits, count_wrong_verdicts, judge_bundle, measure_recall
from server.snapshot import Snapshot
from tests.server.cases import CHANNEL, NOW
from tests.server.desk import open_tiny

LIMITS = Limits(recall_min=0.95, quality_drop_max=0.05, products_lost_max=0.2)


@pytest.fixture(scope="module")
def snapshot(tiny_bundles: Path) -> Snapshot:
    return open_tiny(tiny_bundles)


def with_quality(snapshot: Snapshot, **validation: float) -> Snapshot:
    manifest = replace(snapshot.bundle.manifest, quality={"validation": validation})
    return replace(snapshot, bundle=replace(snapshot.bundle, manifest=manifest))


def failed(candidate: Snapshot, serving: Snapshot) -> set[str]:
    findings = judge_bundle(candidate, serving, LIMITS, NOW, CHANNEL)
    return {finding.name for finding in findings if not finding.passed}


def test_a_bundle_as_good_as_the_one_that_serves_passes_every_gate(snapshot: Snapshot) -> None:
    good = with_quality(snapshot, ndcg_at_10=0.2, recall_at_20=0.4)
    findings = judge_bundle(good, good, LIMITS, NOW, CHANNEL)
    names = ["wrong_verdicts", "recall_at_k", "products_kept", "ndcg_at_10", "recall_at_20"]
    assert [finding.name for finding in findings] == names
    assert all(finding.passed for finding in findings)


def test_less_quality_and_fewer_products_are_told_by_name(snapshot: Snapshot) -> None:
    serving = with_quality(snapshot, ndcg_at_10=0.2, recall_at_20=0.4)
    assert failed(with_quality(snapshot, ndcg_at_10=0.189, recall_at_20=0.39), serving) == {"ndcg_at_10"}
    assert failed(with_quality(snapshot), serving) == {"ndcg_at_10", "recall_at_20"}
    half = {name: row for name, row in snapshot.row_of.items() if row % 2}
    # What serves has names that the other lacks.
    more = replace(serving, row_of={**snapshot.row_of, **{f"{name} too": row for name, row in half.items()}})
    assert failed(serving, more) == {"products_kept"}


def test_a_gate_that_judges_otherwise_than_the_definition_is_counted(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert count_wrong_verdicts(snapshot, NOW, CHANNEL) == 0
    judge = type(snapshot.gate).judge

    def judge_wrongly(self: Any, user: Any, rows: Any) -> Any:
        masks = judge(self, user, rows)
        masks[0, 0] ^= np.uint64(1 << 1)
        return masks

    monkeypatch.setattr(type(snapshot.gate), "judge", judge_wrongly)
    # One pair of each of the four made-up users.
    assert count_wrong_verdicts(snapshot, NOW, CHANNEL) == 4


def test_searches_that_find_half_of_the_best_have_a_recall_of_a_half(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert measure_recall(snapshot) == 1.0

    def find_half(self: Any, queries: Any, rounds: Any) -> Any:
        rows = np.arange(snapshot.bundle.products.count)
        scores = snapshot.scorer.score(queries[0], rows)
        return [rows[snapshot.scorer.order(rows, scores, 20)][::2].copy()]

    monkeypatch.setattr(type(snapshot.retriever), "search", find_half)
    assert measure_recall(snapshot) == pytest.approx(0.5)
