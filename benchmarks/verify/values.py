"""Reads fields strictly: what is not exactly right is None. Shares no code with the readers it checks."""

import calendar
import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

Record = Mapping[str, Any]

AMOUNT_MAX = 10**15


def whole(record: Record, name: str, high: int = AMOUNT_MAX, low: int = 0) -> int | None:
    """Reads an integer from low to high; True, 3.0 and "3" are none."""
    value = record.get(name)
    return value if type(value) is int and low <= value <= high else None


def word(record: Record, name: str, *allowed: str) -> str | None:
    """Reads a text that is not blank and, where some are given, one of the allowed."""
    value = record.get(name)
    if not isinstance(value, str) or value.strip() == "" or (allowed and value not in allowed):
        return None
    return value


def code(record: Record, name: str, length: int) -> str | None:
    """Reads a code of capital ASCII letters, such as a currency."""
    value = record.get(name)
    return value if _is_code(value, length) else None


def words(record: Record, name: str) -> frozenset[str] | None:
    """Reads a set of texts; one bad member spoils it."""
    value = record.get(name)
    if isinstance(value, (str, bytes, bytearray, Mapping)) or not isinstance(value, Collection):
        return None
    if any(not isinstance(member, str) or member.strip() == "" for member in value):
        return None
    return frozenset(value)


def codes(record: Record, name: str, length: int) -> frozenset[str] | None:
    """Reads a set of codes of capital ASCII letters; one bad member spoils it."""
    value = words(record, name)
    return value if value is not None and all(_is_code(member, length) for member in value) else None


def amounts(record: Record, name: str, high: int = AMOUNT_MAX) -> dict[str, int] | None:
    """Reads a map from text to integers of 0 to high; one bad entry spoils it."""
    value = record.get(name)
    if not isinstance(value, Mapping):
        return None
    if any(not isinstance(key, str) or whole(value, key, high) is None for key in value):
        return None
    return dict(value)


def moment(record: Record, name: str) -> datetime | None:
    """Reads an instant that has a zone, in UTC."""
    value = record.get(name)
    if not isinstance(value, datetime) or value.utcoffset() is None:
        return None
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return None


def day(record: Record, name: str) -> date | None:
    """Reads a date; an instant is none, because its day depends on a zone."""
    value = record.get(name)
    return value if isinstance(value, date) and not isinstance(value, datetime) else None


def months_later(start: date, months: int) -> date:
    """Returns the same day of a later month, or that month's last day."""
    years, month = divmod(start.month - 1 + months, 12)
    year = start.year + years
    if year > date.max.year:
        return date.max
    return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))


def age_lived(born: date, today: date) -> int:
    """Returns full years of life; who was born on a leap day has a birthday on 1 March in common years."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def age_at_most(born: date, today: date) -> int:
    """Returns years of life, counted on 28 February for a leap day's birth in common years."""
    leap_day = (born.month, born.day) == (2, 29)
    on_28th = leap_day and not calendar.isleap(today.year)
    birthday = (2, 28) if on_28th else (born.month, born.day)
    return today.year - born.year - ((today.month, today.day) < birthday)


def next_birthday(born: date, today: date) -> date:
    """Returns the first day after today on which either age grows."""
    birthdays = []
    for year in (today.year, today.year + 1):
        if (born.month, born.day) == (2, 29) and not calendar.isleap(year):
            birthdays += [date(year, 2, 28), date(year, 3, 1)]
        else:
            birthdays.append(date(year, born.month, born.day))
    return min(birthday for birthday in birthdays if birthday > today)


def start_of(local_day: date, zone: str) -> datetime:
    """Returns the instant at which a day begins in a time zone."""
    return datetime.combine(local_day, time(), ZoneInfo(zone)).astimezone(UTC)


def _is_code(value: object, length: int) -> bool:
    return isinstance(value, str) and re.fullmatch(f"[A-Z]{{{length}}}", value, re.ASCII) is not None
