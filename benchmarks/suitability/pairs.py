"""Users and products that are eligible, and changes to them: one at a time they show what a rule decides.

Every pair of an eligible user at risk level 5 and an eligible product is eligible by all of the rules, under
the default policy, at NOW and on CHANNEL. The changes hold values just inside and just outside each bound of
such a pair, the worst values, junk of every kind, and absence.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np

from benchmarks.suitability.changes import ABSENT, CHANNEL, NOW, PRODUCT_CHANGES, USER_CHANGES, Changes

__all__ = [
    "ABSENT",
    "CHANNEL",
    "FAMILIES",
    "INSURANCE",
    "INVESTMENT",
    "NOW",
    "PRODUCT_CHANGES",
    "USER_CHANGES",
    "change",
    "draw_changes",
    "draw_products",
    "draw_users",
    "eligible_product",
    "eligible_user",
    "policy_variants",
    "put",
]

INVESTMENT = ("WEALTH", "FUND", "TRUST", "STRUCTURED")
INSURANCE = ("INS_PROTECTION", "INS_PAR_UL", "INS_LINKED")
FAMILIES = ("COURSE", *INVESTMENT, *INSURANCE)
CREDIT_LIKE_EVERY = 17
"""Every so many of the drawn products are credit-like."""


def eligible_user(risk_level: int = 5) -> dict[str, Any]:
    """Returns a retail user of 46 years with every field; the risk level decides how much suits."""
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
        "knowledge": dict.fromkeys((*INVESTMENT, *INSURANCE), 2),
        "loss_capacity": 1,
        "max_loss_bps": 2000,
        "horizon_months": 60,
        "objectives": frozenset({"GROWTH", "INCOME"}),
        "needs": frozenset({"HEALTH", "PENSION"}),
        "needs_on": date(2026, 5, 20),
        "liquid": 10_000_000,
        "income": 30_000_000,
        "premium_budget": 3_000_000,
        "currencies": frozenset({"CNY", "USD"}),
        "held_issuer": {"issuer 0": 500_000, "elsewhere": 1_500_000},
        "held_high_risk": 300_000,
        "held_dup_groups": frozenset({"group a"}),
        "vulnerable": False,
        "blocked": False,
        "consent_sensitive": True,
        "user_risk_band": 3,
    }


def eligible_product(product_id: str, family: str = "FUND", level: int = 1) -> dict[str, Any]:
    """Returns a product on sale with every field that its kind of product has."""
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
    product |= {
        "scale": "CN5",
        "registration_code": f"R-{product_id}",
        "licence_until": NOW + timedelta(days=60),
        "offering": "PUBLIC",
        "level_issuer": level,
        "level_distributor": level,
        "retail": "Y",
        "min_knowledge": 1,
        "loss_class": 1,
        "max_loss_bps": 1000,
        "min_horizon_months": 6,
        "min_age": 18,
        "max_age": 70,
        "jurisdictions": ["CN", "HK"],
        "us_persons_ok": False,
        "currency": "CNY",
        "min_amount": 100_000,
        "capacity_left": 5_000_000,
        "credit_like": False,
    }
    if family in INSURANCE:
        return product | {
            "needs_served": ["HEALTH"],
            "pay_years": 10,
            "annual_premium": 200_000,
            "single_premium": 250_000,
        }
    return product | {"objectives_y": ["GROWTH"], "objectives_n": ["SPECULATION"]}


def policy_variants(policy: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the policy and others that differ from it in a few numbers, by name."""
    changes: dict[str, dict[str, Any]] = {
        "as it is": {},
        "halted": {"halted_products": ["x0009", "x0012"], "halted_issuers": ["halted issuer", "issuer 3"]},
        "level cap": {"level_cap": 2},
        "credit to band 3": {"credit": {"max_band": 3}},
        "credit to nobody": {"credit": {"max_band": 0}},
        "nothing above the cap": {"level_cap": 0},
        "neutral allowed": {"target_market": {"client_type_neutral": "ALLOW"}},
        "longer horizon": {"horizon": {"buffer_months": 54}},
        "a day later": {"jurisdiction_tz": "Pacific/Kiritimati"},
        "a day earlier": {"jurisdiction_tz": "Pacific/Pago_Pago"},
        "begins now": {"effective_from": NOW.isoformat(), "effective_to": "2026-11-22T17:02:00+08:00"},
        "ended": {"effective_to": NOW.isoformat()},
        "tighter": {
            "assessment": dict(policy["assessment"])
            | {"validity_months": 6, "needs_validity_months": 3, "max_per_day": 0, "max_per_12m": 1},
            "elder": {"age": 46, "max_level": 1, "max_insurance_level": 2},
            "vulnerable": {"max_level": 1, "max_insurance_level": 1},
            "affordability": {"min_investment_max_bps_of_liquid": 100},
            "concentration": {"issuer_max_bps": 500, "high_risk_level": 2, "high_risk_max_bps": 333},
            "insurance": dict(policy["insurance"])
            | {"age_plus_pay_years_max_exclusive": 56, "budget_max_bps": 666, "rated_from_level": 2},
            "credit": {"max_band": 2},
        },
        "looser": {
            "limited_capacity": {"max_level": 3},
            "vulnerable": {"max_level": 4, "max_insurance_level": 5},
            "elder": dict(policy["elder"]) | {"max_level": 5, "max_insurance_level": 5},
            "affordability": {"min_investment_max_bps_of_liquid": 10_000},
            "concentration": {"issuer_max_bps": 10_000, "high_risk_level": 5, "high_risk_max_bps": 10_000},
            "insurance": dict(policy["insurance"])
            | {"age_plus_pay_years_max_exclusive": 100, "rated_from_level": 5},
            "credit": {"max_band": 99},
        },
    }
    return {name: dict(policy) | change for name, change in changes.items()}


def put(record: dict[str, Any], name: str, value: Any) -> None:
    """Gives a field of a record another value in place, or takes it away."""
    if value is ABSENT:
        record.pop(name, None)
    else:
        record[name] = value


def change(record: dict[str, Any], changes: Changes, random: np.random.Generator) -> None:
    """Changes one field of a record in place; every field is as likely as any other."""
    name = str(random.choice(sorted(changes)))
    put(record, name, changes[name][int(random.integers(len(changes[name])))])


def draw_changes(changes: Changes, random: np.random.Generator) -> Iterator[tuple[str, Any]]:
    """Yields every change once in random order, then all of them again, without end."""
    deck = [(name, value) for name, values in changes.items() for value in values]
    while True:
        for position in random.permutation(len(deck)):
            yield deck[position]


def draw_users(random: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """Draws users, three fifths of them unchanged and the others with one or two changes."""
    changes = draw_changes(USER_CHANGES, random)
    users = []
    for _ in range(count):
        user = eligible_user(int(random.choice([1, 3, 5], p=[0.15, 0.2, 0.65])))
        for _ in range(int(random.choice([0, 1, 2], p=[0.6, 0.3, 0.1]))):
            put(user, *next(changes))
        users.append(user)
    return users


def draw_products(random: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """Draws products of every family in turn, most unchanged, the others with one or two changes."""
    changes = draw_changes(PRODUCT_CHANGES, random)
    products = []
    for number in range(count):
        level = int(random.choice([1, 2, 3, 4, 5], p=[0.3, 0.3, 0.25, 0.1, 0.05]))
        product = eligible_product(f"x{number:04}", FAMILIES[number % len(FAMILIES)], level)
        if "scale" in product and random.random() < 0.2:
            product["scale"] = "SRI7"
        if "pay_years" in product and random.random() < 0.4:
            product["pay_years"] = 0
        if "credit_like" in product and number % CREDIT_LIKE_EVERY == 0:
            product["credit_like"] = True
        for _ in range(int(random.choice([0, 1, 2], p=[0.55, 0.3, 0.15]))):
            put(product, *next(changes))
        products.append(product)
    return products
