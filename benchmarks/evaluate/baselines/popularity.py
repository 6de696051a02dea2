"""Most popular: a product's score is the number of users who have it; the same list for everybody."""

import numpy as np

from benchmarks.evaluate.baselines.observed import FloatArray, IntArray, Observed


class Popularity:
    """Counts owners."""

    def fit(self, observed: Observed) -> None:
        """Counts the users of each product."""
        self._counts = np.asarray(observed.pairs.sum(axis=0), np.float64)  # [products]

    def score(self, user_rows: IntArray) -> FloatArray:
        """Returns the counts for every user."""
        return np.tile(self._counts, (len(user_rows), 1))
