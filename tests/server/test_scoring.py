"""The order of a list equals the plain definition, also where only the best few are sorted."""

import numpy as np
import pytest

from index import reference
from server.scoring import Scorer


@pytest.mark.parametrize("k", [1, 2, 7])
@pytest.mark.parametrize("score_count", [1, 2, 1000])
def test_order_equals_the_definition_among_many_equal_scores(k: int, score_count: int) -> None:
    random = np.random.default_rng(20261122)
    id_rank = random.permutation(101).astype(np.int64)
    scorer = Scorer(np.zeros((101, 1), np.int32), id_rank, user_scale=1.0, item_scale=1.0)
    for count in (0, 1, 4 * k, 4 * k + 1, 97):
        rows = random.permutation(101)[:count].astype(np.int64)
        scores = random.integers(-score_count, score_count, count)
        expected = reference.select(scores, id_rank[rows], k)
        assert scorer.order(rows, scores, k).tolist() == expected.tolist()
