"""Users and products that are eligible, and changes to them: one at a time they show what a rule decides."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
CHANNEL = "app"
FAMILIES = ("COURSE", "WEALTH", "FUND", "TRUST", "STRUCTURED", "INS_PROTECTION", "INS_PAR_UL", "INS_LINKED")
ABSENT = object()


def eligible_user(risk_level: int = 5) -> dict[str, Any]:
    return {
        "pseudonym": b"someone",
        "profile_as_of": NOW - timedelta(hours=2),
        "client_type": "RETAIL",
        "capacity": "FULL",
        "birth_date": date(1980, 3, 4),
        "jurisdiction": "CN",
        "us_person": False,
        "risk_level": risk_level,
        "assessed_on": date(2026, 5, 20),
        "level_changed": False,
        "level_confirmed": True,
        "assessments_today": 0,
        "assessments_12m": 1,
        "change_reported": False,
        "objectives": frozenset({"GROWTH"}),
        "needs": frozenset({"HEALTH"}),
        "needs_on": date(2026, 5, 20),
        "liquid": 10_000_000,
        "vulnerable": False,
        "blocked": False,
        "consent_sensitive": True,
    }


def eligible_product(product_id: str, family: str = "FUND", level: int = 1) -> dict[str, Any]:
    product: dict[str, Any] = {
        "id": product_id,
        "title": f"Product {product_id}",
        "title_alternate": f"产品 {product_id}",
        "issuer": f"issuer {sum(product_id.encode()) % 5}",
        "family": family,
        "status": "ON_SALE",
        "sale_start": NOW - timedelta(days=400),
        "sale_end": NOW + timedelta(days=30),
        "channels": ["app", "branch"],
    }
    if family == "COURSE":
        return product
    return product | {
        "scale": "CN5",
        "registration_code": f"R-{product_id}",
        "licence_until": NOW + timedelta(days=60),
        "level_issuer": level,
        "level_distributor": level,
        "loss_class": 1,
        "min_horizon_months": 6,
    }


USER_CHANGES: dict[str, tuple[Any, ...]] = {
    "pseudonym": (ABSENT, b"", "someone"),
    "blocked": (ABSENT, True, 0, None),
    "consent_sensitive": (ABSENT, False, 1),
    "risk_level": (ABSENT, 0, 1, 2, 3, 4, -1, 6, True, 3.0, "3"),
    "assessed_on": (
        ABSENT,
        date(2025, 11, 22),
        date(2025, 11, 23),
        date(2026, 11, 22),
        date(2026, 11, 23),
        datetime(2026, 5, 20, tzinfo=UTC),
        "2026-05-20",
    ),
    "level_changed": (ABSENT, True),
    "level_confirmed": (ABSENT, False),
    "change_reported": (ABSENT, True),
    "assessments_today": (ABSENT, 2, 3, -1, True),
    "assessments_12m": (ABSENT, 8, 9, 1.0),
    "birth_date": (ABSENT, date(1950, 1, 1)),
    "profile_as_of": (ABSENT, NOW - timedelta(days=3), NOW + timedelta(hours=1)),
    "needs_on": (ABSENT, date(2025, 11, 24)),
}
PRODUCT_CHANGES: dict[str, tuple[Any, ...]] = {
    "id": (ABSENT, " "),
    "issuer": (ABSENT, "", 7, "halted issuer"),
    "family": (ABSENT, "OPTION", *FAMILIES),
    "status": (ABSENT, "WITHDRAWN", ""),
    "registration_code": (ABSENT, "  "),
    "sale_start": (ABSENT, NOW, NOW + timedelta(microseconds=1), datetime(2026, 1, 1)),  # noqa: DTZ001
    "sale_end": (
        ABSENT,
        NOW,
        NOW + timedelta(microseconds=1),
        NOW.astimezone(timezone(timedelta(hours=8))),
    ),
    "channels": (ABSENT, [], ["branch"], "app", ["app", ""], frozenset({"app"})),
    "licence_until": (ABSENT, NOW, NOW + timedelta(seconds=1)),
    "scale": (ABSENT, "SRI7", "EU3"),
    "level_issuer": (ABSENT, 0, 2, 3, 4, 5, 6, True, 2.0),
    "level_distributor": (ABSENT, 2, 3, 4, 5, 7),
    "risk_score": (0, 1999, 2000, 2001, 4000, 5999, 8001, 10_000, 10_001, -1, 5.5, True, "9"),
}


def change(record: dict[str, Any], changes: dict[str, tuple[Any, ...]], random: np.random.Generator) -> None:
    """Changes one field of a record in place."""
    name = str(random.choice(sorted(changes)))
    value = changes[name][int(random.integers(len(changes[name])))]
    if value is ABSENT:
        record.pop(name, None)
    else:
        record[name] = value


def draw_users(random: np.random.Generator, count: int) -> list[dict[str, Any]]:
    users = []
    for _ in range(count):
        user = eligible_user(int(random.choice([1, 3, 5, 5, 5])))
        for _ in range(int(random.choice([0, 1, 2], p=[0.6, 0.3, 0.1]))):
            change(user, USER_CHANGES, random)
        users.append(user)
    return users


def draw_products(random: np.random.Generator, count: int) -> list[dict[str, Any]]:
    products = []
    for number in range(count):
        family = FAMILIES[number % len(FAMILIES)]
        product = eligible_product(f"x{number:04}", family, int(random.integers(1, 4)))
        for _ in range(int(random.choice([0, 1, 2], p=[0.55, 0.3, 0.15]))):
            change(product, PRODUCT_CHANGES, random)
        products.append(product)
    return products
