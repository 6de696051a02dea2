"""Coverage, evenness and variety of lists against values worked out by hand."""

import math

import numpy as np
import pytest

from benchmarks.report.exposure import count_kinds, discount, gini, measure_diversity, measure_exposure


def test_exposure_is_what_the_rank_is_worth() -> None:
    exposure = measure_exposure(np.array([[0, 2], [2, -1]]), 3)
    assert exposure.tolist() == pytest.approx([1.0, 0.0, 1.0 + 1 / math.log2(3)])


def test_lists_of_nothing_expose_nothing() -> None:
    assert measure_exposure(np.full((2, 3), -1), 2).tolist() == [0.0, 0.0]
    assert measure_exposure(np.zeros((0, 3), np.int64), 2).tolist() == [0.0, 0.0]


def test_discounts_fall_as_those_of_ndcg() -> None:
    assert discount(3).tolist() == pytest.approx([1.0, 1 / math.log2(3), 0.5])


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ([1.0, 1.0, 1.0], 0.0),
        ([0.0, 0.0, 0.0, 8.0], 0.75),  # One of n has everything: (n - 1) / n.
        ([3.0, 1.0], 0.25),  # (-1 * 1 + 1 * 3) / (2 * 4).
        ([0.0, 0.0], 0.0),
        ([5.0], 0.0),
    ],
)
def test_gini_measures_unevenness(amounts: list[float], expected: float) -> None:
    assert gini(np.array(amounts)) == pytest.approx(expected)


def test_diversity_is_the_mean_distance_of_two_products() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0]], np.int32)
    # Pairs 0-1 and 1-2 are unlike, 0-2 are alike: distances 1, 1 and 0.
    assert measure_diversity(np.array([[0, 1, 2]]), vectors)[0] == pytest.approx(2 / 3)


def test_a_list_of_one_has_no_diversity() -> None:
    assert np.isnan(measure_diversity(np.array([[1, -1], [-1, -1]]), np.eye(2, dtype=np.int32))).all()


def test_kinds_are_counted_once_in_each_list() -> None:
    assert count_kinds(np.array([[0, 1, 2], [2, -1, -1]]), ["a", "b", "a"]).tolist() == [2, 1]
