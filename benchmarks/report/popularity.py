"""Measures what lists do to popularity: which part of the catalogue they show, and how evenly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.evaluate.metrics import FloatArray
from benchmarks.report.drawing import draw_bars, render
from benchmarks.report.exposure import gini, measure_exposure
from benchmarks.report.measured import IntArray, K, Measured, list_best
from benchmarks.report.section import Section, Table

# Products by number of owners, most first: the first tenth, up to half, and the rest.
GROUPS = ("head: most popular 10 %", "middle: next 40 %", "tail: last 50 %")
SHARES = (0.1, 0.5)


@dataclass(frozen=True)
class Spread:
    """How lists spread over the catalogue.

    Attributes:
        coverage: share of the products that stand in at least one list.
        gini: of exposure, over all products.
        exposure_shares: share of all exposure by group, float64 [groups].
        coverage_shares: share of the group's products that stand in a list, float64 [groups].
        exposure: float64 [products].
    """

    coverage: float
    gini: float
    exposure_shares: FloatArray
    coverage_shares: FloatArray
    exposure: FloatArray


def group_by_popularity(owner_counts: IntArray) -> IntArray:
    """Returns each product's group, 0 for the head; equal counts in the order of their ids."""
    count = len(owner_counts)
    places = np.empty(count, np.int64)
    places[np.argsort(-owner_counts, kind="stable")] = np.arange(count)
    return np.searchsorted([share * count for share in SHARES], places, side="right").astype(np.int64)


def measure_spread(lists: IntArray, owner_counts: IntArray) -> Spread:
    """Measures lists against the popularity of what they show."""
    exposure = measure_exposure(lists, len(owner_counts))
    return _spread(exposure, owner_counts)


def make_popularity(measured: Measured) -> Section:
    """Compares the model's lists with most-popular's, and both with what people chose."""
    spreads = {
        "model": measure_spread(list_best(measured.scores, measured.suitable), measured.owner_counts),
        "most popular": measure_spread(
            list_best(measured.popularity, measured.suitable), measured.owner_counts
        ),
        "what users took later": _spread(
            measured.relevant.sum(axis=0).astype(np.float64), measured.owner_counts
        ),
    }
    shown_to_some = measured.suitable.any(axis=0).mean()
    rows = [
        (name, f"{one.coverage:.1%}", f"{one.gini:.3f}", *(f"{share:.1%}" for share in one.exposure_shares),
         *(f"{share:.1%}" for share in one.coverage_shares))
        for name, one in spreads.items()
    ]  # fmt: skip
    columns = ("", "coverage", "Gini", *(f"exposure, {group.partition(':')[0]}" for group in GROUPS))
    columns += tuple(f"coverage, {group.partition(':')[0]}" for group in GROUPS)
    sentences = (
        f"Lists of {K} for {len(measured.users):,} users {measured.condition}. Coverage is the share "
        f"of {len(measured.products):,} products in at least one list; {shown_to_some:.1%} suit at least "
        "one of these users. Exposure counts a rank by 1 / log2(rank + 1).",
        f"Products by number of owners: {', '.join(GROUPS)}.",
    )
    alt = "Lorenz curves of exposure over products, and the share of exposure of popular and rare products."
    return Section(
        "popularity",
        "Popularity and the long tail",
        sentences,
        (Table("How lists spread over the catalogue", columns, tuple(rows)),),
        (render("popularity", alt, lambda panels: _draw(panels, spreads), panels=2),),
    )


def _spread(exposure: FloatArray, owner_counts: IntArray) -> Spread:
    groups = group_by_popularity(owner_counts)
    sizes = np.bincount(groups, minlength=len(GROUPS))
    weights = np.bincount(groups, weights=exposure, minlength=len(GROUPS))
    covered = np.bincount(groups, weights=(exposure > 0).astype(np.float64), minlength=len(GROUPS))
    return Spread(
        coverage=float((exposure > 0).mean()),
        gini=gini(exposure),
        exposure_shares=weights / max(weights.sum(), np.finfo(float).tiny),
        coverage_shares=covered / np.maximum(sizes, 1),
        exposure=exposure,
    )


def _draw(panels: Sequence[Any], spreads: Mapping[str, Spread]) -> None:
    for name, one in spreads.items():
        amounts = np.concatenate([[0.0], np.cumsum(np.sort(one.exposure))])
        shares = amounts / max(amounts[-1], np.finfo(float).tiny)
        panels[0].plot(np.linspace(0, 1, len(shares)), shares, label=name)
    panels[0].plot([0, 1], [0, 1], ls="--", color="grey", lw=1)
    panels[0].set(title="Lorenz curve of exposure", xlabel="share of products", ylabel="share of exposure")
    panels[0].legend(fontsize="small")
    labels = [group.partition(":")[0] for group in GROUPS]
    shares_by_name = {name: one.exposure_shares.tolist() for name, one in spreads.items()}
    draw_bars(panels[1], labels, shares_by_name, unit="share of exposure")
    panels[1].set_title("Exposure by popularity")
