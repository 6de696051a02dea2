"""Promotion gates: what a bundle must reach before it takes the place of the one that serves.

Golden answers were recomputed when it was warmed up. Here the gate's verdicts are compared with those of the
definition, searches with an exact one, and figures with those of the bundle that serves.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np

from server.bundles.messages import Finding
from server.gate import read_codes
from server.pace import Rest, never_rest
from server.retrieval import Rows
from server.snapshot import Snapshot
from suitability.evaluate import evaluate

ROW_COUNT: Final = 300
"""So many products, those of golden answers first, are judged for every made-up user."""
QUALITY_FIGURES: Final = ("ndcg_at_10", "recall_at_20")
_LEVELS: Final = (1, 3, 5)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the gates ask for.

    Attributes:
        recall_min: of the best products of golden requests, the share that a search finds.
        quality_drop_max: share by which a figure of quality may be below the serving bundle's.
        products_lost_max: share of the serving bundle's products that may be missing.
    """

    recall_min: float
    quality_drop_max: float
    products_lost_max: float


def judge_bundle(
    candidate: Snapshot,
    serving: Snapshot,
    limits: Limits,
    now: datetime,
    channel: str,
    rest: Rest = never_rest,
) -> tuple[Finding, ...]:
    """Returns what every gate says of a bundle.

    Args:
        candidate: the bundle, warmed up.
        serving: the one that serves.
        limits: what must be reached.
        now: decision time, aware.
        channel: sales channel that the made-up users come by.
        rest: called between pieces of the work.
    """
    wrong = count_wrong_verdicts(candidate, now, channel, rest)
    recall = measure_recall(candidate)
    kept = len(candidate.row_of.keys() & serving.row_of.keys()) / len(serving.row_of)
    products_min = 1 - limits.products_lost_max
    return (
        Finding("wrong_verdicts", wrong, 0.0, wrong == 0, comparative=False),
        Finding("recall_at_k", recall, limits.recall_min, recall >= limits.recall_min, comparative=True),
        Finding("products_kept", kept, products_min, kept >= products_min, comparative=True),
        *_compare_quality(candidate, serving, limits.quality_drop_max),
    )


def count_wrong_verdicts(snapshot: Snapshot, now: datetime, channel: str, rest: Rest = never_rest) -> int:
    """Counts pairs of a made-up user and a product that gate and definition judge differently."""
    rows = _choose_rows(snapshot)
    products = []
    for row in rows.tolist():
        products.append(snapshot.bundle.products.row(row))
        rest()
    count = 0
    for profile in _make_profiles(now):
        user = snapshot.gate.admit(profile, now, channel, None)
        masks = snapshot.gate.judge(user, rows)
        for mask, product in zip(masks, products, strict=True):
            expected = evaluate(profile, product, snapshot.policy, now, channel)
            count += frozenset(read_codes(mask)) != expected
            rest()
    return count


def measure_recall(snapshot: Snapshot) -> float:
    """Returns the share of the golden requests' best products that the first round of a search proposes.

    A product with the score of the last of them is as good.
    """
    found_count = best_count = 0
    for request in snapshot.bundle.golden.requests:
        if not request.scores:
            continue
        planned = snapshot.retriever.plan_first(0, snapshot.bundle.products.count, len(request.scores))
        rows = snapshot.retriever.search(request.user_vector[np.newaxis], [planned])[0]
        scores = snapshot.scorer.score(request.user_vector, rows)
        good_count = int(np.count_nonzero(scores >= min(request.scores)))
        found_count += min(len(request.scores), good_count)
        best_count += len(request.scores)
    return found_count / best_count if best_count else 1.0


def _compare_quality(candidate: Snapshot, serving: Snapshot, drop_max: float) -> Iterator[Finding]:
    """Compares what training measured, where the bundle that serves states it."""
    ours, theirs = (_read_quality(each) for each in (candidate, serving))
    for name, figure in theirs.items():
        limit, found = figure * (1 - drop_max), ours.get(name, 0.0)
        yield Finding(name, found, limit, found >= limit, comparative=True)


def _read_quality(snapshot: Snapshot) -> Mapping[str, float]:
    stated = snapshot.bundle.manifest.quality.get("validation")
    if not isinstance(stated, Mapping):
        return {}
    return {name: float(stated[name]) for name in QUALITY_FIGURES if isinstance(stated.get(name), float)}


def _choose_rows(snapshot: Snapshot) -> Rows:
    golden = {
        snapshot.row_of[product_id]
        for request in snapshot.bundle.golden.requests
        for product_id in request.product_ids
    }
    # Rows lie in ascending risk, so that evenly spaced ones are of every level.
    spread = np.linspace(0, snapshot.bundle.products.count - 1, ROW_COUNT).astype(np.int64).tolist()
    return np.array(sorted({*sorted(golden)[:ROW_COUNT], *spread}), np.int64)


def _make_profiles(now: datetime) -> Iterator[Mapping[str, Any]]:
    """Yields users of whom nothing is known, and users of whom all is, of several risk levels."""
    yield {}
    today = now.date()
    for risk_level in _LEVELS:
        yield {
            "pseudonym": b"nobody",
            "profile_as_of": now - timedelta(hours=2),
            "client_type": "RETAIL",
            "capacity": "FULL",
            "birth_date": date(today.year - 46, 3, 4),
            "jurisdiction": "CN",
            "us_person": False,
            "risk_level": risk_level,
            "assessed_on": today - timedelta(days=90),
            "level_changed": False,
            "level_confirmed": True,
            "assessments_today": 0,
            "assessments_12m": 1,
            "change_reported": False,
            "knowledge": {},
            "loss_capacity": 1,
            "max_loss_bps": 2000,
            "horizon_months": 60,
            "objectives": frozenset({"GROWTH", "INCOME"}),
            "needs": frozenset({"HEALTH", "PENSION"}),
            "needs_on": today - timedelta(days=90),
            "liquid": 10_000_000,
            "income": 30_000_000,
            "premium_budget": 3_000_000,
            "currencies": frozenset({"CNY", "USD"}),
            "held_issuer": {},
            "held_high_risk": 300_000,
            "held_dup_groups": frozenset(),
            "vulnerable": False,
            "blocked": False,
            "consent_sensitive": True,
        }
