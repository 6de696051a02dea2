"""Tests that junk is missing: in every field it gives the verdict of a record that lacks the field."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum

import pytest

from suitability import CODES
from suitability.records import PRODUCT_FIELDS, USER_FIELDS, Kind
from tests.suitability.bases import BASES, changed, verdict
from tests.suitability.conftest import NOW

EAST, WEST = timezone(timedelta(hours=8)), timezone(timedelta(hours=-8))
NAIVE = datetime(2026, 11, 22)  # noqa: DTZ001 - naive on purpose.


class Level(IntEnum):
    """Is an integer by inheritance only."""

    THREE = 3


JUNK = [
    None,
    True,
    False,
    1.0,
    3.0,
    float("nan"),
    float("inf"),
    float("-inf"),
    Decimal(5),
    Level.THREE,
    3 + 0j,
    "5",
    "５",
    "",
    " ",
    "\u3000",
    "2026-11-22",
    "2026-11-22T04:00:00Z",
    -1,
    10**15 + 1,
    10**30,
    b"",
    b"x",
    bytearray(b"x"),
    [],
    [None],
    [1],
    ["x", " "],
    {},
    {"FUND": None},
    {"FUND": 1.0},
    {"FUND": True},
    {1: 1},
    ...,
    range(3),
    NAIVE,
    NAIVE.date(),
    datetime.min.replace(tzinfo=EAST),
    datetime.max.replace(tzinfo=WEST),
]
# Junk that is a value of the kind all the same, and is judged as such.
VALUES_OF_KIND = {
    Kind.INTEGER: (),
    Kind.TEXT: ("5", "５", "2026-11-22", "2026-11-22T04:00:00Z"),
    Kind.FLAG: (True, False),
    Kind.INSTANT: (),
    Kind.DAY: (NAIVE.date(),),
    Kind.TEXTS: ([],),
    Kind.COUNTS: ({},),
    Kind.BYTES: (b"x",),
}
# What a stated and unreadable value of a field gives, whose absence would say something else.
STATED = {
    "risk_score": "PRD_RISK_SCORE_UNKNOWN",
    "computed_risk_class": "PRD_RISK_SCORE_UNKNOWN",
    "dup_group": "MAT_DUPLICATE_COVER",
    "credit_like": "USR_RISK_BAND_UNKNOWN",
}
FIELDS = [("user", name) for name in USER_FIELDS] + [("product", name) for name in PRODUCT_FIELDS]


def is_value(side: str, name: str, junk: object) -> bool:
    field = (USER_FIELDS if side == "user" else PRODUCT_FIELDS)[name]
    if field.kind is Kind.TEXT and (field.choices or field.pattern):
        return False
    return any(type(junk) is type(value) and junk == value for value in VALUES_OF_KIND[field.kind])


@pytest.mark.parametrize(("side", "name"), FIELDS)
def test_junk_in_a_field_is_as_good_as_nothing(side, name):
    for user, product in BASES.values():
        missing = verdict(*changed(side, user, product, {name: None}))
        for junk in JUNK:
            codes = verdict(*changed(side, user, product, {name: junk}))
            if is_value(side, name, junk):
                assert codes <= CODES.keys()
            elif junk is not None and name in STATED:
                assert codes in (missing, {STATED[name]})
            else:
                assert codes == missing, (name, junk)


@pytest.mark.parametrize(
    ("name", "base"),
    [("risk_score", "fund"), ("risk_score", "linked insurance"), ("dup_group", "protection")],
)
def test_a_stated_value_that_cannot_be_read_denies_although_its_absence_would_not(name, base):
    user, product = BASES[base]
    for junk in JUNK:
        expected = set() if junk is None or is_value("product", name, junk) else {STATED[name]}
        assert verdict(user, {**product, name: junk}) == expected


@pytest.mark.parametrize("junk", [junk for junk in JUNK if not isinstance(junk, Mapping)], ids=repr)
def test_junk_as_a_record_is_an_empty_record(junk):
    for user, product in BASES.values():
        assert verdict(junk, product) == verdict({}, product)
        assert verdict(user, junk) == verdict(user, {})


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_junk_as_channel_or_policy_denies(junk):
    for user, product in BASES.values():
        assert verdict(user, product, channel=junk) == {"PRD_CHANNEL_NOT_PERMITTED"}
        assert "SYS_POLICY_NOT_EFFECTIVE" in verdict(user, product, junk)
        assert "SYS_PREDICATE_ERROR" not in verdict(user, product, junk)


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_an_instant_without_zone_denies_everything(junk):
    for user, product in BASES.values():
        assert verdict(user, product, now=junk) == {"SYS_CLOCK_INVALID"}


@pytest.mark.parametrize("junk", [junk for junk in JUNK if junk is not None], ids=repr)
def test_a_limit_that_is_no_score_admits_nothing_rated(junk):
    for base, (user, product) in BASES.items():
        rated = not base.startswith(("protection", "course"))
        assert verdict(user, product, limit=junk) == ({"MAT_RISK_SCORE_OVER_LIMIT"} if rated else set())


def test_a_text_of_another_script_is_not_a_code_of_place_or_currency():
    user, product = BASES["fund"]
    for place in ("cn", "CHN", "C", "ＣＮ", "С" + "N", "CN\n", " CN"):
        assert verdict({**user, "jurisdiction": place}, product) == {"USR_JURISDICTION_UNKNOWN"}
        assert verdict(user, {**product, "jurisdictions": ["CN", place]}) == {"PRD_JURISDICTION_UNKNOWN"}
    for currency in ("cny", "CN", "CNYY", "ＣＮＹ", "CNY\n"):
        assert verdict({**user, "currencies": ["CNY", currency]}, product) == {"USR_CURRENCY_UNKNOWN"}
        assert verdict(user, {**product, "currency": currency}) == {"PRD_CURRENCY_UNKNOWN"}


def test_the_clock_may_be_in_any_zone():
    for user, product in BASES.values():
        assert verdict(user, product, now=NOW.astimezone(EAST)) == frozenset()
        assert verdict(user, product, now=NOW.astimezone(UTC)) == frozenset()
