"""Fixtures of the suitability tests: one eligible pair, from which every test changes as little as it can."""

from collections.abc import Mapping
from datetime import UTC, date, datetime

import pytest

from suitability import Policy, default_policy_path, load_policy

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)  # Noon in Shanghai.

USER = {
    "pseudonym": b"\x01" * 16,
    "profile_as_of": datetime(2026, 11, 22, 3, 0, tzinfo=UTC),
    "client_type": "RETAIL",
    "capacity": "FULL",
    "birth_date": date(1986, 5, 17),
    "jurisdiction": "CN",
    "us_person": False,
    "risk_level": 3,
    "assessed_on": date(2026, 9, 1),
    "level_changed": False,
    "level_confirmed": False,
    "assessments_today": 0,
    "assessments_12m": 1,
    "change_reported": False,
    "knowledge": {"FUND": 2, "INS_PROTECTION": 1},
    "loss_capacity": 2,
    "max_loss_bps": 3000,
    "horizon_months": 60,
    "objectives": {"GROWTH"},
    "needs": {"HEALTH"},
    "needs_on": date(2026, 8, 1),
    "liquid": 50_000_000,
    "income": 30_000_000,
    "premium_budget": 3_000_000,
    "currencies": {"CNY"},
    "held_issuer": {"other": 0},
    "held_high_risk": 0,
    "held_dup_groups": set(),
    "vulnerable": False,
    "blocked": False,
    "consent_sensitive": True,
    "user_risk_band": 2,
}

PRODUCT = {
    "id": "fund-1",
    "issuer": "issuer-1",
    "family": "FUND",
    "scale": "CN5",
    "status": "ON_SALE",
    "registration_code": "R-0001",
    "sale_start": datetime(2026, 1, 1, tzinfo=UTC),
    "sale_end": datetime(2027, 1, 1, tzinfo=UTC),
    "channels": {"app", "web"},
    "licence_until": datetime(2028, 1, 1, tzinfo=UTC),
    "offering": "PUBLIC",
    "level_issuer": 2,
    "level_distributor": 3,
    "retail": "Y",
    "min_knowledge": 1,
    "loss_class": 1,
    "max_loss_bps": 1000,
    "min_horizon_months": 6,
    "min_age": 18,
    "max_age": 80,
    "jurisdictions": {"CN"},
    "us_persons_ok": False,
    "currency": "CNY",
    "min_amount": 100_000,
    "capacity_left": 10_000_000,
    "objectives_y": {"GROWTH"},
    "objectives_n": set(),
    "risk_score": 4200,
}

COURSE = {
    "id": "course-1",
    "issuer": "school-1",
    "family": "COURSE",
    "status": "ON_SALE",
    "sale_start": datetime(2026, 1, 1, tzinfo=UTC),
    "sale_end": datetime(2027, 1, 1, tzinfo=UTC),
    "channels": {"app"},
}

INSURANCE = {
    **PRODUCT,
    "id": "cover-1",
    "family": "INS_PROTECTION",
    "level_issuer": 1,
    "level_distributor": 1,
    "needs_served": {"HEALTH"},
    "pay_years": 10,
    "annual_premium": 200_000,
}


class Unreadable(Mapping[str, object]):
    """Is a mapping of one key that raises when anybody reads it."""

    def __getitem__(self, key: str) -> object:
        raise RuntimeError(key)

    def __iter__(self):
        return iter(["FUND"])

    def __len__(self) -> int:
        return 1


@pytest.fixture(scope="session")
def unreadable() -> Mapping[str, object]:
    return Unreadable()


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def user() -> dict[str, object]:
    return dict(USER)


@pytest.fixture(scope="session")
def product() -> dict[str, object]:
    return dict(PRODUCT)


@pytest.fixture(scope="session")
def course() -> dict[str, object]:
    return dict(COURSE)


@pytest.fixture(scope="session")
def insurance() -> dict[str, object]:
    return dict(INSURANCE)


@pytest.fixture(scope="session")
def policy() -> Policy:
    return load_policy(default_policy_path())
