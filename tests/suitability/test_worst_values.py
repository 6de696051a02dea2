"""Tests that unknown is no: what is missing is never better than the worst value that there is."""

from datetime import UTC, date, datetime

import pytest

from suitability.records import PRODUCT_FIELDS, USER_FIELDS
from tests.suitability.bases import BASES, EXEMPT, changed, verdict, without

WORST = {
    "user": {
        "pseudonym": b"",
        "profile_as_of": datetime(2000, 1, 1, tzinfo=UTC),
        "client_type": "RETAIL",
        "capacity": "NONE",
        "birth_date": date(1900, 1, 1),
        "jurisdiction": "AQ",
        "us_person": True,
        "risk_level": 0,
        "assessed_on": date(1900, 1, 1),
        "level_changed": True,
        "level_confirmed": False,
        "assessments_today": 10**6,
        "assessments_12m": 10**6,
        "change_reported": True,
        "knowledge": {"FUND": 0, "INS_PROTECTION": 0, "INS_LINKED": 0},
        "loss_capacity": 0,
        "max_loss_bps": 0,
        "horizon_months": 0,
        "objectives": set(),
        "needs": set(),
        "needs_on": date(1900, 1, 1),
        "liquid": 0,
        "income": 0,
        "premium_budget": 0,
        "currencies": set(),
        "held_issuer": {"issuer-1": 10**15},
        "held_high_risk": 10**15,
        "held_dup_groups": {"medical"},
        "vulnerable": True,
        "blocked": True,
        "consent_sensitive": False,
        "user_risk_band": 99,
    },
    "product": {
        "id": "",
        "issuer": "",
        "family": "BOND",
        "scale": "",
        "status": "CLOSED",
        "registration_code": "",
        "sale_start": datetime(2099, 1, 1, tzinfo=UTC),
        "sale_end": datetime(2000, 1, 1, tzinfo=UTC),
        "channels": set(),
        "licence_until": datetime(2000, 1, 1, tzinfo=UTC),
        "offering": "PRIVATE",
        "level_issuer": 5,
        "level_distributor": 5,
        "retail": "N",
        "min_knowledge": 3,
        "loss_class": 3,
        "max_loss_bps": 10_000,
        "min_horizon_months": 1200,
        "min_age": 150,
        "max_age": 0,
        "jurisdictions": set(),
        "us_persons_ok": False,
        "currency": "XTS",
        "min_amount": 10**15,
        "capacity_left": 0,
        "objectives_y": set(),
        "objectives_n": {"GROWTH"},
        "needs_served": set(),
        "pay_years": 100,
        "annual_premium": 10**15,
        "single_premium": 10**15,
    },
}
FIELDS = [(side, name) for side, values in WORST.items() for name in values]


def test_the_table_names_every_field_but_those_whose_absence_has_a_meaning():
    assert WORST["user"].keys() == USER_FIELDS.keys()
    assert WORST["product"].keys() == PRODUCT_FIELDS.keys() - EXEMPT


@pytest.mark.parametrize("base", BASES)
def test_every_base_is_eligible(base):
    assert verdict(*BASES[base]) == frozenset()


@pytest.mark.parametrize(("side", "name"), FIELDS)
def test_a_missing_field_denies_wherever_its_worst_value_denies(side, name):
    denied = 0
    for user, product in BASES.values():
        if not verdict(*changed(side, user, product, {name: WORST[side][name]})):
            continue
        denied += 1
        deleted = (without(user, name), product) if side == "user" else (user, without(product, name))
        assert verdict(*deleted)
        assert verdict(*deleted) == verdict(*changed(side, user, product, {name: None}))
    assert denied >= 1


def test_a_user_of_whom_nothing_is_known_is_denied_by_all_that_read_one():
    assert verdict(None, BASES["fund"][1]) == {
        "USR_NOT_FOUND",
        "USR_PROFILE_AGE_UNKNOWN",
        "USR_CAPACITY_UNKNOWN",
        "USR_ASSESSMENT_MISSING",
        "USR_KNOWLEDGE_UNKNOWN",
        "USR_LOSS_CAPACITY_UNKNOWN",
        "USR_HORIZON_UNKNOWN",
        "USR_AGE_UNKNOWN",
        "MAT_VULNERABLE_PROTECTION",
        "USR_JURISDICTION_UNKNOWN",
        "USR_CURRENCY_UNKNOWN",
        "USR_FINANCES_UNKNOWN",
        "USR_OBJECTIVES_UNKNOWN",
    }


def test_a_product_of_which_nothing_is_known_is_denied_by_all_that_read_one():
    assert verdict(BASES["fund"][0], {}) == {
        "PRD_DATA_INVALID",
        "PRD_WINDOW_UNKNOWN",
        "PRD_CHANNEL_UNKNOWN",
        "PRD_NOT_PUBLIC_OFFER",
        "PRD_CAPACITY_UNKNOWN",
        "PRD_LEVEL_UNKNOWN",
        "PRD_CLIENT_TYPE_UNKNOWN",
        "PRD_KNOWLEDGE_UNKNOWN",
        "PRD_LOSS_CLASS_UNKNOWN",
        "PRD_HORIZON_UNKNOWN",
        "PRD_AGE_UNKNOWN",
        "PRD_JURISDICTION_UNKNOWN",
        "PRD_CURRENCY_UNKNOWN",
        "PRD_RISK_SCORE_UNKNOWN",
    }
