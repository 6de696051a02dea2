"""A blend of two scorers: alpha1 * collaborative + alpha2 * content."""

import numpy as np

from benchmarks.evaluate.baselines.observed import Baseline, FloatArray, IntArray, Observed


class Blend:
    """Adds two scorers' scores, each scaled so that a user's largest is 1.

    Without the scaling the weights would say more about the scorers' units than about the scorers.
    """

    def __init__(
        self, first: Baseline, second: Baseline, *, alpha1: float = 0.8, alpha2: float = 0.2
    ) -> None:
        self._parts = ((alpha1, first), (alpha2, second))

    def fit(self, observed: Observed) -> None:
        """Lets both learn."""
        for _, part in self._parts:
            part.fit(observed)

    def score(self, user_rows: IntArray) -> FloatArray:
        """Adds both."""
        return sum(
            (alpha * _scale(part.score(user_rows)) for alpha, part in self._parts), start=np.zeros((1, 1))
        )


def _scale(scores: FloatArray) -> FloatArray:
    largest = np.abs(scores).max(axis=1, initial=0.0, keepdims=True)  # [b, 1]
    scaled: FloatArray = scores / np.where(largest > 0, largest, 1.0)
    return scaled
