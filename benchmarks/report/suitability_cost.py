"""Measures what suitability costs: no filter, a two-sided and a one-sided one by risk, and all rules.

The two-sided filter is the one of published work on FAR-Trans: a mask over the scores, for comparison, and
not the product's gate. Bands are the policy's different limits of the risk score: a user's band is the limit
of the user's risk level, and a product's the lowest limit that admits its effective risk score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.evaluate.intervals import Estimate
from benchmarks.report.drawing import draw_estimates, render
from benchmarks.report.measured import BoolArray, K, Measured, Record, list_best, measure_ranking
from benchmarks.report.section import Section, Table, estimate_mean, show
from suitability.policy import Policy
from suitability.ratings import applied_risk_score_limit, effective_risk_score, is_learning, is_rated

NO_RULES = "none asked: the data state nothing that the rules read, so that every product would be denied"
FILTERS = ("no filter", "two-sided by risk", "one-sided by risk", "all rules")


@dataclass(frozen=True)
class Cost:
    """What one filter leaves.

    Attributes:
        name: of the filter.
        ndcg: nDCG@k, what it takes away counted as missed.
        recall: recall@k likewise.
        suitable_share: share of the listed products that all rules allow.
        listed_mean: products in a list, at most k.
    """

    name: str
    ndcg: Estimate
    recall: Estimate
    suitable_share: float
    listed_mean: float


def find_user_bands(profiles: Sequence[Record], policy: Policy) -> list[int | None]:
    """Returns each user's band, 0 for the lowest limit; None for a user without a risk level."""
    limits = _list_limits(policy)
    applied = [applied_risk_score_limit(profile, policy) for profile in profiles]
    return [None if limit is None else limits.index(limit) for limit in applied]


def find_product_bands(products: Sequence[Record], policy: Policy) -> list[int | None]:
    """Returns each product's band; None for what needs no rating, -1 where it fits no limit."""
    limits = _list_limits(policy)
    bands: list[int | None] = []
    for product in products:
        score = effective_risk_score(product, policy)
        admitting = [band for band, limit in enumerate(limits) if score is not None and score <= limit]
        bands.append((admitting[0] if admitting else -1) if is_rated(product, policy) else None)
    return bands


def mask_by_risk(
    user_bands: Sequence[int | None], product_bands: Sequence[int | None], *, two_sided: bool
) -> BoolArray:
    """Says which pairs a filter by risk leaves; a user without a band is not filtered, as in published work.

    Returns:
        bool [users, products].
    """
    allowed = np.ones((len(user_bands), len(product_bands)), np.bool_)
    rated = np.array([band is not None for band in product_bands], np.bool_)
    values = np.array([-1 if band is None else band for band in product_bands], np.int64)
    for row, band in enumerate(user_bands):
        if band is not None:
            near = np.abs(values - band) <= 1 if two_sided else values <= band
            allowed[row] = ~rated | (near & (values >= 0))
    return allowed


def measure_costs(measured: Measured, policy: Policy, columns: BoolArray) -> list[Cost]:
    """Measures every filter over some columns of the catalogue, on users who later took one of them."""
    rows = (measured.relevant & columns).any(axis=1)
    users = find_user_bands(measured.profiles, policy)
    products = find_product_bands(measured.catalogue, policy)
    allowed = (
        measured.candidates,
        mask_by_risk(users, products, two_sided=True),
        mask_by_risk(users, products, two_sided=False),
        measured.suitable,
    )
    relevant = measured.relevant[rows] & columns
    costs = []
    for name, mask in zip(FILTERS, allowed, strict=True):
        left = mask[rows] & columns
        ranked = measure_ranking(measured.scores[rows], relevant, left)
        lists = list_best(measured.scores[rows], left)
        listed = lists >= 0
        fine = np.take_along_axis(measured.suitable[rows], np.maximum(lists, 0), axis=1) & listed
        share = float(fine.sum() / max(1, listed.sum()))
        costs.append(
            Cost(
                name,
                estimate_mean(ranked.ndcg),
                estimate_mean(ranked.recall),
                share,
                listed.sum() / len(lists),
            )
        )
    return costs


def make_suitability_cost(measured: Measured) -> Section:
    """Shows the cost over the whole catalogue, and over financial and insurance products alone."""
    name, title, policy = "suitability", "What suitability costs", measured.policy
    if policy is None:
        return Section(name, title, (f"Rules: {NO_RULES}. There is no cost to measure.",), ())
    financial = np.array([not is_learning(product) for product in measured.catalogue], np.bool_)
    parts = {"all products": np.ones_like(financial)}
    if not financial.all():
        parts["financial and insurance products"] = financial
    found = {
        part: measure_costs(measured, policy, columns)
        for part, columns in parts.items()
        if (measured.relevant & columns).any()
    }
    tables = tuple(
        Table(
            f"Filters over {part}",
            ("filter", f"nDCG@{K}", f"recall@{K}", "of it kept", "suitable of those listed", "listed"),
            tuple(
                (one.name, show(one.ndcg), show(one.recall), _show_kept(one, costs[0]),
                 f"{one.suitable_share:.1%}", f"{one.listed_mean:.1f}")
                for one in costs
            ),
        )
        for part, costs in found.items()
    )  # fmt: skip
    sentences = (
        "Two-sided: the bands of product and user differ by at most 1, as in published work, a mask over "
        "the scores. One-sided: the product's band is at most the user's, as the law asks. All rules: what "
        "the gate lets pass. A user without a risk level is not filtered by risk; a rated product of "
        "unknown risk is taken away.",
        "What a filter takes away and the user took later counts as missed. Profiles are those of the "
        "data's end: where holdings count what was taken meanwhile, the cost of all rules is overstated.",
    )
    alt = "nDCG@10 without filter, two-sided, one-sided and under all rules."
    return Section(
        name,
        title,
        sentences,
        tables,
        (render("suitability", alt, lambda panels: _draw(panels, found), panels=max(1, len(found))),),
    )


def _list_limits(policy: Policy) -> list[int]:
    return sorted(set(policy.values["risk_score"]["limit_by_level"].values()))


def _show_kept(one: Cost, unfiltered: Cost) -> str:
    return f"{one.ndcg.mean / unfiltered.ndcg.mean:.1%}" if unfiltered.ndcg.mean else "-"


def _draw(panels: Sequence[Any], found: dict[str, list[Cost]]) -> None:
    for axes, (name, costs) in zip(panels, found.items(), strict=False):
        draw_estimates(
            axes, [one.name for one in costs], {name: [one.ndcg for one in costs]}, unit=f"nDCG@{K}"
        )
        axes.set_title(name)
