"""What each bundle would show when the data ends: suitable lists, how much of the catalogue, how evenly."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from benchmarks.dataset import LEARNING_FAMILY, DataSet
from benchmarks.evaluate.bundle_scorer import BundleScorer
from benchmarks.promotion.limits import Limits
from benchmarks.promotion.measure import Measure, judge
from benchmarks.promotion.question import DOMAINS
from benchmarks.report.exposure import gini
from benchmarks.verify.dataset import CHANNEL, ask_for
from index.bundle import Bundle
from index.reference import rank_ids, select
from server.gate import Gate, find_eligible
from suitability.policy import Policy

K: Final = 10
_BLOCK_COUNT: Final = 256  # Users whose scores are held at once.

List = tuple[str, ...]


@dataclass(frozen=True)
class Shown:
    """Lists of both domains for the same users, by domain and user."""

    lists: Mapping[str, Mapping[str, List]]

    def full_share(self, domain: str) -> float:
        """Returns the share of users who are shown K products."""
        return float(np.mean([len(mine) == K for mine in self.lists[domain].values()]))

    def count(self, domain: str) -> Counter[str]:
        """Counts how often each product is shown."""
        return Counter(product for mine in self.lists[domain].values() for product in mine)


def show_lists(
    bundle: Bundle, dataset: DataSet, users: Sequence[str], *, policy: Policy, now: datetime
) -> Shown:
    """Makes the lists that a server of the bundle would make: the best by integer score that pass the gate.

    Args:
        bundle: an open bundle.
        dataset: what is known of the users.
        users: whom to show lists.
        policy: the policy in force.
        now: the decision time.
    """
    gate, ranks = Gate(bundle.products.rows, policy), rank_ids(bundle.product_ids)
    histories = {user: dataset.history(user) for user in users}
    scorer = BundleScorer(bundle, profiles=dataset.profiles, histories=histories, now=now)
    every = np.arange(len(ranks))
    parts = dict(zip(DOMAINS, np.split(every, [bundle.learning_count]), strict=True))
    lists: dict[str, dict[str, List]] = {domain: {} for domain in DOMAINS}
    for start in range(0, len(users), _BLOCK_COUNT):
        block = users[start : start + _BLOCK_COUNT]
        for user, scores in zip(block, scorer.score(block, bundle.product_ids), strict=True):
            profile = {**dataset.profiles.get(user, {}), "pseudonym": user.encode()}
            fields = {name: value for name, value in profile.items() if value is not None}
            eligible = find_eligible(gate.judge(gate.admit(fields, now, CHANNEL, None), every))
            for domain, part in parts.items():
                rows = part[eligible[part]]
                best = rows[select(scores[rows].astype(np.int64), ranks[rows], K)]
                lists[domain][user] = tuple(bundle.product_ids[row] for row in best)
    return Shown(lists)


def judge_shown(
    shown: Shown, before: Shown, dataset: DataSet, *, policy: Policy, now: datetime, limits: Limits
) -> Iterator[Measure]:
    """Judges the candidate's lists by themselves and against those of the serving bundle."""
    yield _judge_eligibility(shown, before, dataset, policy, now)
    for domain in DOMAINS:
        catalogue = [
            product
            for product, record in dataset.products.items()
            if (record.get("family") == LEARNING_FAMILY) == (domain == DOMAINS[0])
        ]
        if not catalogue:
            continue
        count = len(shown.lists[domain])
        full, full_before = shown.full_share(domain), before.full_share(domain)
        yield Measure(
            f"users shown {K} suitable", domain, count, full_before, full, None,
            f"fall <= {limits.full_loss_max:g}", judge(full_before - full <= limits.full_loss_max),
        )  # fmt: skip
        (covered, spread), (covered_before, spread_before) = (
            _measure_spread(one.count(domain), catalogue) for one in (shown, before)
        )
        least = covered_before * (1 - limits.coverage_loss_max)
        yield Measure(
            "catalogue coverage", domain, len(catalogue), covered_before, covered, None,
            f"loss <= {limits.coverage_loss_max:.0%}", judge(covered >= least),
        )  # fmt: skip
        yield Measure(
            "Gini of products shown", domain, len(catalogue), spread_before, spread, None,
            f"rise <= {limits.gini_rise_max:g}",
            judge(spread - spread_before <= limits.gini_rise_max),
        )  # fmt: skip


def _judge_eligibility(
    shown: Shown, before: Shown, dataset: DataSet, policy: Policy, now: datetime
) -> Measure:
    faults, count = _count_faults(shown, dataset, policy.values, now)
    faults_before, _ = _count_faults(before, dataset, policy.values, now)
    return Measure(
        "shown but not eligible", "all lists", count,
        float(faults_before), float(faults), None, "none", judge(faults == 0),
    )  # fmt: skip


def _count_faults(
    shown: Shown, dataset: DataSet, policy: Mapping[str, Any], now: datetime
) -> tuple[int, int]:
    """Counts shown products that the checker denies as the data describes them now, or that are gone."""
    faults = count = 0
    for mine in shown.lists.values():
        for user, products in mine.items():
            asked = ask_for(dataset, user, dataset.products, policy)
            count += len(products)
            faults += sum(
                product not in dataset.products or bool(asked.judge(product, now)) for product in products
            )
    return faults, count


def _measure_spread(counts: Mapping[str, int], catalogue: Sequence[str]) -> tuple[float, float]:
    """Returns the share of the catalogue that is shown to anybody, and the Gini coefficient."""
    amounts = np.array([counts.get(product, 0) for product in catalogue], np.float64)
    return float((amounts > 0).mean()), gini(amounts)
