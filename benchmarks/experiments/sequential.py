"""A test that stays valid however often one looks: an interval that holds at all looks together.

The mixture sequential probability ratio test with a normal mixture, in the form of a confidence sequence: the
chance that the truth ever leaves it, at any look, is at most 1 less the level, as samples grow. It is wider
than the interval of one look at the end, and it lets one stop when it leaves 0.

Source: Johari, Koomen, Pekelis and Walsh 2022, "Always valid inference: continuous monitoring of A/B tests",
section 4; with estimated variances Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, "Time-uniform
central limit theory and asymptotic confidence sequences", theorem 2.2.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import lambertw

from benchmarks.experiments.differences import LEVEL, FloatArray, Rate
from benchmarks.experiments.log import Codes

USER_COUNT_MIN: Final = 200
"""Users of each variant before the first look: below it an estimated variance is none to rely on."""


@dataclass(frozen=True)
class Path:
    """What each look found; the arrays are float64 [looks].

    Attributes:
        time_us: when, int64 [looks].
        value: the difference so far.
        low, high: the interval at this look.
        p_value: always valid: the least of all looks so far.
    """

    time_us: Codes
    value: FloatArray
    low: FloatArray
    high: FloatArray
    p_value: FloatArray

    @property
    def decided_us(self) -> int | None:
        """When the interval first left 0; None if it has not."""
        out = np.flatnonzero((self.low > 0) | (self.high < 0))
        return int(self.time_us[out[0]]) if len(out) else None


def follow(
    control: Rate,
    variant: Rate,
    times: tuple[Codes, Codes],
    looks_us: Codes,
    *,
    planned_user_count: int,
    level: float = LEVEL,
) -> Path:
    """Looks again and again, each time at the users that have come so far.

    Args:
        control: its users, in the order in which they came.
        variant: the same.
        times: when each user of the control and of the variant was complete, ascending.
        looks_us: when to look, ascending; looks at fewer than USER_COUNT_MIN users of either are left out.
        planned_user_count: users of both at which the interval is to be narrowest. It is chosen before the
            data are seen; any choice is valid.
        level: of the interval over all looks.
    """
    counts = [np.searchsorted(each, looks_us, side="right") for each in times]
    kept = np.minimum(*counts) >= USER_COUNT_MIN
    looks_us, counts = looks_us[kept], [count[kept] for count in counts]
    values, variances = zip(
        *(_run(rate, count) for rate, count in zip((control, variant), counts, strict=True)), strict=True
    )
    value, error = values[1] - values[0], np.sqrt(variances[0] + variances[1])
    # How much is known, against what will be once the plan is fulfilled with equal numbers.
    known = 1 / (1 / counts[0] + 1 / counts[1]) / (planned_user_count / 4)
    ratio = _mixture_ratio(level) * known
    alpha = 1 - level
    width = error * np.sqrt((1 + 1 / ratio) * (2 * math.log(1 / alpha) + np.log1p(ratio)))
    with np.errstate(divide="ignore", invalid="ignore"):
        evidence = 0.5 * np.square(value / error) * ratio / (1 + ratio) - 0.5 * np.log1p(ratio)
    p_value = np.minimum.accumulate(np.exp(-np.maximum(np.nan_to_num(evidence), 0)))
    return Path(looks_us, value, value - width, value + width, p_value)


def _run(rate: Rate, counts: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Returns the rate and its variance over the first users, for each number of them."""
    part, whole = rate.part, rate.whole
    sums = [
        np.concatenate([[0.0], np.cumsum(each)])[counts]
        for each in (part, whole, part * part, part * whole, whole * whole)
    ]
    value = np.divide(sums[0], sums[1], out=np.full(len(counts), np.nan), where=sums[1] > 0)
    # The residual part - value * whole sums to zero, so that its mean square is its variance.
    squares = sums[2] - 2 * value * sums[3] + value * value * sums[4]
    variance = np.maximum(squares, 0) / (counts - 1) * counts / np.square(sums[1])
    return value, variance


def _mixture_ratio(level: float) -> float:
    """Returns the mixture's variance over the estimate's at which the interval is narrowest.

    Source: Waudby-Smith et al. 2024, appendix B.2.
    """
    alpha = 1 - level
    return float(-lambertw(-(alpha**2) / math.e, -1).real - 1)
