"""Measures how varied lists are, and what more variety costs, with the code that the server chooses with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluate.intervals import Estimate
from benchmarks.evaluate.metrics import NO_CANDIDATE, FloatArray
from benchmarks.report.drawing import render
from benchmarks.report.exposure import count_kinds, gini, measure_diversity, measure_exposure
from benchmarks.report.measured import BoolArray, IntArray, K, Measured, list_best, measure_ranking
from benchmarks.report.section import Section, Table, estimate_mean, show
from server.diversity import WHOLE, count_pool, diversify

TRADE_OFFS: Final = (WHOLE, 9500, 9000, 8500, 8000, 7000, 6000, 5000)
NAMED: Final = (WHOLE, 8000, 6000, 5000)  # In the chart, where all would cover each other.


@dataclass(frozen=True)
class Variety:
    """What lists are worth.

    Attributes:
        ndcg: nDCG@k.
        diversity: mean distance, 1 - cosine, of two products of a list.
        kind_count: mean number of different categories in a list.
        coverage: share of the products in at least one list.
        gini: of exposure over products.
    """

    ndcg: Estimate
    diversity: float
    kind_count: float
    coverage: float
    gini: float


def choose_lists(
    scores: FloatArray, allowed: BoolArray, item_vectors: NDArray[np.int32], trade_off: int, *, k: int = K
) -> IntArray:
    """Chooses each user's list as a server does, among the best that are allowed.

    Returns:
        int64 [users, k], -1 where there is none.
    """
    best = list_best(scores, allowed, k=count_pool(k, trade_off))
    if trade_off == WHOLE:
        return best
    lists = np.full((len(scores), k), -1, np.int64)
    for row, columns in enumerate(best):
        mine = columns[columns >= 0]
        chosen = mine[diversify(scores[row, mine].astype(np.int64), item_vectors[mine], k, trade_off)]
        lists[row, : len(chosen)] = chosen
    return lists


def measure_variety(measured: Measured, trade_off: int) -> Variety:
    """Measures the model's lists at one trade-off."""
    lists = choose_lists(measured.scores, measured.suitable, measured.item_vectors, trade_off)
    return measure_lists(measured, lists)


def measure_lists(measured: Measured, lists: IntArray) -> Variety:
    """Measures lists, int64 [users, k]."""
    exposure = measure_exposure(lists, len(measured.products))
    diversity = measure_diversity(lists, measured.item_vectors)
    kinds = [product.get("category") or product.get("family") for product in measured.catalogue]
    return Variety(
        ndcg=estimate_mean(rank_lists(lists, measured.relevant)),
        diversity=float(np.nanmean(diversity)) if not np.isnan(diversity).all() else np.nan,
        kind_count=float(count_kinds(lists, kinds).mean()),
        coverage=float((exposure > 0).mean()),
        gini=gini(exposure),
    )


def rank_lists(lists: IntArray, relevant: BoolArray) -> FloatArray:
    """Ranks lists as they are, by the evaluator's nDCG: a list's order becomes its scores."""
    k = lists.shape[1]
    scores = np.full(relevant.shape, NO_CANDIDATE)
    rows, ranks = np.nonzero(lists >= 0)
    scores[rows, lists[rows, ranks]] = k - ranks
    return measure_ranking(scores, relevant, scores != NO_CANDIDATE, k=k).ndcg


def make_diversity(measured: Measured) -> Section:
    """Shows quality against variety."""
    found = [measure_variety(measured, trade_off) for trade_off in TRADE_OFFS]
    popular = measure_lists(measured, list_best(measured.popularity, measured.suitable))
    kept = found[0].ndcg.mean
    names = [f"{trade_off / WHOLE:.2f}" for trade_off in TRADE_OFFS]
    rows = tuple(
        (name, show(one.ndcg), f"{one.ndcg.mean / kept - 1:+.1%}" if kept else "-",
         f"{one.diversity:.3f}", f"{one.kind_count:.2f}", f"{one.coverage:.1%}", f"{one.gini:.3f}")
        for name, one in zip([*names, "most popular"], [*found, popular], strict=True)
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
            for trade_off, one, value in zip(TRADE_OFFS, found, values, strict=True):
                if trade_off in NAMED:
                    axes.annotate(f"{trade_off / WHOLE:g}", (value, one.ndcg.mean), fontsize=7, xytext=(3, 5),
                                  textcoords="offset points")  # fmt: skip
            axes.set(xlabel=unit, ylabel=f"nDCG@{K}")

    sentences = (
        "Maximal marginal relevance (Carbonell and Goldstein 1998) among each user's best "
        f"{count_pool(K, 0)} products {measured.condition}, lists of {K}, by the server's own code (a "
        "request's diversity_trade_off): trade-off x score - (1 - trade-off) x largest cosine to a product "
        "chosen before; scores brought to 0 to 1 over the candidates. Trade-off 1 is the order of scores.",
        "The distance is that of the bundle's own vectors without popularity, which is what is optimised; "
        "categories are the catalogue's and are not.",
    )
    alt = "nDCG@10 against the variety of lists at trade-offs from 1 to 0.5."
    return Section(
        "diversity",
        "Variety of lists and its cost",
        sentences,
        (Table("Trade-offs", columns, rows),),
        (render("diversity", alt, draw, panels=2),),
    )
