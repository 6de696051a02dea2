"""Means over users and splits, with bootstrap intervals over users."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluate.metrics import FloatArray

RESAMPLE_COUNT = 1000
LEVEL = 0.95
_BLOCK_COUNT = 50  # Resamples held at once: 40 MB for 100,000 users.


@dataclass(frozen=True)
class Estimate:
    """A mean and the interval that holds 95 in 100 resampled means."""

    mean: float
    low: float
    high: float


def estimate(users: Sequence[Sequence[str]], values: Sequence[FloatArray], *, seed: int = 0) -> Estimate:
    """Estimates the mean over users, then over splits.

    Whole users are drawn again, with all that they did in any split: one user's results are not independent.

    Args:
        users: for each split its users.
        values: for each split a value per user, float64 [users].
        seed: of the resampling.
    """
    mean = float(np.mean([np.mean(split) for split in values]))
    return _bound(mean, _draw_means(users, values, seed))


def estimate_gain(
    users: Sequence[Sequence[str]],
    values: Sequence[FloatArray],
    others: Sequence[FloatArray],
    *,
    seed: int = 0,
) -> Estimate:
    """Estimates by which share one mean is above another, over the same users: 0.5 for half as much again.

    Args:
        users: for each split its users.
        values: for each split a value per user, float64 [users].
        others: what `values` is compared with; not all zero.
        seed: of the resampling; both means are of the same draws.
    """
    own, other = (float(np.mean([np.mean(split) for split in each])) for each in (values, others))
    assert other > 0, "a gain over nothing has no size"
    drawn = _draw_means(users, others, seed)
    ratios = np.divide(
        _draw_means(users, values, seed), drawn, out=np.full(len(drawn), np.inf), where=drawn > 0
    )
    return _bound(own / other - 1.0, ratios - 1.0, method="nearest")  # Between infinities lies no number.


def _bound(mean: float, drawn: FloatArray, *, method: Literal["linear", "nearest"] = "linear") -> Estimate:
    edge = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [edge, 1 - edge], method=method)
    return Estimate(mean, float(low), float(high))


def _draw_means(users: Sequence[Sequence[str]], values: Sequence[FloatArray], seed: int) -> FloatArray:
    """Draws the users again and again; returns the mean of each draw, [RESAMPLE_COUNT]."""
    names = sorted({user for split in users for user in split})
    row_of = {user: row for row, user in enumerate(names)}
    rows = [np.array([row_of[user] for user in split], np.int64) for split in users]
    rng = np.random.default_rng(seed)
    blocks = RESAMPLE_COUNT // _BLOCK_COUNT
    return np.concatenate([_resample(rows, values, len(names), rng) for _ in range(blocks)])


def _resample(
    rows: Sequence[NDArray[np.int64]], values: Sequence[FloatArray], count: int, rng: np.random.Generator
) -> FloatArray:
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=_BLOCK_COUNT)  # [block, users]
    means = []
    for row, value in zip(rows, values, strict=True):
        weight = drawn[:, row].astype(np.float64)  # [block, users of the split]
        total = weight.sum(axis=1)
        # A split none of whose users was drawn says nothing in that resample.
        means.append(np.divide(weight @ value, total, out=np.full(len(total), np.nan), where=total > 0))
    together: FloatArray = np.nanmean(np.array(means), axis=0)
    return together
