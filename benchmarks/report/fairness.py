"""Compares what groups of people are shown, among people of equal risk level and horizon.

Groups differ in risk level and horizon, and the rules must treat these differently. So exposure is compared
within strata of equal risk level and horizon, and the strata are weighted alike for every group.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.evaluate.intervals import Estimate
from benchmarks.evaluate.metrics import FloatArray
from benchmarks.report.drawing import draw_estimates, render
from benchmarks.report.exposure import discount
from benchmarks.report.groups import (
    group_by_history,
    group_by_horizon,
    group_by_risk,
    group_profiles,
    list_groups,
)
from benchmarks.report.measured import SEED, IntArray, K, Measured, list_best
from benchmarks.report.popularity import group_by_popularity
from benchmarks.report.section import Section, Table, show
from suitability.ratings import effective_risk_score, is_learning

RESAMPLE_COUNT = 500
GROUP_SIZE_MIN = 30
TITLE_WIDTH = 22


@dataclass(frozen=True)
class GroupExposure:
    """What one group is shown.

    Attributes:
        group: its name.
        user_count: users for whom the measure has a value.
        raw: mean over the group.
        conditional: mean difference to everybody of the same stratum, weighted by the group's strata.
    """

    group: str
    user_count: int
    raw: float
    conditional: Estimate


def measure_conditional(
    values: FloatArray, groups: Sequence[str], strata: Sequence[str], *, seed: int = SEED
) -> list[GroupExposure]:
    """Compares each group's mean with that of everybody in the same strata.

    For a group it is the mean over its users of (value - mean of the user's stratum, the user's own group
    included): 0 where the group is shown what its risk levels and horizons explain. Strata with one group
    alone say nothing and count as 0. Intervals by drawing users again.

    Args:
        values: float64 [users], NaN where a user has none.
        groups: [users].
        strata: [users].
        seed: of the resampling.

    Source: direct adjustment by stratum as in epidemiology; conditional parity, Ritov et al. 2017.
    """
    known = ~np.isnan(values)
    if not known.any():
        return []
    names = list_groups([group for group, has in zip(groups, known, strict=True) if has])
    group_of = np.array([names.index(group) if has else -1 for group, has in zip(groups, known, strict=True)])
    _, stratum_of = np.unique(np.array(strata)[known], return_inverse=True)
    kept, group_of = values[known], group_of[known]
    everything = _differ(kept, group_of, stratum_of, np.ones(len(kept)), len(names))
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(RESAMPLE_COUNT):
        weights = np.bincount(rng.integers(0, len(kept), len(kept)), minlength=len(kept)).astype(np.float64)
        draws.append(_differ(kept, group_of, stratum_of, weights, len(names)))
    low, high = np.nanquantile(np.array(draws), [0.025, 0.975], axis=0)
    return [
        GroupExposure(
            name,
            int((group_of == number).sum()),
            float(kept[group_of == number].mean()),
            Estimate(float(everything[number]), float(low[number]), float(high[number])),
        )
        for number, name in enumerate(names)
    ]


def measure_exposures(measured: Measured) -> dict[str, FloatArray]:
    """Measures what each user is shown, float64 [users] each, NaN where nothing of the kind is.

    The share of a list's exposure that the most popular tenth of the products has, and the share of financial
    and insurance products; the number of these in a list of them alone, of k, and their mean effective risk
    score by exposure. Without such products, or without anything else, what says nothing is left out.
    """
    financial = np.array([not is_learning(product) for product in measured.catalogue], np.bool_)
    lists = list_best(measured.scores, measured.suitable)
    popular = group_by_popularity(measured.owner_counts) == 0
    found = {"exposure of the most popular tenth": _average(lists, popular.astype(np.float64))}
    if financial.any() and not financial.all():
        found["financial share of exposure"] = _average(lists, financial.astype(np.float64))
    if financial.any() and measured.policy is not None:
        alone = list_best(measured.scores, measured.suitable & financial)
        scores = [effective_risk_score(product, measured.policy) or 0 for product in measured.catalogue]
        found[f"financial products listed, of {K}"] = (alone >= 0).sum(axis=1).astype(np.float64)
        found["risk score of what is listed"] = _average(alone, np.array(scores, np.float64))
    return {name: values for name, values in found.items() if not np.isnan(values).all()}


def make_fairness(measured: Measured) -> Section:
    """Compares groups by their traits and histories within equal risk level and horizon."""
    profiles = measured.profiles
    risk, horizon = group_by_risk(profiles), group_by_horizon(profiles)
    strata = [f"{one} | {other}" for one, other in zip(risk, horizon, strict=True)]
    traits = group_profiles(profiles, measured.clock)
    kinds = {trait: groups for trait, groups in traits.items() if trait not in ("risk level", "horizon")}
    kinds["history"] = group_by_history([len(history) for history in measured.histories])
    found = {
        measure: {kind: measure_conditional(values, groups, strata) for kind, groups in kinds.items()}
        for measure, values in measure_exposures(measured).items()
    }
    sentences = (
        f"Lists {measured.condition}; {len(set(strata))} strata of equal risk level and horizon. Traits that "
        "tell no tested users apart are left out. The conditional difference is a "
        "group's mean minus that of everybody of the same strata: 0 where risk level and horizon explain "
        "what the group is shown. The interval is a 95 % bootstrap over users.",
        "A difference is no proof of unfairness: rules treat age, place, client type and vulnerability "
        "differently, on purpose, and tastes differ. It says where to look. History is the number of events.",
    )
    tables = tuple(_make_table(measure, by_kind) for measure, by_kind in found.items())
    alt = "Conditional difference of exposure by group within equal risk level and horizon, with intervals."
    return Section(
        "fairness",
        "Exposure by group within equal risk level and horizon",
        sentences,
        tables,
        (
            render(
                "fairness", alt, lambda panels: _draw(panels, found), panels=max(1, len(found)), height=4.6
            ),
        ),
    )


def _average(lists: IntArray, values: FloatArray) -> FloatArray:
    """Returns the mean of each list's values by exposure; NaN for an empty list."""
    shown = lists >= 0
    weights = discount(lists.shape[1]) * shown
    total = weights.sum(axis=1)
    means: FloatArray = np.divide(
        (weights * values[lists]).sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0
    )
    return means


def _differ(
    values: FloatArray, group_of: Any, stratum_of: Any, weights: FloatArray, group_count: int
) -> FloatArray:
    """Returns each group's mean difference to its strata; NaN for a group without weight."""
    sums = np.bincount(stratum_of, weights=weights * values)
    sizes = np.bincount(stratum_of, weights=weights)
    means = np.divide(sums, sizes, out=np.zeros(len(sums)), where=sizes > 0)
    differences = np.bincount(group_of, weights=weights * (values - means[stratum_of]), minlength=group_count)
    totals = np.bincount(group_of, weights=weights, minlength=group_count)
    result: FloatArray = np.divide(differences, totals, out=np.full(group_count, np.nan), where=totals > 0)
    return result


def _make_table(measure: str, by_kind: Mapping[str, Sequence[GroupExposure]]) -> Table:
    rows = tuple(
        (kind, one.group, f"{one.user_count:,}", f"{one.raw:.3f}", show(one.conditional))
        for kind, groups in by_kind.items()
        for one in groups
    )
    return Table(measure, ("by", "group", "users", "mean", "conditional difference"), rows)


def _draw(panels: Sequence[Any], found: Mapping[str, Mapping[str, Sequence[GroupExposure]]]) -> None:
    by_label = {
        measure: {f"{kind}: {one.group}": one for kind, groups in by_kind.items() for one in groups}
        for measure, by_kind in found.items()
    }
    # Every panel has the same rows; groups too small to say anything have none.
    labels = [
        label
        for label, one in next(iter(by_label.values()), {}).items()
        if one.user_count >= GROUP_SIZE_MIN and all(label in mine for mine in by_label.values())
    ]
    for number, (axes, (measure, mine)) in enumerate(zip(panels, by_label.items(), strict=True)):
        draw_estimates(
            axes, labels, {measure: [mine[label].conditional for label in labels]}, unit="difference"
        )
        axes.axvline(0, ls="--", color="grey", lw=1)
        axes.set_title(textwrap.fill(measure, TITLE_WIDTH), fontsize=8)
        if number:
            axes.set_yticklabels([])
