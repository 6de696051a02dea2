"""Compares what groups of people are shown, among people of equal risk level and horizon.

Groups differ in risk level and horizon, and the rules must treat these differently. So exposure is compared
within strata of equal risk level and horizon, and the strata are weighted alike for every group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.evaluate.intervals import Estimate
from benchmarks.evaluate.metrics import FloatArray
from benchmarks.report.drawing import draw_estimates, render
from benchmarks.report.exposure import discount
from benchmarks.report.groups import (
    group_by_age,
    group_by_horizon,
    group_by_risk,
    group_by_text,
    list_groups,
)
from benchmarks.report.measured import SEED, BoolArray, K, Measured, Record, list_best
from benchmarks.report.section import Section, Table, show
from suitability.policy import Policy
from suitability.ratings import effective_risk_score, is_learning

RESAMPLE_COUNT = 500
GROUP_SIZE_MIN = 30


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


def measure_exposures(
    scores: FloatArray, suitable: BoolArray, catalogue: Sequence[Record], policy: Policy
) -> dict[str, FloatArray]:
    """Measures what each user is shown under the rules, float64 [users] each.

    The share of a list's exposure that financial and insurance products have; the number of such products in
    a list of them alone, of k; and the mean effective risk score of those by exposure, NaN for an empty list.
    """
    financial = np.array([not is_learning(product) for product in catalogue], np.bool_)
    risk = np.array([effective_risk_score(product, policy) or 0 for product in catalogue], np.float64)
    both, alone = list_best(scores, suitable), list_best(scores, suitable & financial)
    worth = discount(both.shape[1])
    shown = both >= 0
    share = (worth * (financial[both] & shown)).sum(axis=1) / np.maximum((worth * shown).sum(axis=1), 1e-12)
    listed = alone >= 0
    weights = worth * listed
    total = weights.sum(axis=1)
    mean_risk = np.divide(
        (weights * risk[alone]).sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0
    )
    return {
        "financial share of exposure": np.where(shown.any(axis=1), share, np.nan),
        f"financial products listed, of {K}": listed.sum(axis=1).astype(np.float64),
        "risk score of what is listed": mean_risk,
    }


def make_fairness(measured: Measured) -> Section:
    """Compares groups by age, place, client type and vulnerability within equal risk level and horizon."""
    profiles = measured.profiles
    risk, horizon = group_by_risk(profiles), group_by_horizon(profiles)
    strata = [f"{one} | {other}" for one, other in zip(risk, horizon, strict=True)]
    kinds = {
        "age": group_by_age(profiles, measured.clock),
        "place": group_by_text(profiles, "jurisdiction"),
        "client type": group_by_text(profiles, "client_type"),
        "vulnerable": group_by_text(profiles, "vulnerable"),
    }
    exposures = measure_exposures(measured.scores, measured.suitable, measured.catalogue, measured.policy)
    found = {
        measure: {kind: measure_conditional(values, groups, strata) for kind, groups in kinds.items()}
        for measure, values in exposures.items()
        if not np.isnan(values).all()
    }
    sentences = (
        f"{len(set(strata))} strata of equal risk level and horizon. The conditional difference is a "
        "group's mean minus that of everybody of the same strata: 0 where risk level and horizon explain "
        "what the group is shown. The interval is a 95 % bootstrap over users.",
        "A difference is no proof of unfairness: the rules themselves treat age, place, client type and "
        "vulnerability differently, on purpose, and tastes differ. It says where to look.",
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
        axes.set_title(measure, fontsize=8)
        if number:
            axes.set_yticklabels([])
