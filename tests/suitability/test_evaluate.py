"""Tests of the verdict: one change one code, the order of tests, the request's limit, and what raises."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from suitability import PREDICATES, evaluate, valid_until
from suitability.predicates.table import Predicate
from tests.suitability.bases import policy_with, without

SHANGHAI = timezone(timedelta(hours=8))
MICROSECOND = timedelta(microseconds=1)


def test_the_base_pair_is_eligible(user, product, policy, now):
    assert evaluate(user, product, policy, now, "app") == frozenset()


def test_insurance_below_the_rated_level_needs_no_assessment(user, insurance, policy, now):
    bare = without(user, "assessed_on", "risk_level")
    assert evaluate(bare, insurance, policy, now, "app") == frozenset()


# (predicate, changes of user, changes of product, changes of policy, code)
ALONE = [
    (0, {}, {}, {"effective_to": "2026-11-22T04:00:00Z"}, "SYS_POLICY_NOT_EFFECTIVE"),
    (0, {}, {}, {"effective_from": "2026-11-22T04:00:00.000001Z"}, "SYS_POLICY_NOT_EFFECTIVE"),
    (1, {}, {"family": "BOND", "min_knowledge": 0}, {}, "PRD_DATA_INVALID"),
    (1, {}, {"family": None, "min_knowledge": 0}, {}, "PRD_DATA_INVALID"),
    (1, {}, {"id": ""}, {}, "PRD_DATA_INVALID"),
    (1, {}, {"issuer": " "}, {}, "PRD_DATA_INVALID"),
    (1, {}, {}, {"halted_products": ["fund-1"]}, "PRD_HALTED"),
    (1, {}, {}, {"halted_issuers": ["issuer-1"]}, "PRD_HALTED"),
    (1, {}, {"status": None}, {}, "PRD_STATUS_UNKNOWN"),
    (1, {}, {"status": "on_sale"}, {}, "PRD_NOT_ON_SALE"),
    (1, {}, {"registration_code": ""}, {}, "PRD_REGISTRATION_MISSING"),
    (2, {}, {"sale_start": None}, {}, "PRD_WINDOW_UNKNOWN"),
    (2, {}, {"sale_end": datetime(2027, 1, 1)}, {}, "PRD_WINDOW_UNKNOWN"),  # noqa: DTZ001 - naive on purpose.
    (2, {}, {"sale_end": datetime(2026, 11, 22, 4, tzinfo=UTC)}, {}, "PRD_OUTSIDE_WINDOW"),
    (2, {}, {"sale_start": datetime(2026, 11, 22, 4, tzinfo=UTC) + MICROSECOND}, {}, "PRD_OUTSIDE_WINDOW"),
    (3, {}, {"channels": None}, {}, "PRD_CHANNEL_UNKNOWN"),
    (3, {}, {"channels": "app"}, {}, "PRD_CHANNEL_UNKNOWN"),
    (3, {}, {"licence_until": None}, {}, "PRD_CHANNEL_UNKNOWN"),
    (3, {}, {"channels": ["branch"]}, {}, "PRD_CHANNEL_NOT_PERMITTED"),
    (3, {}, {"channels": []}, {}, "PRD_CHANNEL_NOT_PERMITTED"),
    (
        3,
        {},
        {"licence_until": datetime(2026, 11, 22, 12, tzinfo=SHANGHAI)},
        {},
        "PRD_CHANNEL_LICENCE_EXPIRED",
    ),
    (6, {"pseudonym": b""}, {}, {}, "USR_NOT_FOUND"),
    (6, {"blocked": True}, {}, {}, "USR_RESTRICTED"),
    (6, {"blocked": None}, {}, {}, "USR_RESTRICTED"),
    (6, {"consent_sensitive": False}, {}, {}, "USR_CONSENT_MISSING"),
    (9, {"assessed_on": None}, {}, {}, "USR_ASSESSMENT_MISSING"),
    (9, {"assessed_on": date(2026, 11, 23)}, {}, {}, "USR_ASSESSMENT_FUTURE"),
    (9, {"assessed_on": date(2025, 11, 22)}, {}, {}, "USR_ASSESSMENT_EXPIRED"),
    (9, {"change_reported": True}, {}, {}, "USR_CHANGE_REPORTED"),
    (9, {"level_changed": True}, {}, {}, "USR_LEVEL_UNCONFIRMED"),
    (9, {"level_changed": None, "level_confirmed": None}, {}, {}, "USR_LEVEL_UNCONFIRMED"),
    (9, {"assessments_today": None}, {}, {}, "USR_ASSESSMENT_COUNT_UNKNOWN"),
    (9, {"assessments_12m": -1}, {}, {}, "USR_ASSESSMENT_COUNT_UNKNOWN"),
    (9, {"assessments_today": 3}, {}, {}, "USR_ASSESSMENT_TOO_MANY"),
    (9, {"assessments_12m": 9}, {}, {}, "USR_ASSESSMENT_TOO_MANY"),
    (10, {}, {"level_issuer": None}, {}, "PRD_LEVEL_UNKNOWN"),
    (10, {}, {"level_distributor": 6}, {}, "PRD_LEVEL_UNKNOWN"),
    (10, {}, {"scale": None}, {}, "PRD_LEVEL_UNKNOWN"),
    (10, {}, {}, {"level_cap": 2}, "MAT_LEVEL_OVER_CAP"),
    (10, {}, {"level_distributor": 4}, {}, "MAT_LEVEL_OVER_TOLERANCE"),
    (10, {}, {"level_issuer": 4, "level_distributor": 2}, {}, "MAT_LEVEL_OVER_TOLERANCE"),
    (25, {}, {"risk_score": 10_001}, {}, "PRD_RISK_SCORE_UNKNOWN"),
    (25, {}, {"risk_score": "4200"}, {}, "PRD_RISK_SCORE_UNKNOWN"),
    (25, {}, {"risk_score": 6001}, {}, "MAT_RISK_SCORE_OVER_LIMIT"),
]


@pytest.mark.parametrize(("number", "user_change", "product_change", "policy_change", "code"), ALONE)
def test_one_change_gives_one_code(
    number, user_change, product_change, policy_change, code, user, product, policy, now
):
    codes = evaluate(
        {**user, **user_change}, {**product, **product_change}, policy_with(**policy_change), now, "app"
    )
    assert codes == {code}
    assert {each.number for each in PREDICATES if code in each.function.__doc__} >= {number}


# Changes that stay just inside every bound.
WITHIN = [
    ({"assessed_on": date(2025, 11, 23)}, {}),
    ({"assessed_on": date(2026, 11, 22)}, {}),
    ({"assessments_today": 2, "assessments_12m": 8}, {}),
    ({"level_changed": True, "level_confirmed": True}, {}),
    ({}, {"sale_start": datetime(2026, 11, 22, 4, tzinfo=UTC)}),
    ({}, {"sale_end": datetime(2026, 11, 22, 4, tzinfo=UTC) + MICROSECOND}),
    ({}, {"licence_until": datetime(2026, 11, 22, 4, tzinfo=UTC) + MICROSECOND}),
    ({}, {"risk_score": 6000}),
    ({}, {"risk_score": None}),
    ({}, {"risk_score": 0}),
    ({"risk_level": 4}, {"level_distributor": 4, "risk_score": None}),
    ({"risk_level": 5}, {"scale": "SRI7", "level_distributor": 6, "risk_score": None}),
    ({"risk_level": 0}, {"level_issuer": 1, "level_distributor": 1, "risk_score": None}),
]


@pytest.mark.parametrize(("user_change", "product_change"), WITHIN)
def test_a_pair_on_the_inner_side_of_a_bound_stays_eligible(
    user_change, product_change, user, product, policy, now
):
    assert evaluate({**user, **user_change}, {**product, **product_change}, policy, now, "app") == frozenset()


def test_the_local_day_decides_expiry(user, product, policy):
    assessed = {**user, "assessed_on": date(2025, 11, 23)}
    just_before = datetime(2026, 11, 22, 15, 59, 59, 999999, tzinfo=UTC)
    assert evaluate(assessed, product, policy, just_before, "app") == frozenset()
    codes = evaluate(assessed, product, policy, just_before + MICROSECOND, "app")
    assert codes == {"USR_ASSESSMENT_EXPIRED"}


def test_sri7_level_seven_is_over_every_tolerance(user, product, policy, now):
    top = {**product, "scale": "SRI7", "level_distributor": 7, "risk_score": 0}
    assert evaluate({**user, "risk_level": 5}, top, policy, now, "app") == {"MAT_LEVEL_OVER_TOLERANCE"}


@pytest.mark.parametrize("scale", ["CN5", "SRI7"])
@pytest.mark.parametrize("level", range(2, 8))
@pytest.mark.parametrize("family", ["FUND", "INS_LINKED", "WEALTH", "TRUST", "STRUCTURED"])
def test_level_zero_never_sees_above_level_one(scale, level, family, user, product, policy, now):
    risky = {**product, "family": family, "scale": scale, "level_distributor": level, "risk_score": 0}
    assert evaluate({**user, "risk_level": 0}, risky, policy, now, "app")


def test_missing_risk_level_denies_by_three_predicates_with_one_code(user, product, policy, now):
    assert evaluate({**user, "risk_level": None}, product, policy, now, "app") == {"USR_ASSESSMENT_MISSING"}


def test_the_first_failing_test_wins_inside_a_predicate(user, product, policy, now):
    both = {**product, "status": None, "registration_code": None}
    assert evaluate(user, both, policy, now, "app") == {"PRD_STATUS_UNKNOWN"}
    halted = policy_with(halted_products=["fund-1"])
    assert evaluate(user, both, halted, now, "app") == {"PRD_HALTED"}
    held = {**user, "blocked": True, "consent_sensitive": False}
    assert evaluate(held, product, policy, now, "app") == {"USR_RESTRICTED"}


def test_every_predicate_is_evaluated(user, product, policy, now):
    codes = evaluate(
        {**user, "blocked": True, "change_reported": True},
        {**product, "status": "DRAFT", "channels": [], "sale_end": now, "risk_score": 9000},
        policy,
        now,
        "app",
    )
    assert codes == {
        "PRD_NOT_ON_SALE",
        "PRD_OUTSIDE_WINDOW",
        "PRD_CHANNEL_NOT_PERMITTED",
        "USR_RESTRICTED",
        "USR_CHANGE_REPORTED",
        "MAT_RISK_SCORE_OVER_LIMIT",
    }


def test_a_level_at_the_cap_is_not_over_it(user, product, policy, now):
    assert evaluate(user, product, policy_with(level_cap=3), now, "app") == frozenset()


# --- The request's limit ---


@pytest.mark.parametrize(
    ("limit", "denied"),
    [(4200, False), (4199, True), (0, True), (10_000, False)]
    + [(invalid, True) for invalid in (-1, 10_001, True, 5000.0, "5000", float("nan"), [])],
)
def test_the_requests_limit_tightens_and_an_invalid_one_admits_nothing(
    limit, denied, user, product, policy, now
):
    expected = {"MAT_RISK_SCORE_OVER_LIMIT"} if denied else set()
    assert evaluate(user, product, policy, now, "app", limit) == expected


def test_the_requests_limit_never_loosens(user, product, policy, now):
    risky = {**product, "risk_score": 6001}
    assert evaluate(user, risky, policy, now, "app", 10_000) == {"MAT_RISK_SCORE_OVER_LIMIT"}


def test_the_requests_limit_does_not_concern_what_is_not_rated(user, course, insurance, policy, now):
    assert evaluate(user, course, policy, now, "app", 0) == frozenset()
    assert evaluate(user, insurance, policy, now, "app", 0) == frozenset()


# --- What cannot be decided ---


@pytest.mark.parametrize(
    "section", ["risk_matrix", "risk_score", "assessment", "level_cap", "halted_products"]
)
def test_a_policy_that_lacks_a_key_denies_every_product(section, user, product, course, policy, now):
    broken = {name: value for name, value in policy.values.items() if name != section}
    assert evaluate(user, product, broken, now, "app") == {"SYS_POLICY_NOT_EFFECTIVE"}
    assert evaluate(user, course, broken, now, "app") == {"SYS_POLICY_NOT_EFFECTIVE"}


def test_a_plain_mapping_serves_as_policy(user, product, policy, now):
    assert evaluate(user, product, policy.values, now, "app") == frozenset()


class Hostile(dict):
    """Is a mapping that fails when one field is read."""

    def get(self, name, default=None):
        if name == "risk_level":
            raise RuntimeError("no such luck")
        return super().get(name, default)


def test_a_predicate_that_raises_denies(user, product, policy, now, monkeypatch):
    assert evaluate(Hostile(user), product, policy, now, "app") == {"SYS_PREDICATE_ERROR"}
    held = Hostile({**user, "blocked": True})
    assert evaluate(held, product, policy, now, "app") == {"SYS_PREDICATE_ERROR", "USR_RESTRICTED"}

    def fail(pair):
        raise ZeroDivisionError

    table = (*PREDICATES, Predicate(26, "fail", fail))
    monkeypatch.setitem(evaluate.__globals__, "PREDICATES", table)
    assert evaluate(user, product, policy, now, "app") == {"SYS_PREDICATE_ERROR"}


def test_a_record_or_policy_that_cannot_be_read_denies(unreadable, user, product, course, policy, now):
    assert "SYS_PREDICATE_ERROR" in evaluate(unreadable, product, policy, now, "app")
    for record in (product, course):
        assert "SYS_POLICY_NOT_EFFECTIVE" in evaluate(user, record, unreadable, now, "app")
    assert evaluate(user, unreadable, policy, now, "app") == {"SYS_PREDICATE_ERROR"}
    assert valid_until(user, unreadable, policy, now, "app") == now
