"""Exact scores in integers, and the order of a list; `index.reference` is the definition."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from index import reference
from server import large_pages, native

Rows = NDArray[np.int64]
Vector = NDArray[np.int32]


class Scorer:
    """Scores rows of one bundle for quantised user vectors."""

    def __init__(
        self,
        item_vectors: NDArray[np.int32],
        id_rank: Rows,
        *,
        user_scale: float,
        item_scale: float,
    ) -> None:
        """Copies the bundle's matrix to where rows are read fast, each from another place.

        Args:
            item_vectors: int32 [product_count, dim]; the last column carries popularity.
            id_rank: int64 [product_count], position of each product_id in ascending byte order.
            user_scale: integer steps per unit of a user vector.
            item_scale: integer steps per unit of an item vector.
        """
        self._item_vectors = large_pages.copy(item_vectors)
        self._id_rank = np.ascontiguousarray(id_rank, dtype=np.int64)
        self._user_scale = user_scale
        self._item_scale = item_scale

    def quantise(self, vectors: NDArray[np.float32]) -> NDArray[np.int32]:
        """Turns finite user vectors, float32 [batch, dim], into int32 [batch, dim]."""
        return reference.quantise(vectors, self._user_scale)

    def query_for_row(self, row: int) -> Vector:
        """Returns a product's own vector on the user scale, int32 [dim]: the query for products like it.

        Popularity's component is zero here, which leaves it out: two products that few people know are not
        alike for that, and two low values multiplied would outweigh all else.
        """
        vector = self._item_vectors[row].astype(np.float32) / np.float32(self._item_scale)
        vector[-1] = 0.0
        return reference.quantise(vector, self._user_scale)

    def query_for_popularity(self) -> Vector:
        """Returns the query of nobody in particular, int32 [dim]: scores are popularity alone."""
        vector = np.zeros(self._item_vectors.shape[1], np.float32)
        vector[-1] = 1.0
        return reference.quantise(vector, self._user_scale)

    @cached_property
    def rows_by_popularity(self) -> Rows:
        """All rows, most popular first, then product_id ascending; sorted when somebody first asks."""
        return np.lexsort((self._id_rank, -self._item_vectors[:, -1]))

    def score(self, vector: Vector, rows: Rows) -> NDArray[np.int64]:
        """Scores rows in the order given, int64 [n]."""
        return native.rescore(vector, self._item_vectors, rows)

    def order(self, rows: Rows, scores: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        """Returns the positions of the best k, best first: score descending, then product_id ascending."""
        return native.select(scores, self._id_rank, k=k, rows=rows)
