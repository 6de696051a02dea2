"""Tests of valid_until: each term ends a verdict on its own, and not a microsecond early."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from suitability import eligible_until, evaluate, load_policy, valid_until

MICROSECOND = timedelta(microseconds=1)
SOON = datetime(2026, 11, 22, 4, 2, tzinfo=UTC)
SHANGHAI = timezone(timedelta(hours=8))
# Two minutes before the local midnight between 21 and 22 November in Shanghai.
EVENING = datetime(2026, 11, 21, 15, 58, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 21, 16, 0, tzinfo=UTC)


def test_an_eligible_verdict_lasts_as_long_as_a_response_may(user, product, policy, now):
    assert valid_until(user, product, policy, now, "app") == now + timedelta(seconds=300)


def test_a_denied_verdict_ends_now(user, product, policy, now):
    assert valid_until({**user, "blocked": True}, product, policy, now, "app") == now
    assert valid_until(user, product, policy, now, "branch") == now
    assert valid_until(user, product, policy, now, "app", 0) == now
    assert valid_until(None, None, {}, now, "app") == now


def test_a_naive_instant_is_given_back(user, product, policy):
    naive = datetime(2026, 11, 22)  # noqa: DTZ001 - naive on purpose.
    assert valid_until(user, product, policy, naive, "app") == naive


# Terms that a predicate of this package ends: (at, changes of user, of product, end).
ENDED_BY_A_PREDICATE = [
    (None, {}, {"sale_end": SOON}, SOON),
    (None, {}, {"sale_end": SOON.astimezone(SHANGHAI)}, SOON),
    (None, {}, {"licence_until": SOON}, SOON),
    (EVENING, {"assessed_on": date(2025, 11, 22)}, {}, MIDNIGHT),
]


@pytest.mark.parametrize(("at", "user_change", "product_change", "end"), ENDED_BY_A_PREDICATE)
def test_a_verdict_is_eligible_just_before_its_end_and_denied_at_it(
    at, user_change, product_change, end, user, product, policy, now
):
    pair = ({**user, **user_change}, {**product, **product_change})
    assert valid_until(*pair, policy, at or now, "app") == end
    assert evaluate(*pair, policy, end - MICROSECOND, "app") == frozenset()
    assert evaluate(*pair, policy, end, "app")


def test_the_policys_end_ends_a_verdict(user, product, course, policy, now):
    ending = load_policy({**policy.values, "effective_to": "2026-11-22T12:02:00+08:00"})
    assert valid_until(user, product, ending, now, "app") == SOON
    assert valid_until(None, course, ending, now, "app") == SOON
    assert evaluate(user, product, ending, SOON - MICROSECOND, "app") == frozenset()
    assert evaluate(user, product, ending, SOON, "app") == {"SYS_POLICY_NOT_EFFECTIVE"}


def test_a_profile_ends_a_verdict_one_microsecond_after_its_greatest_age(user, product, policy, now):
    old = {**user, "profile_as_of": now - timedelta(seconds=86_400 - 7)}
    assert valid_until(old, product, policy, now, "app") == now + timedelta(seconds=7, microseconds=1)
    oldest = {**user, "profile_as_of": now - timedelta(seconds=86_400)}
    assert valid_until(oldest, product, policy, now, "app") == now + MICROSECOND
    assessment = {**policy.values["assessment"], "profile_max_staleness_s": 7}
    strict = load_policy({**policy.values, "assessment": assessment})
    end = now + timedelta(seconds=7, microseconds=1)
    assert valid_until({**user, "profile_as_of": now}, product, strict, now, "app") == end


def test_needs_end_a_verdict_on_insurance_only(user, insurance, product, policy):
    needing = {**user, "needs_on": date(2025, 11, 22), "assessed_on": date(2026, 9, 1)}
    assert valid_until(needing, insurance, policy, EVENING, "app") == MIDNIGHT
    assert valid_until(needing, product, policy, EVENING, "app") == EVENING + timedelta(seconds=300)


def test_an_assessment_does_not_end_a_verdict_on_what_is_not_rated(user, insurance, policy):
    assessed = {**user, "assessed_on": date(2025, 11, 22)}
    assert valid_until(assessed, insurance, policy, EVENING, "app") == EVENING + timedelta(seconds=300)


def test_the_next_birthday_ends_a_verdict(user, product, policy):
    born = {**user, "birth_date": date(1980, 11, 22)}
    assert valid_until(born, product, policy, EVENING, "app") == MIDNIGHT
    assert valid_until(born, product, policy, MIDNIGHT, "app") == MIDNIGHT + timedelta(seconds=300)


@pytest.mark.parametrize("day", [date(2027, 2, 28), date(2027, 3, 1)])
def test_a_leap_day_birth_has_two_birthdays_in_a_common_year(day, user, product, policy):
    born = {**user, "birth_date": date(1980, 2, 29), "assessed_on": date(2026, 9, 1)}
    on_sale = {**product, "sale_end": datetime(2028, 1, 1, tzinfo=UTC)}
    start = datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)
    assert valid_until(born, on_sale, policy, start - timedelta(minutes=1), "app") == start


def test_learning_content_depends_on_nothing_of_the_user(user, course, policy):
    born = {**user, "birth_date": date(1980, 11, 22)}
    stated = {**course, "licence_until": MIDNIGHT}
    assert valid_until(born, stated, policy, EVENING, "app") == EVENING + timedelta(seconds=300)
    assert valid_until(born, {**course, "sale_end": MIDNIGHT}, policy, EVENING, "app") == MIDNIGHT


def test_a_profile_too_old_for_its_term_leaves_the_end_after_now(user, product, policy, now):
    for age in (timedelta(days=9), timedelta(days=1, microseconds=1)):
        stale = {**user, "profile_as_of": now - age}
        assert valid_until(stale, product, policy, now, "app") > now


def test_the_end_for_a_caller_with_the_verdict_is_the_same(user, product, policy, now):
    assert eligible_until(user, product, policy, now) == valid_until(user, product, policy, now, "app")


def test_the_last_instants_there_are_do_not_raise(user, course, product, policy):
    last = datetime(9999, 12, 31, 23, 59, 50, tzinfo=UTC)
    lasting = {**course, "sale_end": datetime.max.replace(tzinfo=UTC)}
    assert valid_until(None, lasting, policy, last, "app") == datetime.max.replace(tzinfo=UTC)
    assert valid_until(user, {**product, "sale_end": last}, policy, last, "app") == last
