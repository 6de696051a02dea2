"""Tests of local days, months and ages: a later day only ever allows more, so the earlier one is taken."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from suitability.calendar_days import (
    add_months,
    age_rounded_down,
    age_rounded_up,
    day_start,
    local_day,
    next_birthday,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")


def test_four_in_the_afternoon_utc_is_the_next_day_in_shanghai():
    assert local_day(datetime(2026, 11, 21, 15, 59, 59, 999999, tzinfo=UTC), SHANGHAI) == date(2026, 11, 21)
    assert local_day(datetime(2026, 11, 21, 16, tzinfo=UTC), SHANGHAI) == date(2026, 11, 22)
    assert day_start(date(2026, 11, 22), SHANGHAI) == datetime(2026, 11, 21, 16, tzinfo=UTC)


def test_an_instant_without_zone_has_no_local_day():
    with pytest.raises(ValueError, match="without time zone"):
        local_day(datetime(2026, 11, 22), SHANGHAI)  # noqa: DTZ001 - naive on purpose.


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2025, 11, 22), 12, date(2026, 11, 22)),
        (date(2025, 8, 31), 6, date(2026, 2, 28)),
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2023, 8, 31), 6, date(2024, 2, 29)),
        (date(2025, 12, 31), 0, date(2025, 12, 31)),
        (date(2025, 11, 30), 1, date(2025, 12, 30)),
        (date(2025, 12, 31), 25, date(2028, 1, 31)),
    ],
)
def test_months_clamp_to_the_months_last_day(day, months, expected):
    assert add_months(day, months) == expected


def test_a_midnight_that_is_skipped_starts_at_the_change():
    # Beirut put its clocks forward from 00:00 to 01:00 on 30 March 2025.
    assert day_start(date(2025, 3, 30), ZoneInfo("Asia/Beirut")) == datetime(2025, 3, 29, 22, tzinfo=UTC)


def test_a_midnight_that_occurs_twice_counts_from_the_first():
    # Havana puts its clocks back from 01:00 to 00:00 on 2 November 2025.
    assert day_start(date(2025, 11, 2), ZoneInfo("America/Havana")) == datetime(2025, 11, 2, 4, tzinfo=UTC)


def test_born_65_years_ago_today_is_65():
    assert age_rounded_up(date(1961, 11, 22), date(2026, 11, 22)) == 65
    assert age_rounded_up(date(1961, 11, 23), date(2026, 11, 22)) == 64


def test_a_leap_day_birth_is_older_from_28_february():
    assert age_rounded_up(date(1960, 2, 29), date(2025, 2, 27)) == 64
    assert age_rounded_up(date(1960, 2, 29), date(2025, 2, 28)) == 65
    assert age_rounded_up(date(1960, 2, 29), date(2024, 2, 28)) == 63
    assert age_rounded_up(date(1960, 2, 29), date(2024, 2, 29)) == 64


def test_a_leap_day_birth_is_old_enough_from_1_march():
    assert age_rounded_down(date(2008, 2, 29), date(2026, 2, 28)) == 17
    assert age_rounded_down(date(2008, 2, 29), date(2026, 3, 1)) == 18
    assert age_rounded_down(date(2008, 2, 29), date(2028, 2, 28)) == 19
    assert age_rounded_down(date(2008, 2, 29), date(2028, 2, 29)) == 20


@pytest.mark.parametrize(
    "today", [date(2026, 2, 28), date(2026, 3, 1), date(2026, 12, 31), date(2028, 2, 29)]
)
def test_both_ages_agree_but_for_leap_day_births(today):
    for birth in (date(1960, 2, 28), date(1960, 3, 1), date(2000, 12, 31), date(2026, 2, 28)):
        assert age_rounded_up(birth, today) == age_rounded_down(birth, today)


@pytest.mark.parametrize(
    ("birth", "today", "expected"),
    [
        (date(1980, 11, 22), date(2026, 11, 21), date(2026, 11, 22)),
        (date(1980, 11, 22), date(2026, 11, 22), date(2027, 11, 22)),
        (date(1980, 2, 29), date(2026, 11, 22), date(2027, 2, 28)),
        (date(1980, 2, 29), date(2027, 2, 28), date(2027, 3, 1)),
        (date(1980, 2, 29), date(2027, 3, 1), date(2028, 2, 29)),
        (date(1980, 1, 1), date(9999, 6, 1), None),
    ],
)
def test_the_next_birthday_is_strictly_later(birth, today, expected):
    assert next_birthday(birth, today) == expected
