"""Measures how varied lists are, and what more variety costs: maximal marginal relevance over the best."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.evaluate.intervals import Estimate
from benchmarks.evaluate.metrics import NO_CANDIDATE, FloatArray
from benchmarks.report.drawing import render
from benchmarks.report.exposure import count_kinds, gini, measure_diversity, measure_exposure
from benchmarks.report.measured import BoolArray, IntArray, K, Measured, list_best, measure_ranking
from benchmarks.report.mmr import mmr
from benchmarks.report.section import Section, Table, estimate_mean, show

TRADE_OFFS: Final = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
CANDIDATE_COUNT: Final = 100  # The candidates of a server's first round.


@dataclass(frozen=True)
class Variety:
    """What lists at one trade-off are worth.

    Attributes:
        trade_off: 1 keeps the order of the scores.
        ndcg: nDCG@k.
        diversity: mean distance, 1 - cosine, of two products of a list.
        kind_count: mean number of different categories in a list.
        coverage: share of the products in at least one list.
        gini: of exposure over products.
    """

    trade_off: float
    ndcg: Estimate
    diversity: float
    kind_count: float
    coverage: float
    gini: float


def choose_lists(
    scores: FloatArray, allowed: BoolArray, vectors: FloatArray, trade_off: float, *, k: int = K
) -> IntArray:
    """Chooses each user's list by mmr among the best that are allowed.

    Scores are brought to 0 to 1 over those candidates, the scale of a cosine; all equal, they are 0.

    Returns:
        int64 [users, k], -1 where there is none.
    """
    best = list_best(scores, allowed, k=CANDIDATE_COUNT)
    lists = np.full((len(scores), k), -1, np.int64)
    for row, columns in enumerate(best):
        mine = columns[columns >= 0]
        if len(mine):
            values = scores[row, mine]
            scaled = (values - values.min()) / max(float(np.ptp(values)), 1.0)  # Scores are whole numbers.
            chosen = mine[mmr(scaled, vectors[mine], k, trade_off)]
            lists[row, : len(chosen)] = chosen
    return lists


def measure_variety(measured: Measured, trade_off: float) -> Variety:
    """Measures the lists at one trade-off, under the rules."""
    lists = choose_lists(measured.scores, measured.suitable, measured.vectors, trade_off)
    exposure = measure_exposure(lists, len(measured.products))
    diversity = measure_diversity(lists, measured.vectors)
    kinds = [product.get("category") or product.get("family") for product in measured.catalogue]
    return Variety(
        trade_off=trade_off,
        ndcg=estimate_mean(measure_lists(lists, measured.relevant)),
        diversity=float(np.nanmean(diversity)) if not np.isnan(diversity).all() else np.nan,
        kind_count=float(count_kinds(lists, kinds).mean()),
        coverage=float((exposure > 0).mean()),
        gini=gini(exposure),
    )


def measure_lists(lists: IntArray, relevant: BoolArray) -> FloatArray:
    """Measures lists as they are, by the evaluator's nDCG: a list's order becomes its scores."""
    k = lists.shape[1]
    scores = np.full(relevant.shape, NO_CANDIDATE)
    rows, ranks = np.nonzero(lists >= 0)
    scores[rows, lists[rows, ranks]] = k - ranks
    return measure_ranking(scores, relevant, scores != NO_CANDIDATE, k=k).ndcg


def make_diversity(measured: Measured) -> Section:
    """Shows quality against variety."""
    found = [measure_variety(measured, trade_off) for trade_off in TRADE_OFFS]
    kept = found[0].ndcg.mean
    rows = tuple(
        (f"{one.trade_off:.2f}", show(one.ndcg), f"{one.ndcg.mean / kept - 1:+.1%}" if kept else "-",
         f"{one.diversity:.3f}", f"{one.kind_count:.2f}", f"{one.coverage:.1%}", f"{one.gini:.3f}")
        for one in found
    )  # fmt: skip
    columns = ("trade-off", f"nDCG@{K}", "change", "distance", "categories", "coverage", "Gini")

    def draw(panels: Sequence[Any]) -> None:
        for axes, field, unit in (
            (panels[0], "diversity", "distance of two products of a list, 1 - cosine"),
            (panels[1], "kind_count", "categories in a list"),
        ):
            values = [getattr(one, field) for one in found]
            means = np.array([one.ndcg.mean for one in found])
            errors = np.array(
                [[one.ndcg.mean - one.ndcg.low, one.ndcg.high - one.ndcg.mean] for one in found]
            )
            axes.errorbar(values, means, yerr=np.maximum(errors.T, 0), marker="o", ms=4)
            for one, value in zip(found[::2], values[::2], strict=True):  # All would cover each other.
                axes.annotate(f"{one.trade_off:g}", (value, one.ndcg.mean), fontsize=7, xytext=(3, 5),
                              textcoords="offset points")  # fmt: skip
            axes.set(xlabel=unit, ylabel=f"nDCG@{K}")

    sentences = (
        "Maximal marginal relevance (Carbonell and Goldstein 1998) among each user's best "
        f"{CANDIDATE_COUNT} suitable products, lists of {K}: trade-off x score - (1 - trade-off) x largest "
        "cosine to a product chosen before; scores brought to 0 to 1 over the candidates. Trade-off 1 is "
        "the served order.",
        "The distance is that of the bundle's own vectors without popularity, which is what is optimised; "
        "categories are the catalogue's and are not.",
    )
    alt = "nDCG@10 against the variety of lists at trade-offs from 1 to 0.3."
    return Section(
        "diversity",
        "Variety of lists and its cost",
        sentences,
        (Table("Trade-offs", columns, rows),),
        (render("diversity", alt, draw, panels=2),),
    )
