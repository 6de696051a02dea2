"""The definition of quantise, score and select."""

from __future__ import annotations

import numpy as np
import pytest

from index import reference
from index.errors import VectorValueError


def test_quantise_rounds_half_to_even() -> None:
    vectors = np.array([0.5, 1.5, 2.5, -0.5, -1.5], np.float32)
    assert reference.quantise(vectors, 1.0).tolist() == [0, 2, 2, 0, -2]


def test_quantise_saturates_symmetrically_and_counts() -> None:
    vectors = np.array([2.0, -2.0, 1.0, -1.0], np.float32)
    assert reference.quantise(vectors, 32767.0).tolist() == [32767, -32767, 32767, -32767]
    assert reference.count_saturated(vectors, 32767.0) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_quantise_refuses_values_that_are_not_finite(value: float) -> None:
    with pytest.raises(VectorValueError, match="1 of 2 values are NaN or infinite"):
        reference.quantise(np.array([0.0, value], np.float32), 1.0)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_quantise_refuses_a_scale_that_is_not_positive(scale: float) -> None:
    with pytest.raises(VectorValueError, match="scale is"):
        reference.quantise(np.zeros(2, np.float32), scale)


def test_score_does_not_overflow() -> None:
    extreme = np.full(4096, -32768, np.int16)
    assert reference.score(extreme, extreme[None, :]).tolist() == [4096 * 2**30]


def test_select_orders_by_score_then_rank() -> None:
    scores = np.array([5, 9, 5, 9], np.int64)
    ranks = np.array([3, 2, 1, 0], np.int64)
    assert reference.select(scores, ranks, 3).tolist() == [3, 1, 2]


@pytest.mark.parametrize("k", [0, 1, 7])
def test_select_returns_no_more_than_there_are(k: int) -> None:
    assert len(reference.select(np.zeros(3, np.int64), np.arange(3), k)) == min(k, 3)
    assert len(reference.select(np.zeros(0, np.int64), np.arange(0), k)) == 0


def test_ids_are_ranked_by_their_utf8_bytes() -> None:
    # As UTF-16, U+1F600 would sort before U+FF21; as UTF-8 it sorts after it.
    assert reference.rank_ids(["b", "\U0001f600", "\uff21", "a", "B"]).tolist() == [2, 4, 3, 1, 0]


def test_item_scale_uses_the_whole_range() -> None:
    vectors = np.array([[0.25, -0.5]], np.float32)
    assert reference.quantise(vectors, reference.item_scale_for(vectors)).min() == -32767
    assert reference.item_scale_for(np.zeros((2, 2), np.float32)) == 32767.0


def test_user_scale_leaves_headroom_unless_vectors_have_unit_length() -> None:
    vectors = np.array([[2.0, 0.0]], np.float32)
    assert reference.user_scale_for(vectors, unit_length=False) == 32767 / 8
    assert reference.user_scale_for(vectors, unit_length=True) == 32767.0
