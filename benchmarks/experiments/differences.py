"""Compares a variant with the control: differences with intervals, tests, and how many users it takes."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]

LEVEL: Final = 0.95
MISMATCH_P_MAX: Final = 0.001
"""Below it the variants' numbers of users are not what was drawn (Fabijan et al. 2019, section 3)."""


@dataclass(frozen=True)
class Rate:
    """What is measured of each user, as a part of a whole: clicks of what was seen, revenue of one user."""

    part: FloatArray  # [users]
    whole: FloatArray  # [users], ones for a mean over users

    @property
    def value(self) -> float:
        """The sum of the parts over the sum of the wholes; NaN where there is nothing."""
        total = float(self.whole.sum())
        return float(self.part.sum()) / total if total else math.nan

    @property
    def variance(self) -> float:
        """The variance of `value`, by the delta method over users.

        Source: Deng, Knoblich and Lu 2018, "Applying the delta method in metric analytics", section 2.
        """
        count, total = len(self.part), float(self.whole.sum())
        if count < 2 or not total:
            return math.nan
        residual = self.part - self.value * self.whole
        return float(residual.var(ddof=1)) * count / total**2


@dataclass(frozen=True)
class Difference:
    """A variant's rate less the control's, with the interval and the p-value of no difference."""

    control: float
    variant: float
    low: float
    high: float
    p_value: float

    @property
    def value(self) -> float:
        """The difference."""
        return self.variant - self.control


def compare_rates(control: Rate, variant: Rate, *, level: float = LEVEL) -> Difference:
    """Compares rates whose users are independent, as large samples: both sides of a normal distribution."""
    error = math.sqrt(control.variance + variant.variance)
    value = variant.value - control.value
    margin = float(stats.norm.ppf((1 + level) / 2)) * error
    p_value = 2 * float(stats.norm.sf(abs(value) / error)) if error > 0 else math.nan
    return Difference(control.value, variant.value, value - margin, value + margin, p_value)


def compare_shares(control: FloatArray, variant: FloatArray, *, level: float = LEVEL) -> Difference:
    """Compares shares of users: the two-proportion test, with Newcombe's interval.

    Args:
        control: 0 or 1 for each user, float64 [users].
        variant: the same.
        level: of the interval.

    Source: Newcombe 1998, "Interval estimation for the difference between independent proportions", its
        method 10.
    """
    counts = [(int(users.sum()), len(users)) for users in (control, variant)]
    shares = [hits / total for hits, total in counts]
    (low_c, high_c), (low_v, high_v) = (
        stats.binomtest(hits, total).proportion_ci(level, method="wilson") for hits, total in counts
    )
    value = shares[1] - shares[0]
    return Difference(
        control=shares[0],
        variant=shares[1],
        low=value - math.hypot(shares[1] - low_v, high_c - shares[0]),
        high=value + math.hypot(high_v - shares[1], shares[0] - low_c),
        p_value=_test_shares(counts),
    )


def _test_shares(counts: list[tuple[int, int]]) -> float:
    table = np.array([[hits, total - hits] for hits, total in counts])
    if not table.sum(axis=0).all():  # Nobody, or everybody: there is nothing to tell apart.
        return 1.0
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def judge_sample_ratio(user_counts: NDArray[np.int64], shares: FloatArray) -> float:
    """Returns the p-value of numbers of users as different from their shares as these, by chi-square."""
    expected = shares / shares.sum() * user_counts.sum()
    return float(stats.chisquare(user_counts, expected).pvalue)


def count_users_needed(share: float, difference: float, *, power: float = 0.8, level: float = LEVEL) -> int:
    """Returns how many users each of two variants needs for a difference of shares to be found.

    Args:
        share: of the control's users.
        difference: the smallest that is worth finding, not 0.
        power: how often it is to be found if it is there.
        level: 1 less how often a difference may be found that is not there.

    Source: Fleiss, Levin and Paik 2003, "Statistical Methods for Rates and Proportions", section 4.2.1.
    """
    other = share + difference
    middle = (share + other) / 2
    chance = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt(2 * middle * (1 - middle))
    found = float(stats.norm.ppf(power)) * math.sqrt(share * (1 - share) + other * (1 - other))
    return math.ceil(((chance + found) / difference) ** 2)
