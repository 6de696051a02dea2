"""Tests of every comparison at its bound, just below it and just above it."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from suitability import PREDICATES
from tests.suitability.bases import BASES, ELDER, LEVEL_2, SINGLE, changed, policy_with, verdict, without
from tests.suitability.conftest import INSURANCE, NOW, PRODUCT, USER

TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
SHANGHAI = timezone(timedelta(hours=8))
HIGH = "fund of high risk"
WARD = "protection at limited capacity"
LIMITED = "fund of limited losses"

# (predicate, base, side, field, values that pass, values that do not, code)
BOUNDS = [
    (2, "fund", "product", "sale_start", [NOW - TICK, NOW], [NOW + TICK], "PRD_OUTSIDE_WINDOW"),
    (2, "fund", "product", "sale_end", [NOW + TICK], [NOW, NOW - TICK], "PRD_OUTSIDE_WINDOW"),
    (2, "course", "product", "sale_end", [NOW + TICK], [NOW, NOW - TICK], "PRD_OUTSIDE_WINDOW"),
    (3, "fund", "product", "licence_until", [NOW + TICK], [NOW, NOW - TICK], "PRD_CHANNEL_LICENCE_EXPIRED"),
    (5, "fund", "product", "capacity_left", [100_001, 100_000], [99_999, 0], "PRD_CAPACITY_EXHAUSTED"),
    (7, "fund", "user", "profile_as_of", [NOW], [NOW + TICK], "USR_PROFILE_STALE"),
    (7, "fund", "user", "profile_as_of", [NOW - DAY], [NOW - DAY - TICK], "USR_PROFILE_STALE"),
    (
        9,
        "fund",
        "user",
        "assessed_on",
        [date(2026, 11, 21), date(2026, 11, 22)],
        [date(2026, 11, 23)],
        "USR_ASSESSMENT_FUTURE",
    ),
    (
        9,
        "fund",
        "user",
        "assessed_on",
        [date(2025, 11, 23)],
        [date(2025, 11, 22), date(2025, 11, 21)],
        "USR_ASSESSMENT_EXPIRED",
    ),
    (9, "fund", "user", "assessments_today", [0, 2], [3], "USR_ASSESSMENT_TOO_MANY"),
    (9, "fund", "user", "assessments_12m", [0, 8], [9], "USR_ASSESSMENT_TOO_MANY"),
    (10, "fund", "product", "level_distributor", [1, 3], [4, 5], "MAT_LEVEL_OVER_TOLERANCE"),
    (12, "fund", "product", "min_knowledge", [0, 2], [3], "MAT_KNOWLEDGE"),
    (12, "fund", "user", "knowledge", [{"FUND": 1}, {"FUND": 2}], [{"FUND": 0}], "MAT_KNOWLEDGE"),
    (13, "fund", "product", "loss_class", [0, 2], [3], "MAT_LOSS_CAPACITY"),
    (13, LIMITED, "product", "max_loss_bps", [2999, 3000], [3001], "MAT_LOSS_CAPACITY"),
    (13, LIMITED, "user", "max_loss_bps", [1001, 1000], [999], "MAT_LOSS_CAPACITY"),
    (14, "fund", "product", "min_horizon_months", [0, 59, 60], [61], "MAT_HORIZON"),
    (14, "fund", "user", "horizon_months", [7, 6], [5, 0], "MAT_HORIZON"),
    (15, "fund", "user", "birth_date", [date(2008, 11, 22)], [date(2008, 11, 23)], "MAT_AGE_BELOW_MIN"),
    (15, "fund", "product", "min_age", [0, 39, 40], [41], "MAT_AGE_BELOW_MIN"),
    (15, "fund", "product", "max_age", [41, 40], [39, 0], "MAT_AGE_ABOVE_MAX"),
    (
        16,
        "fund",
        "user",
        "birth_date",
        [date(1961, 11, 24), date(1961, 11, 23)],
        [date(1961, 11, 22), date(1961, 11, 21)],
        "MAT_ELDER_PROTECTION",
    ),
    (16, "fund for an elder", "product", "level_issuer", [1, 2], [3], "MAT_ELDER_PROTECTION"),
    (16, "protection for an elder", "product", "level_issuer", [1, 3], [], None),
    (17, "fund for the vulnerable", "product", "level_issuer", [1, 2], [3], "MAT_VULNERABLE_PROTECTION"),
    (
        8,
        "protection at limited capacity",
        "product",
        "level_issuer",
        [1],
        [2, 3],
        "MAT_LIMITED_CAPACITY_LEVEL",
    ),
    (20, "fund", "user", "liquid", [500_001, 500_000], [499_999], "MAT_AFFORDABILITY"),
    (20, "fund", "product", "min_amount", [0, 9_999_999, 10_000_000], [], None),
    (
        21,
        "fund",
        "user",
        "held_issuer",
        [{"issuer-1": 21_285_713}, {"issuer-1": 21_285_714}, {"other": 10**15}],
        [{"issuer-1": 21_285_715}],
        "MAT_ISSUER_CONCENTRATION",
    ),
    (21, HIGH, "user", "held_high_risk", [0, 9_900_000], [9_900_001], "MAT_HIGH_RISK_CONCENTRATION"),
    (23, "protection", "user", "needs_on", [date(2026, 11, 22)], [date(2026, 11, 23)], "USR_NEEDS_EXPIRED"),
    (23, "protection", "user", "needs_on", [date(2025, 11, 23)], [date(2025, 11, 22)], "USR_NEEDS_EXPIRED"),
    (24, "protection", "user", "income", [1_000_001, 1_000_000], [999_999], "MAT_PREMIUM_TO_INCOME"),
    (24, "protection", "user", "premium_budget", [200_001, 200_000], [199_999], "MAT_PREMIUM_BUDGET"),
    (24, "protection", "product", "annual_premium", [0, 3_000_000], [3_000_001], "MAT_PREMIUM_BUDGET"),
    (24, "protection", "product", "pay_years", [1, 2, 18, 19], [20, 21], "MAT_AGE_PLUS_PAY_TERM"),
    (24, "protection for an elder", "user", "income", [50_001, 50_000], [49_999], "MAT_PREMIUM_TO_INCOME"),
    (26, "fund on credit", "user", "user_risk_band", [1, 2, 3], [4, 99], "MAT_RISK_BAND_OVER_LIMIT"),
    (25, "fund", "product", "risk_score", [0, 5999, 6000], [6001, 10_000], "MAT_RISK_SCORE_OVER_LIMIT"),
]


@pytest.mark.parametrize(("number", "base", "side", "name", "passing", "failing", "code"), BOUNDS)
def test_a_comparison_holds_up_to_its_bound_and_not_beyond(number, base, side, name, passing, failing, code):
    for value in passing:
        assert verdict(*changed(side, *BASES[base], {name: value})) == frozenset()
    for value in failing:
        user, product = changed(side, *BASES[base], {name: value})
        assert verdict(user, product) == {code}
        assert code in PREDICATES[number].function.__doc__


# (section, key, values that pass, values that do not, base, code)
RULES = [
    ("assessment", "max_per_12m", [1], [0], "fund", "USR_ASSESSMENT_TOO_MANY"),
    ("assessment", "profile_max_staleness_s", [3600], [3599], "fund", "USR_PROFILE_STALE"),
    ("horizon", "buffer_months", [53, 54], [55], "fund", "MAT_HORIZON"),
    ("affordability", "min_investment_max_bps_of_liquid", [20], [19], "fund", "MAT_AFFORDABILITY"),
    ("concentration", "issuer_max_bps", [20], [19], "fund", "MAT_ISSUER_CONCENTRATION"),
    ("concentration", "high_risk_max_bps", [20], [19], HIGH, "MAT_HIGH_RISK_CONCENTRATION"),
    ("elder", "age", [41], [40], "fund", "MAT_ELDER_PROTECTION"),
    ("insurance", "annual_premium_max_bps_of_income", [67], [66], "protection", "MAT_PREMIUM_TO_INCOME"),
    ("insurance", "budget_max_bps", [667], [666], "protection", "MAT_PREMIUM_BUDGET"),
    ("insurance", "age_plus_pay_years_max_exclusive", [51], [50], "protection", "MAT_AGE_PLUS_PAY_TERM"),
    (
        "insurance",
        "rated_from_level",
        [2],
        [1, 0],
        "protection without assessment",
        "USR_ASSESSMENT_MISSING",
    ),
    (
        "limited_capacity",
        "max_level",
        [1],
        [0],
        "protection at limited capacity",
        "MAT_LIMITED_CAPACITY_LEVEL",
    ),
    ("vulnerable", "max_level", [2], [1], "fund for the vulnerable", "MAT_VULNERABLE_PROTECTION"),
    ("credit", "max_band", [2, 3, 99], [1, 0], "fund on credit", "MAT_RISK_BAND_OVER_LIMIT"),
    ("elder", "max_insurance_level", [1], [0], "protection for an elder", "MAT_ELDER_PROTECTION"),
]


@pytest.mark.parametrize(("section", "key", "passing", "failing", "base", "code"), RULES)
def test_a_number_of_the_policy_decides_at_its_bound(section, key, passing, failing, base, code):
    for value in passing:
        assert verdict(*BASES[base], policy_with(**{section: {key: value}})) == frozenset()
    for value in failing:
        assert verdict(*BASES[base], policy_with(**{section: {key: value}})) == {code}


def test_the_issuers_share_counts_what_is_held_there_in_the_total():
    held = {**USER, "held_issuer": {"issuer-1": 21_285_715}}
    assert verdict(held, PRODUCT) == {"MAT_ISSUER_CONCENTRATION"}
    # Ten minor units more anywhere else, and the same holding is within 30 % of the total.
    assert verdict({**held, "held_issuer": {"issuer-1": 21_285_715, "other": 10}}, PRODUCT) == frozenset()


def test_the_greatest_amounts_neither_overflow_nor_round():
    held = {**USER, "liquid": 10**15, "held_issuer": {"a": 10**15, "b": 10**15}, "income": 10**15}
    at_limit = {**PRODUCT, "min_amount": 2 * 10**14, "capacity_left": 10**15}
    assert verdict(held, at_limit) == frozenset()
    assert verdict(held, {**at_limit, "min_amount": 2 * 10**14 + 1}) == {"MAT_AFFORDABILITY"}
    costly = {**INSURANCE, "annual_premium": 2 * 10**14}
    rich = {**held, "premium_budget": 10**15}
    assert verdict(rich, costly) == frozenset()
    assert verdict(rich, {**costly, "annual_premium": 2 * 10**14 + 1}) == {"MAT_PREMIUM_TO_INCOME"}


@pytest.mark.parametrize("family", ["WEALTH", "FUND", "TRUST", "STRUCTURED"])
def test_an_unknown_level_counts_as_high_risk_in_the_concentration(family):
    held = {**USER, "held_high_risk": 9_900_001, "knowledge": {family: 3}}
    unknown = {**PRODUCT, "family": family, "level_issuer": None}
    assert verdict(held, unknown) == {"PRD_LEVEL_UNKNOWN", "MAT_HIGH_RISK_CONCENTRATION"}


@pytest.mark.parametrize(
    ("family", "elder_cap", "vulnerable_cap"),
    [("FUND", 2, 2), ("INS_PROTECTION", 3, 2), ("INS_PAR_UL", 3, 2), ("INS_LINKED", 3, 2), ("BOND", 2, 2)],
)
def test_the_caps_of_protected_users_depend_on_the_kind_of_product(family, elder_cap, vulnerable_cap):
    user = {**USER, "risk_level": 5}
    for level in range(1, 6):
        product = {**INSURANCE, **SINGLE, "family": family, "level_issuer": level, "min_knowledge": 0}
        elder = verdict({**user, **ELDER}, product)
        vulnerable = verdict({**user, "vulnerable": True}, product)
        assert ("MAT_ELDER_PROTECTION" in elder) == (level > elder_cap)
        assert ("MAT_VULNERABLE_PROTECTION" in vulnerable) == (level > vulnerable_cap)


def test_the_local_day_decides_about_age_assessment_and_needs():
    last = datetime(2026, 11, 22, 15, 59, 59, 999_999, tzinfo=UTC)  # One microsecond before midnight.
    for user, code in (
        ({**USER, "birth_date": date(1961, 11, 23)}, "MAT_ELDER_PROTECTION"),
        ({**USER, "assessed_on": date(2025, 11, 23)}, "USR_ASSESSMENT_EXPIRED"),
    ):
        assert verdict(user, PRODUCT, now=last) == frozenset()
        assert verdict(user, PRODUCT, now=last + TICK) == {code}
    needing = {**USER, "needs_on": date(2025, 11, 23)}
    assert verdict(needing, INSURANCE, now=last) == frozenset()
    assert verdict(needing, INSURANCE, now=last + TICK) == {"USR_NEEDS_EXPIRED"}
    # What is dated tomorrow in UTC's eyes is of today in Shanghai.
    assert verdict({**USER, "assessed_on": date(2026, 11, 23)}, PRODUCT, now=last + TICK) == frozenset()


def test_a_leap_day_birth_is_judged_by_the_stricter_day_each_time():
    user = {**USER, "assessed_on": date(2026, 2, 1), "needs_on": date(2026, 2, 1)}
    for day, below, above in ((27, True, False), (28, True, True)):
        now = datetime(2026, 2, day, 4, tzinfo=UTC)
        born = {**user, "profile_as_of": now, "birth_date": date(2008, 2, 29)}
        assert bool(verdict(born, PRODUCT, now=now)) is below
        assert bool(verdict(born, {**PRODUCT, "min_age": 0, "max_age": 17}, now=now)) is above
    now = datetime(2026, 3, 1, 4, tzinfo=UTC)
    born = {**user, "profile_as_of": now, "birth_date": date(2008, 2, 29)}
    assert verdict(born, PRODUCT, now=now) == frozenset()


def test_a_profile_is_never_better_for_a_step_of_the_clock():
    for step in (-DAY - DAY, -DAY, DAY + DAY):
        codes = verdict(USER, PRODUCT, now=NOW + step)
        assert "USR_PROFILE_STALE" in codes
    assert verdict(USER, {**PRODUCT, **LEVEL_2}, now=NOW - timedelta(hours=1)) == frozenset()


def test_a_single_premium_is_not_judged_as_an_annual_one():
    user, product = {**USER, "income": 60_000}, {**INSURANCE, **SINGLE}
    assert verdict(user, product) == frozenset()
    annual = {**without(product, "single_premium"), "pay_years": 1, "annual_premium": 200_000}
    assert verdict(user, annual) == {"MAT_PREMIUM_TO_INCOME"}
