"""The ranking metrics against values worked out by hand."""

import math

import numpy as np
import pytest

from benchmarks.errors import ScoreValueError
from benchmarks.evaluate.metrics import NO_CANDIDATE, Ranked, rank


def rank_one(scores: list[float], relevant: list[int], *, k: int, test_count: int | None = None) -> Ranked:
    """Ranks one user's list."""
    places = np.array(relevant, np.int64)
    counts = np.array([test_count or len(relevant)], np.int64)
    return rank(np.array([scores], np.float64), np.zeros(len(relevant), np.int64), places, counts, k)


def test_constant_scores_give_a_hit_rate_of_a_tenth_among_a_hundred() -> None:
    ranked = rank_one([0.5] * 100, [42], k=10)
    assert ranked.recall[0] == pytest.approx(0.10)
    # Each of the ten ranks has chance 1 / 100.
    expected = sum(1 / math.log2(place + 2) for place in range(10)) / 100
    assert ranked.ndcg[0] == pytest.approx(expected)


def test_a_tie_across_the_last_rank_counts_in_part() -> None:
    # One product above; the positive shares ranks 2, 3 and 4 with two others, and two of them are shown.
    ranked = rank_one([9, 5, 5, 5, 1], [2], k=3)
    assert ranked.recall[0] == pytest.approx(2 / 3)
    assert ranked.ndcg[0] == pytest.approx((1 / math.log2(3) + 1 / math.log2(4)) / 3)


def test_recall_divides_by_all_relevant_products() -> None:
    # Two of three relevant products are in the list; the third is no candidate at all.
    assert rank_one([3, 2, 1], [0, 2], k=3, test_count=3).recall[0] == pytest.approx(2 / 3)


def test_ndcg_of_a_perfect_list_is_one_when_fewer_are_relevant_than_k() -> None:
    assert rank_one([9, 8, 1, 0], [0, 1], k=3).ndcg[0] == pytest.approx(1.0)


def test_ndcg_cuts_the_ideal_at_k_when_more_are_relevant_than_k() -> None:
    assert rank_one([9, 8, 7], [0, 1, 2], k=2).ndcg[0] == pytest.approx(1.0)
    assert rank_one([9, 8, 7], [0, 1, 2], k=2).recall[0] == pytest.approx(2 / 3)


def test_ndcg_discounts_by_the_logarithm_of_the_rank() -> None:
    # Gain at rank 2 only: 1 / log2(3); the ideal has ranks 1 and 2: 1 + 1 / log2(3).
    expected = (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    assert rank_one([9, 8, 0], [1, 2], k=2).ndcg[0] == pytest.approx(expected)


def test_a_relevant_product_that_is_no_candidate_is_never_found() -> None:
    ranked = rank_one([1.0, NO_CANDIDATE, NO_CANDIDATE], [1], k=3)
    assert ranked.recall[0] == 0.0


def test_nobody_is_compared_with_what_is_no_candidate() -> None:
    assert rank_one([NO_CANDIDATE, -5.0, NO_CANDIDATE], [1], k=1).recall[0] == 1.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ScoreValueError, match="1 of 3 scores"):
        rank_one([1.0, bad, 2.0], [0], k=2)


def test_random_orders_of_ties_average_to_the_expectation() -> None:
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 4, 30).astype(np.float64)
    relevant = [2, 11, 17]
    expected = rank_one(list(scores), relevant, k=7)
    drawn = [rank_one(list(scores + rng.random(30) * 0.5), relevant, k=7) for _ in range(4000)]
    # Four standard errors of a mean of 4,000 values that lie in [0, 1].
    assert np.mean([one.ndcg[0] for one in drawn]) == pytest.approx(expected.ndcg[0], abs=0.03)
    assert np.mean([one.recall[0] for one in drawn]) == pytest.approx(expected.recall[0], abs=0.03)
