"""The ranking metrics against values worked out by hand."""

import math

import numpy as np
import pytest

from benchmarks.evaluate.metrics import mark_hits, ndcg_at_k, recall_at_k


def test_hits_mark_the_ranks_of_relevant_products() -> None:
    hits = mark_hits(["a", "b", "c", "d"], {"b", "d", "z"}, 4)
    assert hits.tolist() == [False, True, False, True]


def test_hits_pad_a_short_list_with_misses() -> None:
    assert mark_hits(["a"], {"a"}, 3).tolist() == [True, False, False]


def test_hits_ignore_what_is_ranked_below_k() -> None:
    assert mark_hits(["a", "b"], {"b"}, 1).tolist() == [False]


def test_recall_divides_by_all_relevant_products() -> None:
    # Two of three relevant products are in the list.
    assert recall_at_k(np.array([True, False, True]), 3) == pytest.approx(2 / 3)


def test_ndcg_of_a_perfect_list_is_one_when_fewer_are_relevant_than_k() -> None:
    assert ndcg_at_k(np.array([True, True, False]), 2) == pytest.approx(1.0)


def test_ndcg_cuts_the_ideal_at_k_when_more_are_relevant_than_k() -> None:
    assert ndcg_at_k(np.array([True, True]), 50) == pytest.approx(1.0)


def test_ndcg_discounts_by_the_logarithm_of_the_rank() -> None:
    # Gain at rank 2 only: 1 / log2(3); the ideal has ranks 1 and 2: 1 + 1 / log2(3).
    expected = (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    assert ndcg_at_k(np.array([False, True, False]), 2) == pytest.approx(expected)
