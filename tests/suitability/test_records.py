"""Tests of reading fields: what is not exactly right is missing."""

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

import pytest

from suitability.records import PRODUCT_FIELDS, USER_FIELDS, read

NAIVE = datetime(2026, 11, 22)  # noqa: DTZ001 - naive on purpose.
AWARE = datetime(2026, 11, 22, 12, tzinfo=timezone(timedelta(hours=8)))


class OtherDay(date):
    """Is a date by inheritance only."""


class NotATime(datetime):
    """Is an instant by inheritance, and neither before nor after any other, as NaT of pandas is."""

    def astimezone(self, tz=None):
        return self

    def __lt__(self, other):
        return False

    __le__ = __gt__ = __ge__ = __lt__


class LongWay(tzinfo):
    """Is a zone that is days away, which no zone is."""

    def utcoffset(self, moment):
        return timedelta(days=3)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("risk_level", 0, 0),
        ("risk_level", 5, 5),
        ("horizon_months", 1200, 1200),
        ("income", 10**15, 10**15),
        ("blocked", False, False),
        ("birth_date", date(1980, 2, 29), date(1980, 2, 29)),
        ("profile_as_of", AWARE, datetime(2026, 11, 22, 4, tzinfo=UTC)),
        ("objectives", [], frozenset()),
        ("objectives", ("GROWTH", "GROWTH"), frozenset({"GROWTH"})),
        ("knowledge", {"FUND": 3}, {"FUND": 3}),
        ("capacity", "FULL", "FULL"),
        ("pseudonym", b"\x00", b"\x00"),
        ("jurisdiction", "CN", "CN"),
        ("currencies", ["CNY", "USD"], frozenset({"CNY", "USD"})),
    ],
)
def test_a_right_value_is_read(name, value, expected):
    assert read({name: value}, USER_FIELDS[name]) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("risk_level", 6),
        ("risk_level", -1),
        ("risk_level", True),
        ("risk_level", 3.0),
        ("risk_level", float("nan")),
        ("risk_level", "3"),
        ("risk_level", "３"),
        ("income", 10**15 + 1),
        ("blocked", 0),
        ("blocked", "false"),
        ("birth_date", NAIVE),
        ("birth_date", AWARE),
        ("birth_date", "1980-01-01"),
        ("profile_as_of", NAIVE),
        ("profile_as_of", date(2026, 11, 22)),
        ("profile_as_of", datetime.min.replace(tzinfo=timezone(timedelta(hours=8)))),
        ("birth_date", OtherDay(1980, 1, 1)),
        ("profile_as_of", NotATime(2026, 11, 22, tzinfo=UTC)),
        ("profile_as_of", AWARE.replace(tzinfo=LongWay())),
        ("profile_as_of", AWARE.replace(tzinfo=tzinfo())),
        ("objectives", "GROWTH"),
        ("objectives", b"GROWTH"),
        ("objectives", {"GROWTH": 1}),
        ("objectives", ["GROWTH", None]),
        ("objectives", ["GROWTH", " "]),
        ("objectives", iter(["GROWTH"])),
        ("knowledge", {"FUND": 4}),
        ("knowledge", {"FUND": True}),
        ("knowledge", {1: 1}),
        ("knowledge", [("FUND", 1)]),
        ("capacity", "full"),
        ("jurisdiction", "cn"),
        ("jurisdiction", "CHN"),
        ("jurisdiction", "CN\n"),
        ("jurisdiction", "ＣＮ"),
        ("currencies", ["CNY", "cny"]),
        ("currencies", ["CNYX"]),
        ("capacity", "ＦＵＬＬ"),
        ("pseudonym", b""),
        ("pseudonym", "user"),
    ],
)
def test_a_wrong_value_is_missing(name, value):
    assert read({name: value}, USER_FIELDS[name]) is None


def test_every_field_is_missing_in_what_is_no_record():
    for fields in (USER_FIELDS, PRODUCT_FIELDS):
        for record in (None, {}, [], "x", 3):
            assert all(read(record, field) is None for field in fields.values())
