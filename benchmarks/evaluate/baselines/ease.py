"""EASE: the linear model between products that has a closed form."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.baselines.observed import FloatArray, IntArray, Observed

PRODUCT_COUNT_LIMIT = 25_000  # The inverse takes products^2 * 8 bytes three times over: 15 GB.


class Ease:
    """Predicts a user's row from itself, the diagonal of the weights held at zero.

    Source: Steck 2019, Embarrassingly Shallow Autoencoders for Sparse Data, eq. 8.
    """

    def __init__(self, *, l2: float = 1000.0) -> None:
        self._l2 = l2

    def fit(self, observed: Observed) -> None:
        """Inverts the regularised Gram matrix.

        Raises:
            BenchmarkInputError: there are too many products for an inverse.
        """
        count = len(observed.product_ids)
        if count > PRODUCT_COUNT_LIMIT:
            raise BenchmarkInputError(
                f"EASE inverts a matrix of {PRODUCT_COUNT_LIMIT} products at most, got {count}"
            )
        self._pairs = observed.pairs
        gram = (observed.pairs.T @ observed.pairs).toarray()  # [products, products]
        gram[np.diag_indices(count)] += self._l2
        inverse: NDArray[np.float64] = np.linalg.inv(gram)
        self._weights = inverse / -np.diag(inverse)[None, :]
        np.fill_diagonal(self._weights, 0.0)

    def score(self, user_rows: IntArray) -> FloatArray:
        """Multiplies the users' rows with the weights."""
        scores: FloatArray = self._pairs[user_rows] @ self._weights
        return scores
