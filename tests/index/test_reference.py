"""The definition of quantise, score, select and scan."""

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
    limit = reference.STEP_LIMIT
    assert reference.quantise(vectors, float(limit)).tolist() == [limit, -limit, limit, -limit]
    assert reference.count_saturated(vectors, float(limit)) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_quantise_refuses_values_that_are_not_finite(value: float) -> None:
    with pytest.raises(VectorValueError, match="1 of 2 values are NaN or infinite"):
        reference.quantise(np.array([0.0, value], np.float32), 1.0)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_quantise_refuses_a_scale_that_is_not_positive(scale: float) -> None:
    with pytest.raises(VectorValueError, match="scale is"):
        reference.quantise(np.zeros(2, np.float32), scale)


def test_score_does_not_overflow() -> None:
    extreme = np.full(4096, reference.STEP_LIMIT, np.int32)
    both = np.stack([extreme, -extreme])
    assert reference.score(extreme, both).tolist() == [4096 * (2**23 - 1) ** 2, -4096 * (2**23 - 1) ** 2]


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


def test_every_step_is_a_float32() -> None:
    steps = np.array([reference.STEP_LIMIT, reference.STEP_LIMIT - 1, -reference.STEP_LIMIT], np.int32)
    assert steps.astype(np.float32).astype(np.int32).tolist() == steps.tolist()


def test_item_scale_leaves_half_of_the_range_to_products_added_later() -> None:
    vectors = np.array([[0.25, -0.5]], np.float32)
    scale = reference.item_scale_for(vectors)
    assert reference.quantise(vectors, scale).tolist() == [[2**21, -(2**22)]]
    assert reference.count_saturated(2 * vectors, scale) == 0
    assert reference.count_saturated(np.float32(2.01) * vectors, scale) == 1
    assert reference.item_scale_for(np.zeros((2, 2), np.float32)) == reference.STEP_LIMIT


def test_user_scale_leaves_headroom_unless_vectors_have_unit_length() -> None:
    vectors = np.array([[2.0, 0.0]], np.float32)
    assert reference.user_scale_for(vectors, unit_length=False) == reference.STEP_LIMIT / 8
    assert reference.user_scale_for(vectors, unit_length=True) == reference.STEP_LIMIT


def test_narrow_uses_the_whole_range_of_each_query() -> None:
    queries = np.array([[100, -50, 0], [-32767, 1, 129], [-(2**31), 2**31 - 1, 0], [0, 0, 0]], np.int32)
    expected = [[127, -64, 0], [-127, 0, 0], [-127, 127, 0], [0, 0, 0]]
    assert reference.narrow(queries).tolist() == expected
    assert [reference.narrow(query).tolist() for query in queries] == expected
    assert reference.narrow(queries).dtype == np.int8


def test_narrow_rounds_half_to_even() -> None:
    # The largest component is twice 127, so an odd one ends in a half.
    assert reference.narrow(np.array([254, 1, 3, 5, -1, -3], np.int32)).tolist() == [127, 0, 2, 2, 0, -2]


@pytest.mark.parametrize("dim", [0, 1])
def test_narrow_takes_the_shortest_queries(dim: int) -> None:
    assert reference.narrow(np.full(dim, -7, np.int32)).tolist() == [-127] * dim
    assert reference.narrow(np.zeros((0, dim), np.int32)).shape == (0, dim)


def test_scan_orders_by_score_then_row_within_each_range() -> None:
    items = np.array([[1], [3], [2], [3], [1]], np.int8)
    users = np.array([[1], [-1], [1]], np.int8)
    rows, scores = reference.scan(users, items, np.array([0, 1, 2]), np.array([5, 5, 2]), None, 3)
    assert rows.tolist() == [[1, 3, 2], [4, 2, 1], [-1, -1, -1]]
    assert scores.tolist() == [[3, 3, 2], [-1, -2, -3], [0, 0, 0]]


def test_scan_sees_only_the_rows_of_a_bitmap() -> None:
    items = np.arange(10, dtype=np.int8)[:, None]
    users = np.ones((2, 1), np.int8)
    bitmap = np.packbits([0, 1, 0, 0, 1, 0, 0, 0, 1, 0], bitorder="little")
    rows, scores = reference.scan(users, items, np.zeros(2, int), np.array([10, 8]), [None, bitmap], 3)
    assert rows.tolist() == [[9, 8, 7], [4, 1, -1]]
    assert scores.tolist() == [[9, 8, 7], [4, 1, 0]]


def test_scan_does_not_overflow() -> None:
    items = np.full((1, 1000), -128, np.int8)
    assert reference.scan(items, items, np.array([0]), np.array([1]), None, 1)[1].tolist() == [[1000 * 2**14]]
