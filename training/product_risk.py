"""Computes a product's class of market risk from its daily prices, as the European risk indicator does.

The value at risk of the returns at 97.5 %, by the expansion of Cornish and Fisher over a holding period of a
year, becomes the volatility that would give it in a normal market; a table makes a class from 1 to 7 of that.
Credit risk is not looked at, so a class may be too low and never says that a product is safe.

Source: Commission Delegated Regulation (EU) 2017/653, Annex II, Part 1: the classes of point 2, the formulas
    of point 12. Recommended holding periods are not known here: a year of 256 trading days is this project's
    choice, and so are the five years looked at and the 500 returns that are the least.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt

FORMULA: Final = "mrm-cornish-fisher/1"
"""Names formula and choices; another one gets another number."""

CLASS_LIMITS_BPS: Final = (50, 500, 1_200, 2_000, 3_000, 8_000)
"""Volatility a year, in basis points, at which the classes 2 to 7 begin."""
TRADING_DAYS: Final = 256
RETURN_COUNT_MIN: Final = 500
YEARS: Final = 5


@dataclass(frozen=True)
class ComputedRisk:
    """A class with what it was computed from, so that anybody can compute it again."""

    risk_class: int  # 1 to 7
    volatility_bps: int  # VaR-equivalent, a year
    return_count: int
    first_day: date
    last_day: date

    def inputs(self) -> str:
        """Returns what the class was computed from, as JSON text."""
        return json.dumps(
            {
                "volatility_bps": self.volatility_bps,
                "return_count": self.return_count,
                "first_day": self.first_day.isoformat(),
                "last_day": self.last_day.isoformat(),
            },
            sort_keys=True,
        )


def compute_risk(prices: Mapping[date, float], until: date) -> ComputedRisk | None:
    """Computes the class of a product.

    Args:
        prices: closing price by day, positive and finite.
        until: no later day is looked at, nor one more than YEARS before.

    Returns:
        None where fewer than RETURN_COUNT_MIN returns are left.
    """
    first = date(until.year - YEARS, until.month, min(until.day, 28))
    days = sorted(day for day in prices if first <= day <= until)
    if len(days) <= RETURN_COUNT_MIN:
        return None
    returns = np.diff(np.log([prices[day] for day in days]))  # [days - 1]
    volatility = measure_volatility(returns)
    volatility_bps = round(volatility * 10_000)
    return ComputedRisk(
        1 + sum(volatility * 10_000 >= limit for limit in CLASS_LIMITS_BPS),
        volatility_bps,
        len(returns),
        days[0],
        days[-1],
    )


def measure_volatility(returns: npt.NDArray[np.float64]) -> float:
    """Returns the VaR-equivalent volatility a year of daily log returns, float64 [n]."""
    centred = returns - returns.mean()
    deviation = float(np.sqrt(np.mean(centred**2)))
    if deviation == 0.0:
        return 0.0
    skewness = float(np.mean(centred**3)) / deviation**3
    excess = float(np.mean(centred**4)) / deviation**4 - 3.0
    root = TRADING_DAYS**0.5
    quantile = -1.96 + 0.474 * skewness / root - 0.0687 * excess / TRADING_DAYS
    quantile += 0.146 * skewness**2 / TRADING_DAYS
    value_at_risk = deviation * root * quantile - 0.5 * deviation**2 * TRADING_DAYS
    return max(0.0, float(np.sqrt(max(0.0, 3.842 - 2.0 * value_at_risk))) - 1.96)


def collect_prices(rows: Iterable[Sequence[str | None]]) -> tuple[dict[str, dict[date, float]], int]:
    """Collects prices by product and day; the last one of a day counts.

    Args:
        rows: product id, day as YYYY-MM-DD and price, as text.

    Returns:
        the prices, and how many rows were left out because they hold no day or no positive finite price.
    """
    prices: dict[str, dict[date, float]] = {}
    odd_count = 0
    for product_id, day, price in rows:
        try:
            value = float(price or "")
            moment = date.fromisoformat(day or "")
        except ValueError:
            value, moment = 0.0, date.min
        if product_id is None or not 0.0 < value < np.inf:
            odd_count += 1
            continue
        prices.setdefault(product_id, {})[moment] = value
    return prices, odd_count
