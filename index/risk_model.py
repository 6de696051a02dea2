"""A risk model as it is served: bins, a score, and how a score becomes basis points, a band and reasons.

A score is a whole number, and a higher one means a higher risk. Everything here is a lookup, a sum or an
interpolation in whole numbers, so that every reader gets the same answer to the last digit. The scorecard
needs nothing else; the score of another model comes from its ONNX graph, which takes the bins.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from index.errors import RiskFieldError
from index.risk_bins import FeatureBins, Record, Value

REASON_COUNT_MAX: Final = 4  # Four are enough to explain: official interpretation of 12 CFR 1002.9(b)(2).
BASIS_POINTS_MIN: Final = 1  # Nobody is certain to pay, and nobody is certain not to.
BASIS_POINTS_MAX: Final = 9_999


@dataclass(frozen=True)
class Calibration:
    """The probability of default by score: points of a curve, and straight lines between them.

    Attributes:
        method: how the points were found, isotonic or platt.
        scores: ascending.
        basis_points: of each of the scores, never falling.
    """

    method: str
    scores: tuple[int, ...]
    basis_points: tuple[int, ...]

    def find(self, score: int) -> int:
        """Returns basis points; outside the curve, those of its end."""
        right = bisect_right(self.scores, score)
        if right == 0:
            return self.basis_points[0]
        if right == len(self.scores):
            return self.basis_points[-1]
        low, high = self.scores[right - 1], self.scores[right]
        start, stop = self.basis_points[right - 1], self.basis_points[right]
        return start + (stop - start) * (score - low) // (high - low)


@dataclass(frozen=True)
class RiskModel:
    """What every risk model has.

    Attributes:
        name: which model: scorecard, logistic, forest or boosting.
        source: the data that it learned from, as one line with its licence's citation.
        features: the bins of what it reads, in the order of its inputs.
        calibration: from score to basis points.
        band_limits: ascending basis points; band 1 lies below the first, and each limit begins the next band.
        reason_texts: by reason code what the borrower may be told, in English and Chinese; empty where the
            table of borrowers states none.
        protected_fields: what the law protects in that table; a server takes none of them.
    """

    name: str
    source: str
    features: tuple[FeatureBins, ...]
    calibration: Calibration
    band_limits: tuple[int, ...]
    reason_texts: Mapping[str, tuple[str, str]]
    protected_fields: tuple[str, ...]

    def find_bins(self, record: Record) -> tuple[int, ...]:
        """Returns the bin of every feature; a feature that the record lacks is missing.

        Raises:
            RiskFieldError: a value cannot be read, or the model reads no such field.
        """
        self._refuse_unknown(record)
        return tuple(feature.find(record.get(feature.name)) for feature in self.features)

    def find_band(self, basis_points: int) -> int:
        """Returns the band, 1 for the lowest risk."""
        return 1 + bisect_right(self.band_limits, basis_points)

    def find_missing(self, record: Record) -> tuple[str, ...]:
        """Lists the features that the record lacks."""
        return tuple(feature.name for feature in self.features if _is_missing(record.get(feature.name)))

    def _refuse_unknown(self, record: Record) -> None:
        unknown = sorted(record.keys() - {feature.name for feature in self.features})
        if unknown:
            raise RiskFieldError(unknown[0], f"the model {self.name} reads no such field")


@dataclass(frozen=True)
class RiskScore:
    """What is said of one borrower.

    Attributes:
        score: the points.
        basis_points: probability of a payment default, 1 to 9999.
        band: 1 for the lowest risk.
        reasons: codes of what adds most above the average borrower, most first, at most REASON_COUNT_MAX.
        missing: the features that the record lacks; each was counted as its worst.
    """

    score: int
    basis_points: int
    band: int
    reasons: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Scorecard(RiskModel):
    """A model whose score is a sum of points, one whole number for each feature.

    Attributes:
        base_points: what every borrower starts from.
        points: of each feature, of each bin.
        average_points: of each feature, those of the average borrower; reasons are told against them.
    """

    base_points: int
    points: tuple[tuple[int, ...], ...]
    average_points: tuple[int, ...]

    def score(self, record: Record) -> RiskScore:
        """Scores one record.

        Raises:
            RiskFieldError: a value cannot be read, or the model reads no such field.
        """
        bins = self.find_bins(record)
        points = [table[place] for table, place in zip(self.points, bins, strict=True)]
        score = self.base_points + sum(points)
        basis_points = self.calibration.find(score)
        return RiskScore(
            score=score,
            basis_points=basis_points,
            band=self.find_band(basis_points),
            reasons=self.find_reasons(points),
            missing=self.find_missing(record),
        )

    def find_reasons(self, points: Sequence[int]) -> tuple[str, ...]:
        """Returns the reason codes that add most above the average borrower, most first."""
        excess: Counter[str] = Counter()
        for feature, given, average in zip(self.features, points, self.average_points, strict=True):
            excess[feature.reason] += given - average
        # Ties are told by name, so that equal records are told equal reasons.
        found = sorted((-count, reason) for reason, count in excess.items() if count > 0)
        return tuple(reason for _, reason in found[:REASON_COUNT_MAX])


def _is_missing(value: Value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
