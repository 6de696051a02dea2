"""Eligible pairs of every kind, from which tests change one or two things, and ways to change them."""

from collections.abc import Mapping
from datetime import date

from suitability import evaluate, load_policy
from tests.suitability.conftest import COURSE, INSURANCE, NOW, PRODUCT, USER
from tests.suitability.golden_cases import POLICY as SHIPPED_POLICY

POLICY = load_policy({**SHIPPED_POLICY.values, "credit": {"max_band": 3}})
SINGLE = {"pay_years": 0, "annual_premium": None, "single_premium": 200_000}
LEVEL_2 = {"level_issuer": 2, "level_distributor": 2}
LEVEL_4 = {"level_issuer": 4, "level_distributor": 4, "risk_score": None}
ELDER = {"birth_date": date(1961, 11, 22)}

BASES: Mapping[str, tuple[dict[str, object], dict[str, object]]] = {
    "fund": (USER, PRODUCT),
    "fund without stated score": (USER, {**PRODUCT, "risk_score": None}),
    "fund with computed class": (USER, {**PRODUCT, "computed_risk_class": 3}),
    "fund of high risk": ({**USER, "risk_level": 4}, {**PRODUCT, **LEVEL_4}),
    "fund of limited losses": ({**USER, "loss_capacity": 1}, PRODUCT),
    "fund for professionals": ({**USER, "client_type": "PROFESSIONAL"}, {**PRODUCT, "retail": "N"}),
    "fund for US persons": ({**USER, "us_person": True}, {**PRODUCT, "us_persons_ok": True}),
    "fund after a confirmed change": ({**USER, "level_changed": True, "level_confirmed": True}, PRODUCT),
    "fund for an elder": ({**USER, **ELDER}, {**PRODUCT, **LEVEL_2}),
    "fund for the vulnerable": ({**USER, "vulnerable": True}, {**PRODUCT, **LEVEL_2}),
    "protection": (USER, INSURANCE),
    "protection without assessment": ({**USER, "risk_level": None, "assessed_on": None}, INSURANCE),
    "protection at limited capacity": ({**USER, "capacity": "LIMITED"}, INSURANCE),
    "protection of a group": (
        {**USER, "held_dup_groups": {"accident"}},
        {**INSURANCE, "dup_group": "medical"},
    ),
    "protection for an elder": ({**USER, **ELDER}, {**INSURANCE, **SINGLE}),
    "linked insurance": (
        {**USER, "knowledge": {"INS_LINKED": 2}},
        {**INSURANCE, **SINGLE, "family": "INS_LINKED", "level_issuer": 3},
    ),
    "fund on credit": (USER, {**PRODUCT, "credit_like": True}),
    "course": (USER, COURSE),
}
EXEMPT = frozenset({"computed_risk_class", "credit_like", "dup_group", "risk_score"})
"""Product fields whose absence has a meaning of its own."""


def verdict(user, product, policy=POLICY, now=NOW, channel="app", limit=None):
    """Returns the codes against a pair, by default under the circumstances that make the bases eligible."""
    return evaluate(user, product, policy, now, channel, limit)


def changed(side, user, product, changes):
    """Returns user and product with changes on one side."""
    if side == "user":
        return {**user, **changes}, product
    return user, {**product, **changes}


def without(record: Mapping[str, object], *names: str) -> dict[str, object]:
    """Returns a record that lacks some fields."""
    return {key: value for key, value in record.items() if key not in names}


def policy_with(**sections: object):
    """Returns the policy of the bases in which named values are replaced and named sections updated."""
    values = {**POLICY.values}
    for name, value in sections.items():
        values[name] = {**values[name], **value} if isinstance(value, Mapping) else value
    return load_policy(values)
