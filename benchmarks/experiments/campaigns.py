"""Measures campaigns and placements: how often answers are clicked, what is sold, and who comes back."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.evaluate.intervals import Estimate
from benchmarks.experiments.differences import LEVEL, Rate
from benchmarks.experiments.log import CONVERSIONS, DAY_US, Codes, Log

RETENTION_DAYS: Final = (1, 7, 30)
ALL: Final = "all"


@dataclass(frozen=True)
class Kpis:
    """The figures of one campaign, of one placement, or of all answers.

    Attributes:
        name: the tag; "" for answers without one.
        answer_count: answers.
        user_count: users who got them.
        seen_count: products that were seen.
        click_count: products that were clicked.
        sale_count: products that were bought or enrolled in.
        revenue_minor: what that brought, minor units.
        ctr: clicks of what was seen.
        conversion: sales of what was seen.
        retention: by number of days, the share of users who came back on another day, whatever for, at most
            so many days after their first answer of this tag; None where nobody's days are over.
    """

    name: str
    answer_count: int
    user_count: int
    seen_count: int
    click_count: int
    sale_count: int
    revenue_minor: int
    ctr: Estimate
    conversion: Estimate
    retention: dict[int, Estimate | None]


@dataclass(frozen=True)
class Day:
    """What happened on one day: the day's number since 1970 and three rates."""

    day: int
    answer_count: int
    ctr: float
    conversion: float


def measure_tags(log: Log, column: str) -> list[Kpis]:
    """Measures every tag of a column, "campaign" or "placement", the one with the most answers first."""
    tags = np.array(log.answers[column].to_pylist(), np.str_)
    names, counts = np.unique(tags, return_counts=True)
    return [_measure(log, str(name), tags == name) for name in names[np.argsort(-counts, kind="stable")]]


def measure_all(log: Log) -> Kpis:
    """Measures all answers together."""
    return _measure(log, ALL, np.ones(log.answers.num_rows, np.bool_))


def measure_days(log: Log) -> list[Day]:
    """Measures every day, in UTC, by the answers of that day."""
    day_of = log.time_us // DAY_US
    first, count = int(day_of.min()), int(day_of.max() - day_of.min()) + 1

    def count_days(answers: Codes) -> NDArray[np.float64]:
        return np.bincount(day_of[answers] - first, minlength=count).astype(np.float64)

    seen, clicks = count_days(log.seen().answer), count_days(log.distinct(log.is_kind("click")).answer)
    sales = count_days(log.distinct(log.is_kind(*CONVERSIONS)).answer)
    answers = np.bincount(day_of - first, minlength=count)
    with np.errstate(invalid="ignore"):
        rates = [clicks / seen, sales / seen]
    return [
        Day(first + row, int(answers[row]), float(rates[0][row]), float(rates[1][row]))
        for row in range(count)
    ]


def _measure(log: Log, name: str, chosen: NDArray[np.bool_]) -> Kpis:
    users, position = np.unique(log.user[chosen], return_inverse=True)
    place = np.full(int(log.user.max()) + 1, -1, np.int64)
    place[log.user[chosen]] = position

    def count(answers: Codes) -> NDArray[np.float64]:
        kept = answers[chosen[answers]]
        return np.bincount(place[log.user[kept]], minlength=len(users)).astype(np.float64)

    seen, clicks = count(log.seen().answer), count(log.distinct(log.is_kind("click")).answer)
    sales = count(log.distinct(log.is_kind(*CONVERSIONS)).answer)
    return Kpis(
        name=name,
        answer_count=int(np.count_nonzero(chosen)),
        user_count=len(users),
        seen_count=int(seen.sum()),
        click_count=int(clicks.sum()),
        sale_count=int(sales.sum()),
        revenue_minor=int(log.events.revenue[chosen[log.events.answer]].sum()),
        ctr=_estimate(Rate(clicks, seen)),
        conversion=_estimate(Rate(sales, seen)),
        retention={days: _measure_retention(log, chosen, days) for days in RETENTION_DAYS},
    )


def _measure_retention(log: Log, chosen: NDArray[np.bool_], days: int) -> Estimate | None:
    """Measures who came back on another day; users whose days are not over yet are left out."""
    user_total = int(log.user.max()) + 1
    first_us = np.full(user_total, np.iinfo(np.int64).max)
    np.minimum.at(first_us, log.user[chosen], log.time_us[chosen])
    # The last day of the log may not be over.
    eligible = first_us // DAY_US + days < log.end_us // DAY_US
    first_day, day = first_us[log.user] // DAY_US, log.time_us // DAY_US
    came_back = np.zeros(user_total, np.bool_)
    came_back[log.user[(day > first_day) & (day <= first_day + days)]] = True
    total = int(np.count_nonzero(eligible))
    if not total:
        return None
    hits = int(np.count_nonzero(came_back & eligible))
    low, high = stats.binomtest(hits, total).proportion_ci(LEVEL, method="wilson")
    return Estimate(hits / total, float(low), float(high))


def _estimate(rate: Rate) -> Estimate:
    margin = float(stats.norm.ppf((1 + LEVEL) / 2)) * float(np.sqrt(rate.variance))
    return Estimate(rate.value, rate.value - margin, rate.value + margin)
