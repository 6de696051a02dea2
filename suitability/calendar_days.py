"""Computes with local days: days, months and ages in the policy's time zone.

Where a calendar leaves a choice, the earlier day is taken, because here a later day only ever allows more.
Time zones come from the operating system or, where it has none, from the `tzdata` distribution.
"""

import calendar
from datetime import MAXYEAR, UTC, date, datetime, time
from zoneinfo import ZoneInfo


def local_day(now: datetime, zone: ZoneInfo) -> date:
    """Returns the day it is in the zone at an instant that has a time zone."""
    if now.utcoffset() is None:
        raise ValueError(f"an instant without time zone has no local day, got {now!r}")
    return now.astimezone(zone).date()


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """Returns the first instant of a local day, in UTC; of a midnight that occurs twice, the first."""
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def add_months(day: date, months: int) -> date:
    """Adds whole months; a day that the month lacks becomes the month's last one (the earlier choice)."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, last))


def next_birthday(birth: date, today: date) -> date | None:
    """Returns the next day after today on which any age changes, or None after the last year there is.

    A leap-day birth has two such days in common years: 28 February ("too old", "elder") and 1 March ("old
    enough").
    """
    for year in range(today.year, min(today.year + 1, MAXYEAR) + 1):
        later = [day for day in _birthdays(birth, year) if day > today]
        if later:
            return min(later)
    return None


def age_rounded_up(birth: date, today: date) -> int:
    """Returns the age in whole years where a leap-day birthday falls on 28 February in common years."""
    return today.year - birth.year - (today < min(_birthdays(birth, today.year)))


def age_rounded_down(birth: date, today: date) -> int:
    """Returns the age in whole years where a leap-day birthday falls on 1 March in common years."""
    return today.year - birth.year - (today < max(_birthdays(birth, today.year)))


def _birthdays(birth: date, year: int) -> tuple[date, ...]:
    if (birth.month, birth.day) != (2, 29) or calendar.isleap(year):
        return (date(year, birth.month, birth.day),)
    return (date(year, 2, 28), date(year, 3, 1))
