"""Compares every variant of an experiment with its control, and says what may be concluded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.errors import BenchmarkInputError
from benchmarks.experiments.differences import (
    LEVEL,
    MISMATCH_P_MAX,
    Difference,
    Rate,
    compare_rates,
    compare_shares,
    judge_sample_ratio,
)
from benchmarks.experiments.guardrails import Guardrail, Verdict, judge_guardrails
from benchmarks.experiments.log import DAY_US, Log
from benchmarks.experiments.outcomes import Exposed, Outcomes, sum_up
from benchmarks.experiments.sequential import USER_COUNT_MIN, Path, follow
from server.experiments.plan import Experiment

METRICS: Final[Mapping[str, str]] = {
    "ctr": "clicks of what was seen",
    "conversion": "users who bought or enrolled",
    "revenue": "revenue of a user, minor units",
}
"""What variants are compared by: name and what it is."""


@dataclass(frozen=True)
class Comparison:
    """One variant beside the control.

    Attributes:
        variant: its name.
        differences: by metric, with intervals at `level`.
        path: the sequential test of the metric that decides; None while there are too few users.
        guardrails: what must not become worse.
    """

    variant: str
    differences: Mapping[str, Difference]
    path: Path | None
    guardrails: tuple[Guardrail, ...]


@dataclass(frozen=True)
class Judged:
    """An experiment, judged.

    Attributes:
        experiment: as the server has it.
        metric: the one that decides.
        level: of each interval; several variants share the chance of an error.
        exposed: who took part.
        mismatch_p: p-value of numbers of users as far from the shares as these.
        comparisons: of each variant but the control.
    """

    experiment: Experiment
    metric: str
    level: float
    exposed: Exposed
    mismatch_p: float
    comparisons: tuple[Comparison, ...]

    @property
    def control(self) -> str:
        """The name of the control."""
        return self.experiment.variants[0].name

    @property
    def sound(self) -> bool:
        """Whether users are spread over the variants as they were drawn; if not, all of this is useless."""
        return self.mismatch_p >= MISMATCH_P_MAX


def judge(
    log: Log, experiment: Experiment, *, metric: str, window_days: int, planned_user_count: int
) -> Judged:
    """Judges an experiment.

    Args:
        log: the feedback log.
        experiment: as the server has it; its shares are what users were drawn by.
        metric: the one of METRICS that decides.
        window_days: days from the first answer on for which a user is looked at.
        planned_user_count: users of two variants at which the sequential test is to be narrowest.

    Raises:
        BenchmarkInputError: no answer names the experiment, or too few users of a variant were looked at.
    """
    exposed = sum_up(log, experiment.name, window_days=window_days)
    drawn = [variant for variant in experiment.variants if variant.share_bps > 0]
    strange = sorted(exposed.variants.keys() - {variant.name for variant in drawn})
    if strange:
        raise BenchmarkInputError(f"experiment {experiment.name}: expected no users of variant {strange[0]}")
    for variant in drawn:
        found = exposed.variants.get(variant.name)
        if found is None or found.user_count < 2:
            raise BenchmarkInputError(
                f"experiment {experiment.name}: variant {variant.name}: expected two users or more who were "
                f"looked at for {window_days} days; wait, or look for fewer days"
            )
    counts = np.array([exposed.user_counts[variant.name] for variant in drawn])
    shares = np.array([float(variant.share_bps) for variant in drawn])
    control, *others = (exposed.variants[variant.name] for variant in drawn)
    level = 1 - (1 - LEVEL) / len(others)  # Bonferroni's: each variant is compared with one control.
    return Judged(
        experiment=experiment,
        metric=metric,
        level=level,
        exposed=exposed,
        mismatch_p=judge_sample_ratio(counts, shares),
        comparisons=tuple(
            Comparison(
                variant=variant.name,
                differences={name: _compare(name, control, other, level) for name in METRICS},
                path=_follow(metric, control, other, window_days, planned_user_count, level),
                guardrails=tuple(judge_guardrails(control, other)),
            )
            for variant, other in zip(drawn[1:], others, strict=True)
        ),
    )


def conclude(judged: Judged, comparison: Comparison) -> str:
    """Says in one sentence what may be concluded of a variant."""
    if not judged.sound:
        return "No conclusion: users are not spread over the variants as they were drawn. Find out why first."
    harmed = [each.name for each in comparison.guardrails if each.verdict is Verdict.HARMED]
    if harmed:
        return f"Stop: it makes worse {', '.join(harmed)}."
    path = comparison.path
    if path is None or path.decided_us is None:
        return "Go on: the sequential test has found no difference so far."
    better = path.value[path.time_us == path.decided_us][0] > 0
    unsure = [each.name for each in comparison.guardrails if each.verdict is Verdict.UNDECIDED]
    if better and unsure:
        return f"It is better, but what it does to {', '.join(unsure)} is not known well enough yet."
    return "It is better, and every guardrail holds." if better else "Stop: it is worse than the control."


def _rate(metric: str, outcomes: Outcomes) -> Rate:
    ones = np.ones(outcomes.user_count)
    columns = outcomes.columns
    rates = {
        "ctr": Rate(columns["clicks"], columns["seen"]),
        "conversion": Rate(columns["converted"], ones),
        "revenue": Rate(columns["revenue"], ones),
    }
    return rates[metric]


def _compare(metric: str, control: Outcomes, variant: Outcomes, level: float) -> Difference:
    if metric == "conversion":
        shares = [each.columns["converted"] for each in (control, variant)]
        return compare_shares(shares[0], shares[1], level=level)
    return compare_rates(_rate(metric, control), _rate(metric, variant), level=level)


def _follow(
    metric: str,
    control: Outcomes,
    variant: Outcomes,
    window_days: int,
    planned_user_count: int,
    level: float,
) -> Path | None:
    """Runs the sequential test, with a look at the end of every day."""
    if min(control.user_count, variant.user_count) < USER_COUNT_MIN:
        return None
    window_us = window_days * DAY_US
    times = (control.first_us + window_us, variant.first_us + window_us)
    first, last = min(each[0] for each in times), max(each[-1] for each in times)
    looks = np.append(np.arange(first + DAY_US, last, DAY_US), last)
    return follow(
        _rate(metric, control),
        _rate(metric, variant),
        times,
        looks,
        planned_user_count=planned_user_count,
        level=level,
    )
