"""Item-kNN: products like those that the user has, by the users that two products share."""

import numpy as np
from scipy import sparse

from benchmarks.evaluate.baselines.observed import FloatArray, IntArray, Matrix, Observed

_BLOCK_COUNT = 256  # Products compared with all others at once: 100 MB for 50,000 of them.


class ItemKnn:
    """Scores a product by its similarity with the user's products, of its k nearest neighbours.

    The similarity of two products with n and m users, c of them shared, is c / (sqrt(n m) + shrink).
    Source: Deshpande and Karypis 2004, item-based top-N; shrinkage of Bell and Koren 2007.
    """

    def __init__(self, *, k: int = 300, shrink: float = 100.0) -> None:
        self._k = k
        self._shrink = shrink

    def fit(self, observed: Observed) -> None:
        """Finds each product's nearest neighbours."""
        self._pairs = observed.pairs
        by_product = observed.pairs.T.tocsr()  # [products, users]
        root = np.sqrt(np.asarray(by_product.sum(axis=1), np.float64))  # [products]
        count = by_product.shape[0]
        rows = [
            self._find_neighbours(by_product, root, start, min(start + _BLOCK_COUNT, count))
            for start in range(0, count, _BLOCK_COUNT)
        ]
        self._weights = sparse.vstack(rows).T.tocsr()  # [products had, products scored]

    def score(self, user_rows: IntArray) -> FloatArray:
        """Sums the similarities with what the user has."""
        scores: FloatArray = (self._pairs[user_rows] @ self._weights).toarray()
        return scores

    def _find_neighbours(self, by_product: Matrix, root: FloatArray, start: int, stop: int) -> Matrix:
        shared = (by_product[start:stop] @ by_product.T).toarray()  # [block, products]
        scale = root[start:stop, None] * root[None, :] + self._shrink
        similarity = np.divide(shared, scale, out=np.zeros_like(shared), where=scale > 0)
        similarity[np.arange(stop - start), np.arange(start, stop)] = 0.0
        return keep_largest(similarity, self._k)


def keep_largest(values: FloatArray, k: int) -> Matrix:
    """Keeps the k largest positive values of each row, sparse; values [rows, columns]."""
    k = min(k, values.shape[1])
    columns = np.argpartition(-values, k - 1, axis=1)[:, :k]  # [rows, k]
    kept = np.take_along_axis(values, columns, axis=1)
    rows = np.repeat(np.arange(len(values)), k)
    positive = kept.ravel() > 0
    entries = (kept.ravel()[positive], (rows[positive], columns.ravel()[positive]))
    return sparse.csr_array(entries, shape=values.shape)
