"""The least that each product asks of a user, and what a user brings: the filter's numbers.

A product lets a user pass where its least is not above what the user brings. `find_least` and `find_brought`
give their numbers in one order, that of `Thresholds`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from suitability import records
from suitability.policy import Policy
from suitability.predicates.assessment import check_assessment
from suitability.predicates.pair import Pair
from suitability.ratings import applied_risk_score_limit, effective_level, effective_risk_score, is_rated
from suitability.records import PRODUCT_FIELDS, USER_FIELDS

Product = Mapping[str, Any]

_ALWAYS: Final = -(2**15)  # Asked where the rule asks for nothing.
_NEVER: Final = 2**15 - 1  # Asked where the rule needs what the product does not state.
_NOTHING: Final = -1  # Brought where the user's value is missing.
_WHOLE_BPS: Final = 10_000


class Thresholds(NamedTuple):
    """One number per rule; what a user brings is None where the rule is not asked of this user."""

    risk_level: int | None = _ALWAYS
    risk_score: int | None = _ALWAYS
    loss_capacity: int | None = _ALWAYS
    max_loss_bps: int | None = _ALWAYS
    horizon_months: int | None = _ALWAYS
    age: int | None = _ALWAYS
    youth: int | None = _ALWAYS  # Minus the age, so that a bound from above is one from below.
    years_to_pay: int | None = _ALWAYS


@dataclass(frozen=True, slots=True)
class Brought:
    """What a user brings."""

    thresholds: Thresholds
    amount: int


def find_least(products: Sequence[Product], policy: Policy) -> NDArray[np.int16]:
    """Returns what each product asks for, int16 [thresholds, product_count]."""
    rows = [_ask(product, policy) for product in products]
    return np.ascontiguousarray(np.array(rows, np.int16).reshape(-1, len(Thresholds._fields)).T)


def find_min_amount(products: Sequence[Product]) -> NDArray[np.int64]:
    """Returns the smallest amount of each investment product, int64 [product_count]; -1 for others."""
    amounts = []
    for product in products:
        investment = records.text(product, PRODUCT_FIELDS["family"]) in records.INVESTMENT_FAMILIES
        amount = records.integer(product, PRODUCT_FIELDS["min_amount"]) if investment else _NOTHING
        amounts.append(records.AMOUNT_MAX + 1 if amount is None else amount)
    return np.array(amounts, np.int64)


def find_brought(pair: Pair, age: int) -> Brought:
    """Returns what a user brings.

    Args:
        pair: the user, with an investment product.
        age: in whole years, a leap-day birthday on 28 February.
    """
    user, rules = pair.user, pair.rules
    assessed = check_assessment(pair) is None
    limit = applied_risk_score_limit(user, pair.policy, pair.risk_score_limit)
    capacity = _read(user, "loss_capacity")
    return Brought(
        Thresholds(
            risk_level=_read(user, "risk_level") if assessed else _NOTHING,
            risk_score=_NOTHING if limit is None else limit,
            loss_capacity=capacity,
            max_loss_bps=_read(user, "max_loss_bps") if capacity == 1 else None,
            horizon_months=_read(user, "horizon_months"),
            age=age,
            youth=-age,
            years_to_pay=rules["insurance"]["age_plus_pay_years_max_exclusive"] - 1 - age,
        ),
        _find_amount(user, rules),
    )


def _ask(product: Product, policy: Policy) -> Thresholds:
    family = records.text(product, PRODUCT_FIELDS["family"])
    if family == records.LEARNING_FAMILY:
        return Thresholds()
    rated = is_rated(product, policy)
    score = effective_risk_score(product, policy)
    loss_class = records.integer(product, PRODUCT_FIELDS["loss_class"])
    oldest = records.integer(product, PRODUCT_FIELDS["max_age"])
    return Thresholds(
        risk_level=_ask_risk_level(product, policy) if rated else _ALWAYS,
        risk_score=_or_never(score) if rated else _ALWAYS,
        loss_capacity=_ALWAYS if loss_class == 0 else _or_never(loss_class),
        max_loss_bps=_ask_int(product, "max_loss_bps") if loss_class == 1 else _ALWAYS,
        horizon_months=_ask_horizon(product, family, policy),
        age=_ask_int(product, "min_age"),
        youth=_NEVER if oldest is None else -oldest,
        years_to_pay=_ask_years_to_pay(product) if family in records.INSURANCE_FAMILIES else _ALWAYS,
    )


def _ask_risk_level(product: Product, policy: Policy) -> int:
    """Returns the lowest risk level whose entry in the risk matrix reaches the product's level."""
    level = effective_level(product)
    if level is None:
        return _NEVER
    matrix = policy.values["risk_matrix"][product["scale"]]
    return min((int(risk_level) for risk_level, most in matrix.items() if level <= most), default=_NEVER)


def _ask_horizon(product: Product, family: str | None, policy: Policy) -> int:
    months = records.integer(product, PRODUCT_FIELDS["min_horizon_months"])
    if months is None:
        return _NEVER
    buffer_months: int = policy.values["horizon"]["buffer_months"]
    return _ALWAYS if months == 0 or family == "INS_PROTECTION" else months + buffer_months


def _ask_years_to_pay(product: Product) -> int:
    years = records.integer(product, PRODUCT_FIELDS["pay_years"])
    return _ALWAYS if years in (0, 1) else _or_never(years)


def _ask_int(product: Product, name: str) -> int:
    return _or_never(records.integer(product, PRODUCT_FIELDS[name]))


def _or_never(value: int | None) -> int:
    return _NEVER if value is None else value


def _read(user: object, name: str) -> int:
    value = records.integer(user, USER_FIELDS[name])
    return _NOTHING if value is None else value


def _find_amount(user: object, rules: Mapping[str, Any]) -> int:
    """Returns the most that one investment may cost, were nothing held at its issuer."""
    liquid = records.integer(user, USER_FIELDS["liquid"])
    held = records.counts(user, USER_FIELDS["held_issuer"])
    if liquid is None or held is None or records.integer(user, USER_FIELDS["held_high_risk"]) is None:
        return _NOTHING
    of_liquid = liquid * rules["affordability"]["min_investment_max_bps_of_liquid"]
    of_total = (liquid + sum(held.values())) * rules["concentration"]["issuer_max_bps"]
    return int(min(of_liquid, of_total) // _WHOLE_BPS)
