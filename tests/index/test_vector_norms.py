"""A few vectors far longer than the others are found and named; ordinary popularity passes."""

from __future__ import annotations

import numpy as np
import pytest

from index.vector_norms import describe_overlong, measure_norms

IDS = [f"p{row}" for row in range(5000)]


def test_norms_are_euclidean_and_do_not_overflow() -> None:
    assert measure_norms(np.array([[3, 4], [0, 0]], np.int16)).tolist() == [5.0, 0.0]
    extreme = np.full((1, 4), -(2**31), np.int32)
    assert measure_norms(extreme).tolist() == [2.0**32]


@pytest.mark.parametrize("count", [2, 3, 60, 99, 100, 101, 5000])
def test_one_vector_more_than_ten_times_the_percentile_is_found_in_any_catalogue(count: int) -> None:
    norms = np.ones(count)
    norms[1] = 10.0
    assert describe_overlong(norms, IDS) is None
    norms[1] = 10.01
    found = describe_overlong(norms, IDS)
    assert found is not None
    assert found.startswith(f"1 of {count} vectors are too long: 'p1' has norm 10.01; expected at most 10, ")


def test_an_issuer_with_many_products_is_found_by_the_median() -> None:
    norms = np.ones(1000)
    norms[:200] = np.linspace(102, 101, 200)
    found = describe_overlong(norms, IDS)
    assert found is not None
    assert "200 of 1000 vectors are too long: 'p0' has norm 102, 'p1' has norm" in found
    assert " and 197 more; expected at most 100" in found


@pytest.mark.parametrize("norms", [np.zeros(7), np.zeros(0), np.full(1, 1e9)])
def test_zeros_one_product_and_none_pass(norms: np.ndarray) -> None:
    assert describe_overlong(norms, IDS) is None


def test_zero_vectors_do_not_make_the_others_look_long() -> None:
    norms = np.zeros(806)
    norms[:9] = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert describe_overlong(norms, IDS) is None


@pytest.mark.parametrize("count", [806, 2600])
@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_popularity_over_six_orders_of_magnitude_passes(count: int, temperature: float) -> None:
    """As the two towers have it: a unit vector, and the log of the product's share at a temperature."""
    share = np.geomspace(1e-7, 1e-1, count)
    assert describe_overlong(np.sqrt(1 + (temperature * np.log(share)) ** 2), IDS) is None


def test_factors_that_follow_a_power_of_popularity_pass() -> None:
    """As matrix factorisation has it: length grows with what was seen of a product; most were hardly seen."""
    interactions = 50_000 / np.arange(1, 807)
    norms = 0.8 * interactions / (interactions + 2_000)
    assert norms.max() > 10 * np.median(norms)
    assert describe_overlong(norms, IDS) is None
