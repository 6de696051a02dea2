"""Measures of a risk model: how well it tells who defaults apart, and how true its probabilities are."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc, roc_curve

Floats = NDArray[np.float64]
Outcomes = NDArray[np.bool_]

GROUP_COUNT: Final = 10


@dataclass(frozen=True)
class RiskQuality:
    """What is measured of one model on some borrowers.

    Attributes:
        auc: probability that a borrower who defaulted scores above one who did not; equal scores count half.
        ks: largest difference between the two groups' shares up to a score.
        brier: mean squared difference of probability and outcome.
        ece: mean difference of probability and rate over ten bands of equal width, weighted by borrowers.
    """

    auc: float
    ks: float
    brier: float
    ece: float


def measure_risk(probability: Floats, defaulted: Outcomes) -> RiskQuality:
    """Measures probabilities of borrowers, each [borrowers]."""
    good, bad = measure_roc(probability, defaulted)
    return RiskQuality(
        auc=measure_auc(probability, defaulted),
        ks=float((bad - good).max()),
        brier=float(np.mean((probability - defaulted) ** 2)),
        ece=measure_ece(probability, defaulted),
    )


def measure_auc(score: Floats, defaulted: Outcomes) -> float:
    """Measures scores of any scale."""
    return float(auc(*measure_roc(score, defaulted)))


def measure_roc(score: Floats, defaulted: Outcomes) -> tuple[Floats, Floats]:
    """Returns the shares of the good and of the bad that score at least so much, from (0, 0) to (1, 1)."""
    good, bad, _ = roc_curve(defaulted, score, drop_intermediate=False)
    return good, bad


def measure_ece(probability: Floats, defaulted: Outcomes) -> float:
    """Returns the expected calibration error. Source: Guo et al. 2017, section 2; ten bands here."""
    band = np.minimum((probability * GROUP_COUNT).astype(np.int64), GROUP_COUNT - 1)
    excess = np.bincount(band, weights=probability - defaulted, minlength=GROUP_COUNT)
    return float(np.abs(excess).sum() / len(probability))


def measure_psi(expected: Floats, actual: Floats) -> float:
    """Returns the population stability index between two samples, over tenths of the expected one.

    Below .1 the population is customarily taken as stable. Source: Siddiqi 2006, Credit Risk Scorecards,
    chapter 8.
    """
    edges = np.unique(np.quantile(expected, np.arange(1, GROUP_COUNT) / GROUP_COUNT, method="higher"))
    shares = []
    for values in (expected, actual):
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        # Half a borrower keeps the logarithm finite where a group is empty.
        shares.append((counts + 0.5) / (len(values) + 0.5 * len(counts)))
    first, second = shares
    return float(((second - first) * np.log(second / first)).sum())
