"""User-kNN: what the users most like this one have, blended with what everybody has."""

from typing import Literal

import numpy as np

from benchmarks.evaluate.baselines.item_knn import keep_largest
from benchmarks.evaluate.baselines.observed import FloatArray, IntArray, Matrix, Observed

Similarity = Literal["cosine", "pearson"]


class UserKnn:
    """Scores a product by alpha * the neighbours' weighted share that has it + beta * the share of all users.

    Cosine of two users with n and m products, c of them shared, is c / sqrt(n m); Pearson's correlation over
    P products is (c - n m / P) / sqrt(n (1 - n / P) m (1 - m / P)). Neighbours are the k users of largest
    positive similarity.
    Source: Herlocker et al. 1999, neighbourhoods of users.
    """

    def __init__(
        self, similarity: Similarity = "cosine", *, k: int = 100, alpha: float = 1.0, beta: float = 0.1
    ) -> None:
        self._similarity = similarity
        self._k = k
        self._alpha = alpha
        self._beta = beta

    def fit(self, observed: Observed) -> None:
        """Keeps the pairs; neighbours are looked for when a user is scored."""
        self._pairs = observed.pairs
        self._by_product = observed.pairs.T.tocsr()
        self._counts = np.asarray(observed.pairs.sum(axis=1), np.float64)  # [users]
        users = max(1, observed.pairs.shape[0])
        self._mean = np.asarray(observed.pairs.sum(axis=0), np.float64) / users  # [products]

    def score(self, user_rows: IntArray) -> FloatArray:
        """Blends the neighbours' products with everybody's."""
        neighbours = self._find_neighbours(user_rows)  # [b, users]
        total = np.asarray(neighbours.sum(axis=1), np.float64)[:, None]  # [b, 1]
        share = (neighbours @ self._pairs).toarray() / np.where(total > 0, total, 1.0)  # [b, products]
        scores: FloatArray = self._alpha * share + self._beta * self._mean
        return scores

    def _find_neighbours(self, user_rows: IntArray) -> Matrix:
        shared = (self._pairs[user_rows] @ self._by_product).toarray()  # [b, users]
        mine, theirs = self._counts[user_rows][:, None], self._counts[None, :]
        if self._similarity == "pearson":
            products = self._pairs.shape[1]
            shared -= mine * theirs / products
            mine, theirs = mine * (1 - mine / products), theirs * (1 - theirs / products)
        scale = np.sqrt(mine * theirs)
        similarity = np.divide(shared, scale, out=np.zeros_like(shared), where=scale > 0)
        similarity[np.arange(len(user_rows)), user_rows] = 0.0  # Nobody is a neighbour of their own.
        return keep_largest(similarity, self._k)
