"""Bins of a borrower's record: what sits exactly on a threshold, what is missing, and what is no value."""

import math

import numpy as np
import pytest

from index.errors import RiskFieldError
from index.risk_bins import CategoryBins, NumberBins

LIMIT = NumberBins("limit", "RSK_LIMIT", (-5.0, 0.0, 0.1, 20_000.0), missing_bin=1)
SCHOOL = CategoryBins("school", "RSK_SCHOOL", {"1": 0, "2": 1, "3": 1}, missing_bin=1, unseen_bin=0)


@pytest.mark.parametrize(("place", "edge"), list(enumerate(LIMIT.edges)))
def test_an_edge_begins_the_next_bin_and_one_ulp_below_does_not(place: int, edge: float) -> None:
    values = (math.nextafter(edge, -math.inf), edge, math.nextafter(edge, math.inf))
    assert [LIMIT.find(value) for value in values] == [place, place + 1, place + 1]


def test_bins_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0, 1e4, 500), np.array(LIMIT.edges)])
    expected = np.searchsorted(LIMIT.edges, values, side="right")
    assert [LIMIT.find(value) for value in values.tolist()] == expected.tolist()


@pytest.mark.parametrize(("value", "expected"), [(-0.0, 2), (0, 2), (20_000, 4), (19_999, 3), (10**17, 4)])
def test_whole_numbers_and_minus_zero_fall_where_their_value_is(value: float, expected: int) -> None:
    assert LIMIT.find(value) == expected


@pytest.mark.parametrize("value", [None, math.nan])
def test_none_and_nan_are_missing(value: float | None) -> None:
    assert LIMIT.find(value) == LIMIT.missing_bin


def test_a_category_is_found_unseen_or_missing() -> None:
    assert [SCHOOL.find(value) for value in ("1", "3", "four", "", None)] == [0, 1, 0, 0, 1]


@pytest.mark.parametrize("value", [True, "20000", math.inf, -math.inf, 10**400])
def test_what_is_no_finite_number_is_refused_by_field_and_not_repeated(value: float | str) -> None:
    with pytest.raises(RiskFieldError, match=r"^limit: expected a ") as caught:
        LIMIT.find(value)
    assert caught.value.field == "limit"
    assert "20000" not in str(caught.value)


@pytest.mark.parametrize("value", [1, 2.0, True])
def test_a_number_is_no_category(value: float) -> None:
    with pytest.raises(RiskFieldError, match=r"^school: expected a text, got"):
        SCHOOL.find(value)


def test_bins_are_counted() -> None:
    assert (LIMIT.bin_count, SCHOOL.bin_count) == (5, 2)
