"""The class of market risk of a product: volatility from prices, and the European table."""

import json
from datetime import date, timedelta

import numpy as np
import pytest

from training.product_risk import (
    CLASS_LIMITS_BPS,
    RETURN_COUNT_MIN,
    TRADING_DAYS,
    collect_prices,
    compute_risk,
    measure_volatility,
)

UNTIL = date(2022, 11, 29)


def _prices(yearly: float, count: int = 1_000, seed: int = 1) -> dict[date, float]:
    """Draws prices of a normal market with a volatility a year; the sample has exactly that deviation."""
    drawn = np.random.default_rng(seed).normal(size=count)
    drawn = (drawn - drawn.mean()) / drawn.std()
    values = 100.0 * np.exp(np.cumsum(drawn * yearly / TRADING_DAYS**0.5))
    return {UNTIL - timedelta(days=count - 1 - place): float(value) for place, value in enumerate(values)}


@pytest.mark.parametrize("yearly", [0.002, 0.03, 0.1, 0.15, 0.25, 0.5, 1.2])
def test_in_a_normal_market_the_equivalent_volatility_is_the_volatility(yearly: float) -> None:
    returns = np.diff(np.log(list(_prices(yearly).values())))
    # The sample has some skewness by chance, and the 3.842 of the formula is not quite 1.96 squared.
    assert measure_volatility(returns) == pytest.approx(yearly, rel=0.02, abs=2e-4)


@pytest.mark.parametrize(
    ("yearly", "risk_class"), [(0.002, 1), (0.03, 2), (0.1, 3), (0.15, 4), (0.25, 5), (0.5, 6), (1.2, 7)]
)
def test_every_class_of_the_table_is_reached(yearly: float, risk_class: int) -> None:
    found = compute_risk(_prices(yearly), UNTIL)
    assert found is not None
    assert found.risk_class == risk_class
    limits = (0, *CLASS_LIMITS_BPS, 10**6)
    assert limits[risk_class - 1] <= found.volatility_bps < limits[risk_class]


def test_prices_that_never_move_are_of_the_lowest_class() -> None:
    days = {UNTIL - timedelta(days=place): 7.0 for place in range(600)}
    found = compute_risk(days, UNTIL)
    assert found is not None
    assert (found.risk_class, found.volatility_bps, found.return_count) == (1, 0, 599)


def test_a_crash_counts_for_more_than_its_deviation() -> None:
    calm = np.diff(np.log(list(_prices(0.1).values())))
    crash = calm.copy()
    crash[500] = -0.35
    boom = calm.copy()
    boom[500] = 0.35
    assert measure_volatility(crash) > measure_volatility(boom) > measure_volatility(calm)


def test_too_few_or_too_old_prices_give_no_class() -> None:
    assert compute_risk(_prices(0.1, RETURN_COUNT_MIN), UNTIL) is None
    assert compute_risk(_prices(0.1, RETURN_COUNT_MIN + 1), UNTIL) is not None
    assert compute_risk(_prices(0.1), UNTIL - timedelta(days=900)) is None
    assert compute_risk(_prices(0.1), date(2030, 1, 1)) is None
    assert compute_risk({}, date(2024, 2, 29)) is None


def test_the_inputs_say_what_was_looked_at() -> None:
    found = compute_risk(_prices(0.25), UNTIL)
    assert found is not None
    assert json.loads(found.inputs()) == {
        "volatility_bps": found.volatility_bps,
        "return_count": 999,
        "first_day": "2020-03-05",
        "last_day": "2022-11-29",
    }


def test_rows_without_a_sound_price_are_left_out_and_counted() -> None:
    rows = [("a", "2022-01-03", "1.5"), ("a", "2022-01-03", "2.5"), ("b", "2022-01-03", "3")]
    odd = [
        ("a", "2022-01-04", "0"),
        ("a", "2022-01-04", "nan"),
        ("a", "soon", "1"),
        (None, "2022-01-04", "1"),
    ]
    odd += [("a", "2022-01-04", "inf"), ("a", "2022-01-04", None), ("a", "2022-01-04", "-1")]
    prices, odd_count = collect_prices([*rows, *odd])
    assert prices == {"a": {date(2022, 1, 3): 2.5}, "b": {date(2022, 1, 3): 3.0}}
    assert odd_count == len(odd)
