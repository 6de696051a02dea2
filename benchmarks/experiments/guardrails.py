"""What an experiment must not make worse: removals by suitability, empty lists, coverage, latency.

Each guardrail has a margin, a share of the control's figure that a variant may be worse by. It holds if the
interval leaves no worse figure possible: a small experiment shows nothing, and not that all is well.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from scipy import stats

from benchmarks.experiments.differences import LEVEL, FloatArray, Rate
from benchmarks.experiments.outcomes import REMOVED, Outcomes

GROUP_COUNT: Final = 20
"""Coverage depends on how many users are looked at, so that equal groups of them are compared."""
MINOR_SHARE: Final = 0.05
"""A rarer reason code is judged with all others together only: by itself it would take too many users."""
LATENCY_QUANTILE: Final = 0.95
MARGINS: Final[Mapping[str, float]] = {
    "removals": 0.10,
    "answers with products": 0.01,
    "coverage": 0.05,
    "latency p95": 0.10,
}
"""How much worse a variant may be, as a share of the control's figure: to be agreed on beforehand."""


class Verdict(StrEnum):
    """What the interval says of a guardrail."""

    HOLDS = "holds"
    HARMED = "harmed"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Guardrail:
    """One figure that must not become worse.

    Attributes:
        name: what is measured.
        control: the control's figure.
        variant: the variant's.
        worse_low, worse_high: 95 % interval of how much worse the variant is, as a share.
        margin: how much worse it may be.
        verdict: what follows.
    """

    name: str
    control: float
    variant: float
    worse_low: float
    worse_high: float
    margin: float
    verdict: Verdict


@dataclass(frozen=True)
class _Figure:
    """An estimate and its variance."""

    value: float
    variance: float


def judge_guardrails(control: Outcomes, variant: Outcomes) -> list[Guardrail]:
    """Judges every guardrail.

    That all of them hold needs no correction for their number: the claim is wrong only if one that is said to
    hold does not (Berger 1982, "Multiparameter hypothesis testing and acceptance sampling").
    """
    judged = []
    for name in _list_codes(control, variant):
        removed = [_measure_rate(each, name) for each in (control, variant)]
        label = f"removals of an answer: {name.removeprefix(REMOVED)}"
        judged.append(_judge(label, MARGINS["removals"], *removed))
    filled = [_measure_rate(each, "filled") for each in (control, variant)]
    name = "answers with products"
    judged.append(_judge(name, MARGINS[name], *filled, less_is_worse=True))
    size = min(control.user_count, variant.user_count) // GROUP_COUNT
    if size > 0:
        covered = [_measure_coverage(each, size) for each in (control, variant)]
        name = f"products shown to {size} users"
        judged.append(_judge(name, MARGINS["coverage"], *covered, less_is_worse=True))
    if len(control.latency_us) and len(variant.latency_us):
        slow = [_measure_quantile(each, LATENCY_QUANTILE) for each in (control, variant)]
        judged.append(_judge("latency p95, ms", MARGINS["latency p95"], *slow))
    return judged


def _list_codes(control: Outcomes, variant: Outcomes) -> list[str]:
    """Names removals by all codes, and by each code that makes more than MINOR_SHARE of them."""
    counts = {
        name: float(control.columns[name].sum() + variant.columns[name].sum())
        for name in control.columns
        if name.startswith(REMOVED)
    }
    total = counts[f"{REMOVED}all"]
    kept = [name for name, count in counts.items() if count > MINOR_SHARE * total]
    return sorted(kept, key=lambda name: -counts[name])


def _judge(
    name: str, margin: float, control: _Figure, variant: _Figure, *, less_is_worse: bool = False
) -> Guardrail:
    """Compares two figures by the interval of their ratio."""
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    low, high = _find_ratios(control, variant, z)
    worse_low, worse_high = (1 - high, 1 - low) if less_is_worse else (low - 1, high - 1)
    if worse_high <= margin:
        verdict = Verdict.HOLDS
    elif worse_low > margin:
        verdict = Verdict.HARMED
    else:
        verdict = Verdict.UNDECIDED
    return Guardrail(name, control.value, variant.value, worse_low, worse_high, margin, verdict)


def _find_ratios(control: _Figure, variant: _Figure, z: float) -> tuple[float, float]:
    """Returns the ratios r at which `variant - r * control` is within z errors of 0.

    Source: Fieller 1954, "Some problems in interval estimation".
    """
    if control.value == 0 == variant.value:
        return 1.0, 1.0
    a = control.value**2 - z * z * control.variance
    if not a > 0:  # The control itself could be 0: any ratio is possible.
        return 0.0, math.inf
    b = control.value * variant.value
    c = variant.value**2 - z * z * variant.variance
    root = math.sqrt(max(b * b - a * c, 0.0))
    return max((b - root) / a, 0.0), (b + root) / a


def _measure_rate(outcomes: Outcomes, name: str) -> _Figure:
    """Measures something per answer, over users."""
    rate = Rate(outcomes.columns[name], outcomes.columns["answers"])
    return _Figure(rate.value, rate.variance)


def _measure_coverage(outcomes: Outcomes, size: int) -> _Figure:
    """Measures how many different products a group of users is shown, over groups drawn by chance."""
    order = np.random.default_rng(0).permutation(outcomes.user_count)[: GROUP_COUNT * size]
    group_of = np.full(outcomes.user_count, -1, np.int64)
    group_of[order] = np.arange(len(order)) // size
    group = group_of[outcomes.shown.answer]
    keys = np.unique(np.stack([group[group >= 0], outcomes.shown.product[group >= 0]]), axis=1)
    counts = np.bincount(keys[0], minlength=GROUP_COUNT).astype(np.float64)
    return _Figure(float(counts.mean()), float(counts.var(ddof=1)) / GROUP_COUNT)


def _measure_quantile(outcomes: Outcomes, quantile: float) -> _Figure:
    """Measures a quantile of latency, ms; the answers of one user are not independent.

    The share of answers below it is a rate over users. Where that share could be, the quantile could be.

    Source: Deng, Knoblich and Lu 2018, "Applying the delta method in metric analytics", section 4.
    """
    latency_ms: FloatArray = outcomes.latency_us / 1000
    value = float(np.quantile(latency_ms, quantile))
    below = np.bincount(outcomes.latency_user, latency_ms <= value, minlength=outcomes.user_count)
    answers = np.bincount(outcomes.latency_user, minlength=outcomes.user_count)
    error = math.sqrt(Rate(below.astype(np.float64), answers.astype(np.float64)).variance)
    low, high = np.quantile(latency_ms, np.clip([quantile - error, quantile + error], 0, 1))
    return _Figure(value, float((high - low) / 2) ** 2)
