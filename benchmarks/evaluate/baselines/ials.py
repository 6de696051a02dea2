"""iALS: factorisation for implicit feedback by alternating least squares, of the library `implicit`."""

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.evaluate.baselines.observed import FloatArray, IntArray, Observed


class Ials:
    """Factorises by weighted squares over all pairs, observed ones weighing alpha.

    Source: Hu, Koren and Volinsky 2008, Collaborative Filtering for Implicit Feedback Datasets.
    """

    def __init__(
        self, *, dim: int = 64, alpha: float = 10.0, l2: float = 1.0, iterations: int = 15, seed: int = 1
    ) -> None:
        self._dim = dim
        self._alpha = alpha
        self._l2 = l2
        self._iterations = iterations
        self._seed = seed

    def fit(self, observed: Observed) -> None:
        """Alternates between users and products."""
        # The library warns of, and is slowed by, a linear algebra that runs threads of its own.
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=self._dim,
                regularization=self._l2,
                alpha=self._alpha,
                iterations=self._iterations,
                num_threads=1,
                random_state=self._seed,
            )
            model.fit(sparse.csr_matrix(observed.pairs, dtype=np.float32), show_progress=False)
        self._users = np.asarray(model.user_factors, np.float64)  # [users, dim]
        self._products = np.asarray(model.item_factors, np.float64)  # [products, dim]

    def score(self, user_rows: IntArray) -> FloatArray:
        """Multiplies the factors."""
        scores: FloatArray = self._users[user_rows] @ self._products.T
        return scores
