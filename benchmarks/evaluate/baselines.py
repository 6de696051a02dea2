"""Baselines that stand beside the models in every table."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.evaluate.temporal import Scores


class PopularityScorer:
    """Scores a product by the number of users who own it; the same list for everybody."""

    def __init__(self, owned: Mapping[str, frozenset[str]]) -> None:
        """Counts owners.

        Args:
            owned: for each user the products owned before the time point.
        """
        self._owner_counts = Counter(product for products in owned.values() for product in products)

    def score(self, user_ids: Sequence[str], product_ids: Sequence[str]) -> Scores:
        """Returns owner counts, int64 [users, products]."""
        counts = np.array(
            [self._owner_counts[product] for product in product_ids], dtype=np.int64
        )  # [products]
        return np.tile(counts, (len(user_ids), 1))
