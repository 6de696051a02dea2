"""Calibrates scores: from what held-out borrowers did, the probability of a default by score, as data."""

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from index.risk_model import BASIS_POINTS_MAX, BASIS_POINTS_MIN, Calibration

Scores = NDArray[np.int64]
Outcomes = NDArray[np.bool_]

_WHOLE: Final = 10_000
_PLATT_POINT_COUNT: Final = 201
_NO_PENALTY: Final = 1e6
_STEP_COUNT_MIN: Final = 50  # Borrowers from whom a rate is taken.
_LOG_ODDS_MAX: Final = 30.0  # Far beyond what basis points tell apart.


def calibrate(scores: Scores, defaulted: Outcomes, *, seed: int) -> tuple[Calibration, dict[str, float]]:
    """Fits both curves and takes the one that tells the other half of the borrowers better.

    Args:
        scores: of borrowers whom the scoring models had not seen, int64 [borrowers].
        defaulted: bool [borrowers].
        seed: of the halves.

    Returns:
        The curve, fitted to all, and the log-loss of each of the two across the halves.
    """
    half = np.random.default_rng(seed).permutation(len(scores)) % 2 == 0
    losses = {}
    for method, fit in _METHODS.items():
        given = np.empty(len(scores), np.int64)
        for part in (half, ~half):
            given[part] = apply(fit(scores[~part], defaulted[~part]), scores[part])
        probability = given / _WHOLE
        losses[method] = float(-np.log(np.where(defaulted, probability, 1 - probability)).mean())
    best = min(losses, key=losses.__getitem__)
    return _METHODS[best](scores, defaulted), losses


def apply(calibration: Calibration, scores: Scores) -> NDArray[np.int64]:
    """Returns the basis points of scores, int64 [scores]."""
    distinct, place = np.unique(scores, return_inverse=True)
    return np.array([calibration.find(int(score)) for score in distinct], np.int64)[place]


def fit_isotonic(scores: Scores, defaulted: Outcomes) -> Calibration:
    """Fits the nearest curve that never falls: steps, and straight lines from one step to the next.

    Steps of few borrowers are joined with the next. A step's rate is taken with half a borrower of each
    outcome more, so that none claims that nobody defaults, or that everybody does. Source: Jeffreys's prior.
    """
    fitted = IsotonicRegression().fit_transform(scores.astype(np.float64), defaulted)
    points: dict[int, float] = {}
    for step in _join_steps(fitted):
        rate = (defaulted[step].sum() + 0.5) / (len(step) + 1)
        points |= {int(scores[step].min()): rate, int(scores[step].max()): rate}
    return _to_curve("isotonic", np.array(list(points)), np.array(list(points.values())))


def _join_steps(fitted: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Lists the rows of each step, lowest first; only where all are fewer is a step below the least count."""
    steps: list[NDArray[np.int64]] = []
    open_rows = np.empty(0, np.int64)
    for level in np.unique(fitted):
        open_rows = np.concatenate([open_rows, np.flatnonzero(fitted == level)])
        if len(open_rows) >= _STEP_COUNT_MIN:
            steps.append(open_rows)
            open_rows = np.empty(0, np.int64)
    if len(open_rows):
        steps.append(np.concatenate([steps.pop(), open_rows]) if steps else open_rows)
    return steps


def fit_platt(scores: Scores, defaulted: Outcomes) -> Calibration:
    """Fits a logistic curve and keeps points of it, half a range beyond the scores to either side.

    Source: Platt 1999.
    """
    centre, unit = float(scores.mean()), float(scores.std()) or 1.0
    slope, intercept = _fit_line((scores - centre) / unit, defaulted)
    low, high = int(scores.min()), int(scores.max())
    reach = (high - low) // 2 + 1
    points = np.unique(np.rint(np.linspace(low - reach, high + reach, _PLATT_POINT_COUNT)))
    odds = np.clip(slope * (points - centre) / unit + intercept, -_LOG_ODDS_MAX, _LOG_ODDS_MAX)
    return _to_curve("platt", points, 1 / (1 + np.exp(-odds)))


def _fit_line(values: NDArray[np.floating[Any]], defaulted: Outcomes) -> tuple[float, float]:
    """Fits slope and intercept of the log-odds; level where all borrowers ended alike."""
    count, bad = len(defaulted), int(defaulted.sum())
    if bad in (0, count):
        return 0.0, math.log((bad + 0.5) / (count - bad + 0.5))
    model = LogisticRegression(C=_NO_PENALTY).fit(values[:, None], defaulted)
    # A score that tells nothing must not lower the risk.
    return max(float(model.coef_[0, 0]), 0.0), float(model.intercept_[0])


def _to_curve(method: str, scores: NDArray[np.float64], probabilities: NDArray[np.float64]) -> Calibration:
    found = np.clip(np.rint(_WHOLE * probabilities), BASIS_POINTS_MIN, BASIS_POINTS_MAX)
    return Calibration(
        method,
        tuple(int(score) for score in scores),
        tuple(int(one) for one in np.maximum.accumulate(found)),
    )


_METHODS: Final[dict[str, Callable[[Scores, Outcomes], Calibration]]] = {
    "isotonic": fit_isotonic,
    "platt": fit_platt,
}
