"""Models whose score is a sum of points: the scorecard, and a logistic regression over the fine bins."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

from index.risk_bins import FeatureBins, NumberBins
from training.errors import DataError
from training.risk.bins import Bins, encode, fit_bins, merge_bins
from training.risk.settings import RiskSettings
from training.risk.table import Sample

SCORE_SCALE: Final = 1_000_000
"""Score of one unit of log-odds, where points need not be read by people."""
_ITERATION_COUNT_MAX: Final = 2000
_HALF_A_BORROWER: Final = 0.5  # Keeps the weight of evidence finite where a bin holds one outcome only.


@dataclass(frozen=True)
class Points:
    """Points by feature and bin; the score is their sum.

    Attributes:
        base: what every borrower starts from.
        table: of each feature, int64 [bins].
        average: of each feature, of the average borrower.
    """

    base: int
    table: tuple[NDArray[np.int64], ...]
    average: tuple[int, ...]

    def score(self, bins: Bins) -> NDArray[np.int64]:
        """Scores borrowers, int64 [borrowers]."""
        parts = np.stack([points[bins[:, place]] for place, points in enumerate(self.table)])
        scores: NDArray[np.int64] = parts.sum(axis=0) + self.base
        return scores


def fit_scorecard(sample: Sample, settings: RiskSettings) -> tuple[tuple[FeatureBins, ...], Points]:
    """Fits a scorecard: coarse bins, their weights of evidence, a logistic regression over these, points.

    A feature whose weight is not positive would contradict its own bins, and is left out; the rest is fitted
    again.

    Source: Siddiqi 2006, Credit Risk Scorecards, chapter 6.

    Raises:
        DataError: no feature tells the outcomes apart.
    """
    fine = fit_bins(sample, settings.bin_count)
    fine_bins = encode(fine, sample)
    merged = [
        merge_bins(field, feature, fine_bins[:, place], sample.defaulted, settings)
        for place, (field, feature) in enumerate(zip(sample.fields, fine, strict=True))
    ]
    features = [feature for feature, _ in merged]
    bins = np.stack([coarse[fine_bins[:, place]] for place, (_, coarse) in enumerate(merged)], axis=1)
    evidence = [
        _weigh_evidence(bins[:, place], sample.defaulted, _find_direction(features[place], sample, place))
        for place in range(len(features))
    ]
    values = np.stack([evidence[place][bins[:, place]] for place in range(len(features))], axis=1)
    kept, weights, intercept = _select(values, sample.defaulted)
    if not kept:
        raise DataError("scorecard: expected a feature that tells who defaults, found none")
    factor = settings.points_to_double_odds / math.log(2)
    exact = [factor * weight * evidence[place] for place, weight in zip(kept, weights, strict=True)]
    return _make_points(
        [features[place] for place in kept], exact, factor * intercept, bins[:, kept], from_zero=True
    )


def fit_logistic(sample: Sample, settings: RiskSettings) -> tuple[tuple[FeatureBins, ...], Points]:
    """Fits a logistic regression with a weight for each fine bin."""
    features = fit_bins(sample, settings.bin_count)
    bins = encode(features, sample)
    encoder = OneHotEncoder(categories=[np.arange(feature.bin_count) for feature in features])
    model = LogisticRegression(C=settings.logistic_strength, max_iter=_ITERATION_COUNT_MAX)
    model.fit(encoder.fit_transform(bins), sample.defaulted)
    ends = np.cumsum([feature.bin_count for feature in features])
    exact = np.split(SCORE_SCALE * model.coef_[0], ends[:-1])
    return _make_points(features, exact, SCORE_SCALE * model.intercept_[0], bins, from_zero=False)


def _find_direction(feature: FeatureBins, sample: Sample, place: int) -> int:
    return 1 if sample.fields[place].kind == "category" else sample.fields[place].direction


def _weigh_evidence(bins: Bins, defaulted: NDArray[np.bool_], direction: int) -> NDArray[np.float64]:
    """Returns ln(share of the bad / share of the good) of every bin; more means a higher risk."""
    bad = np.bincount(bins[defaulted], minlength=bins.max() + 1) + _HALF_A_BORROWER
    good = np.bincount(bins[~defaulted], minlength=bins.max() + 1) + _HALF_A_BORROWER
    evidence: NDArray[np.float64] = np.log(bad / bad.sum()) - np.log(good / good.sum())
    # The rates are in order already; half a borrower could change that where two bins are almost alike.
    return direction * np.maximum.accumulate(direction * evidence) if direction else evidence


def _select(
    values: NDArray[np.float64], defaulted: NDArray[np.bool_]
) -> tuple[list[int], NDArray[np.float64], float]:
    kept = [place for place in range(values.shape[1]) if np.ptp(values[:, place]) > 0]
    while kept:
        model = LogisticRegression(max_iter=_ITERATION_COUNT_MAX).fit(values[:, kept], defaulted)
        weights: NDArray[np.float64] = model.coef_[0]
        if weights.min() > 0:
            return kept, weights, float(model.intercept_[0])
        kept.pop(int(weights.argmin()))
    return [], np.empty(0), 0.0


def _make_points(
    features: Sequence[FeatureBins],
    exact: Sequence[NDArray[np.float64]],
    intercept: float,
    bins: Bins,
    *,
    from_zero: bool,
) -> tuple[tuple[FeatureBins, ...], Points]:
    """Rounds to whole points; from zero, the best bin of every feature has none, for people to read."""
    table = [np.rint(points).astype(np.int64) for points in exact]
    lowest = [int(points.min()) if from_zero else 0 for points in table]
    table = [points - low for points, low in zip(table, lowest, strict=True)]
    worst = [
        _count_missing_as_worst(feature, points) for feature, points in zip(features, table, strict=True)
    ]
    average = tuple(round(float(points[bins[:, place]].mean())) for place, points in enumerate(table))
    return tuple(worst), Points(round(intercept) + sum(lowest), tuple(table), average)


def _count_missing_as_worst(feature: FeatureBins, points: NDArray[np.int64]) -> FeatureBins:
    worst = int(points.argmax())
    if isinstance(feature, NumberBins):
        return replace(feature, missing_bin=worst)
    return replace(feature, missing_bin=worst, unseen_bin=worst)
