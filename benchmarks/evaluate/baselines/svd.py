"""Truncated SVD of the matrix of pairs (PureSVD)."""

import numpy as np
from scipy.sparse.linalg import svds

from benchmarks.evaluate.baselines.observed import FloatArray, IntArray, Observed


class Svd:
    """Projects a user's row onto the leading right singular vectors and back.

    Source: Cremonesi, Koren and Turrin 2010, PureSVD.
    """

    def __init__(self, *, dim: int = 64) -> None:
        self._dim = dim

    def fit(self, observed: Observed) -> None:
        """Finds the leading right singular vectors."""
        self._pairs = observed.pairs
        smaller = min(observed.pairs.shape)
        if smaller <= 2 * self._dim:
            # The iteration needs room around the wanted vectors; such a matrix is small enough to decompose.
            right = np.linalg.svd(observed.pairs.toarray(), full_matrices=False)[2][: self._dim]
        else:
            # A fixed start makes the iteration, and so the result, the same every time.
            right = svds(observed.pairs, k=self._dim, v0=np.ones(smaller))[2]
        self._factor = right.T  # [products, dim]

    def score(self, user_rows: IntArray) -> FloatArray:
        """Projects the users' rows."""
        scores: FloatArray = (self._pairs[user_rows] @ self._factor) @ self._factor.T
        return scores
