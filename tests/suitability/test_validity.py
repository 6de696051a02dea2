"""Tests of valid_until: each term ends a verdict on its own, and not a microsecond early."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from suitability import eligible_until, load_policy, valid_until
from tests.suitability.bases import BASES, POLICY, policy_with, verdict
from tests.suitability.conftest import COURSE, INSURANCE, NOW, PRODUCT, USER

MICROSECOND = timedelta(microseconds=1)
LIFE = timedelta(seconds=300)
SOON = datetime(2026, 11, 22, 4, 2, tzinfo=UTC)
SHANGHAI = timezone(timedelta(hours=8))
# Two minutes before the local midnight between 21 and 22 November in Shanghai.
EVENING = datetime(2026, 11, 21, 15, 58, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 21, 16, 0, tzinfo=UTC)
# Is eligible at noon and in the evening before it.
PERSON = {**USER, "profile_as_of": EVENING}
GREATEST_AGE = timedelta(seconds=86_400)


def end_of(user, product, policy=POLICY, now=NOW):
    return valid_until(user, product, policy, now, "app")


def test_an_eligible_verdict_lasts_as_long_as_a_response_may():
    for user, product in BASES.values():
        assert end_of(user, product) == NOW + LIFE


def test_a_denied_verdict_ends_now(user, product, policy, now):
    assert valid_until({**user, "blocked": True}, product, policy, now, "app") == now
    assert valid_until(user, product, policy, now, "branch") == now
    assert valid_until(user, product, policy, now, "app", 0) == now
    assert valid_until(None, None, {}, now, "app") == now


def test_a_naive_instant_is_given_back(user, product, policy):
    naive = datetime(2026, 11, 22)  # noqa: DTZ001 - naive on purpose.
    assert valid_until(user, product, policy, naive, "app") == naive


# Each term where it alone ends the verdict: (at, user, product, changes of the policy, end, code after it).
TERMS = [
    (NOW, PERSON, {**PRODUCT, "sale_end": SOON}, {}, SOON, "PRD_OUTSIDE_WINDOW"),
    (NOW, PERSON, {**PRODUCT, "sale_end": SOON.astimezone(SHANGHAI)}, {}, SOON, "PRD_OUTSIDE_WINDOW"),
    (NOW, PERSON, {**COURSE, "sale_end": SOON}, {}, SOON, "PRD_OUTSIDE_WINDOW"),
    (NOW, PERSON, {**PRODUCT, "licence_until": SOON}, {}, SOON, "PRD_CHANNEL_LICENCE_EXPIRED"),
    (
        NOW,
        {**PERSON, "profile_as_of": SOON - GREATEST_AGE},
        PRODUCT,
        {},
        SOON + MICROSECOND,
        "USR_PROFILE_STALE",
    ),
    (
        NOW,
        {**PERSON, "profile_as_of": NOW},
        INSURANCE,
        {"assessment": {"profile_max_staleness_s": 7}},
        NOW + timedelta(seconds=7, microseconds=1),
        "USR_PROFILE_STALE",
    ),
    (NOW, PERSON, PRODUCT, {"effective_to": "2026-11-22T04:02:00Z"}, SOON, "SYS_POLICY_NOT_EFFECTIVE"),
    (NOW, PERSON, COURSE, {"effective_to": "2026-11-22T12:02:00+08:00"}, SOON, "SYS_POLICY_NOT_EFFECTIVE"),
    (EVENING, {**PERSON, "assessed_on": date(2025, 11, 22)}, PRODUCT, {}, MIDNIGHT, "USR_ASSESSMENT_EXPIRED"),
    (EVENING, {**PERSON, "needs_on": date(2025, 11, 22)}, INSURANCE, {}, MIDNIGHT, "USR_NEEDS_EXPIRED"),
    (EVENING, {**PERSON, "birth_date": date(1961, 11, 22)}, PRODUCT, {}, MIDNIGHT, "MAT_ELDER_PROTECTION"),
    (
        EVENING,
        {**PERSON, "birth_date": date(1985, 11, 22)},
        {**PRODUCT, "max_age": 40},
        {},
        MIDNIGHT,
        "MAT_AGE_ABOVE_MAX",
    ),
    (
        EVENING,
        {**PERSON, "birth_date": date(1976, 11, 22)},
        INSURANCE,
        {},
        MIDNIGHT,
        "MAT_AGE_PLUS_PAY_TERM",
    ),
]


@pytest.mark.parametrize(("at", "user", "product", "change", "end", "code"), TERMS)
def test_a_verdict_is_eligible_just_before_its_end_and_denied_at_it(at, user, product, change, end, code):
    policy = policy_with(**change)
    assert end_of(user, product, policy, at) == end
    assert verdict(user, product, policy, end - MICROSECOND) == frozenset()
    assert verdict(user, product, policy, end) == {code}


@pytest.mark.parametrize(("at", "user", "product", "change", "end", "code"), TERMS)
def test_a_verdict_given_one_microsecond_before_the_end_ends_there(at, user, product, change, end, code):
    assert end_of(user, product, policy_with(**change), end - MICROSECOND) == end


def test_a_verdict_at_the_greatest_age_of_a_profile_lasts_a_microsecond():
    oldest = {**USER, "profile_as_of": NOW - GREATEST_AGE}
    assert end_of(oldest, PRODUCT) == NOW + MICROSECOND


def test_needs_end_a_verdict_on_insurance_only():
    needing = {**PERSON, "needs_on": date(2025, 11, 22)}
    assert end_of(needing, PRODUCT, now=EVENING) == EVENING + LIFE


def test_an_assessment_does_not_end_a_verdict_on_what_is_not_rated():
    assessed = {**PERSON, "assessed_on": date(2025, 11, 22)}
    assert end_of(assessed, INSURANCE, now=EVENING) == EVENING + LIFE


def test_a_birthday_ends_a_verdict_even_where_it_changes_nothing():
    born = {**PERSON, "birth_date": date(1980, 11, 22)}
    assert end_of(born, PRODUCT, now=EVENING) == MIDNIGHT
    assert end_of(born, PRODUCT, now=MIDNIGHT) == MIDNIGHT + LIFE


@pytest.mark.parametrize("day", [date(2027, 2, 28), date(2027, 3, 1)])
def test_a_leap_day_birth_has_two_birthdays_in_a_common_year(day):
    start = datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)
    minute_before = start - timedelta(minutes=1)
    born = {**PERSON, "birth_date": date(1980, 2, 29), "profile_as_of": minute_before}
    on_sale = {**PRODUCT, "sale_end": datetime(2028, 1, 1, tzinfo=UTC)}
    assert end_of(born, on_sale, now=minute_before) == start


def test_learning_content_depends_on_nothing_of_the_user():
    born = {**USER, "birth_date": date(1980, 11, 22), "profile_as_of": EVENING - GREATEST_AGE}
    stated = {**COURSE, "licence_until": MIDNIGHT}
    assert end_of(born, stated, now=EVENING) == EVENING + LIFE
    assert end_of(None, {**COURSE, "sale_end": MIDNIGHT}, now=EVENING) == MIDNIGHT


def test_the_end_for_a_caller_with_the_verdict_is_the_same():
    for user, product in BASES.values():
        assert eligible_until(user, product, POLICY, NOW) == end_of(user, product)


def test_the_end_of_a_class_of_products_lacks_only_what_is_the_products_own():
    # The server asks once for all products of a kind, and applies sale end and licence itself.
    kind = {"family": "INS_PROTECTION", "scale": "CN5", "level_issuer": 1, "level_distributor": 1}
    needing = {**PERSON, "needs_on": date(2025, 11, 22)}
    assert eligible_until(needing, kind, POLICY, EVENING) == MIDNIGHT
    assert eligible_until(PERSON, {"family": "FUND"}, POLICY, NOW) == NOW + LIFE
    assert eligible_until({}, {"family": "COURSE"}, POLICY, NOW) == NOW + LIFE


@pytest.mark.parametrize(
    ("user", "product"),
    [
        ({**USER, "profile_as_of": NOW - GREATEST_AGE - MICROSECOND}, PRODUCT),
        ({**USER, "assessed_on": date(2025, 11, 22)}, PRODUCT),
        ({**USER, "needs_on": date(2025, 11, 22)}, INSURANCE),
        (USER, {**PRODUCT, "sale_end": NOW}),
        (USER, {**PRODUCT, "licence_until": NOW}),
        (None, {**COURSE, "sale_end": NOW}),
    ],
)
def test_an_end_that_has_passed_is_a_bug_of_the_caller(user, product):
    with pytest.raises(AssertionError, match="must end after"):
        eligible_until(user, product, POLICY, NOW)
    assert end_of(user, product) == NOW


def test_the_last_instants_there_are_do_not_raise(user, course, product, policy):
    last = datetime(9999, 12, 31, 23, 59, 50, tzinfo=UTC)
    lasting = {**course, "sale_end": datetime.max.replace(tzinfo=UTC)}
    assert valid_until(None, lasting, policy, last, "app") == datetime.max.replace(tzinfo=UTC)
    assert valid_until(user, {**product, "sale_end": last}, policy, last, "app") == last


def test_a_policy_as_a_plain_mapping_gives_the_same_end():
    assert end_of(USER, PRODUCT, dict(POLICY.values)) == end_of(USER, PRODUCT, load_policy(POLICY.values))
