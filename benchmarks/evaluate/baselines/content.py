"""Content-based: products whose attributes are like those of what the user has."""

import numpy as np
from scipy import sparse

from benchmarks.evaluate.baselines.observed import FloatArray, IntArray, Observed


class Content:
    """Scores a product by its mean cosine with the user's products, attributes weighted by their rarity.

    An attribute that n of P products have weighs log(P / n).
    """

    def fit(self, observed: Observed) -> None:
        """Weighs the attributes and gives every product's vector unit length."""
        attributes = observed.attributes
        holders = np.asarray(attributes.sum(axis=0), np.float64)  # [attributes]
        rarity = np.log(attributes.shape[0] / np.maximum(holders, 1.0))
        weighted = attributes * rarity[None, :]
        length = np.sqrt(np.asarray((weighted * weighted).sum(axis=1), np.float64))  # [products]
        scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
        self._content = sparse.csr_array(weighted * scale[:, None])  # [products, attributes]
        self._pairs = observed.pairs
        self._counts = np.maximum(np.asarray(observed.pairs.sum(axis=1), np.float64), 1.0)  # [users]

    def score(self, user_rows: IntArray) -> FloatArray:
        """Compares every product with the mean of what the user has."""
        taste = self._pairs[user_rows] @ self._content  # [b, attributes]
        scores: FloatArray = (taste @ self._content.T).toarray() / self._counts[user_rows][:, None]
        return scores
