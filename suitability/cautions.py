"""Collects the warnings that accompany a shown financial item; a warning never hides one.

What is unknown warns: a missing value is never better than the worst one. WARNINGS is the table; adding a
warning is one function and one row.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from suitability.calendar_days import add_months, age_rounded_up
from suitability.policy import Policy
from suitability.predicates.pair import Pair
from suitability.ratings import (
    applied_risk_score_limit,
    effective_level,
    effective_risk_score,
    is_rated,
)
from suitability.records import PRODUCT_FIELDS, USER_FIELDS, day, integer, raw

EXPIRING_WITHIN = timedelta(days=30)
ILLIQUID_FROM_MONTHS = 12


@dataclass(frozen=True)
class Shown:
    """Holds a shown pair and what the user's history holds.

    Attributes:
        pair: the eligible pair.
        history_levels: (scale, effective level) of the products in the user's history.
    """

    pair: Pair
    history_levels: Collection[tuple[str, int]]


def warnings(
    user: Mapping[str, Any] | None,
    product: Mapping[str, Any] | None,
    policy: Policy | Mapping[str, Any],
    now: datetime,
    *,
    risk_score_limit: int | None = None,
    history_levels: Collection[tuple[str, int]] = (),
    asked: Sequence[tuple[str, Callable[[Shown], bool]]] | None = None,
) -> tuple[str, ...]:
    """Returns the warnings that accompany an eligible product, in a fixed order. Never raises.

    Args:
        user: the user's fields.
        product: the product's fields.
        policy: the policy in force.
        now: decision_time, with time zone.
        risk_score_limit: the request's own limit, or None.
        history_levels: (scale, effective level) of the products in the user's history; none when it is
            unknown.
        asked: the entries of WARNINGS to decide; None for all of them.

    Returns:
        Names such as W_NEAR_LIMIT; none for learning content.
    """
    shown = Shown(Pair(user, product, policy, now, None, risk_score_limit), history_levels)
    return tuple(name for name, applies in (WARNINGS if asked is None else asked) if _holds(applies, shown))


def _holds(applies: Callable[[Shown], bool], shown: Shown) -> bool:
    try:
        return not shown.pair.learning and applies(shown)
    except Exception:  # noqa: BLE001 - a warning that cannot be decided is given.
        return True


def _is_near_limit(shown: Shown) -> bool:
    pair = shown.pair
    if not is_rated(pair.product, pair.policy):
        return False
    score = effective_risk_score(pair.product, pair.policy)
    limit = applied_risk_score_limit(pair.user, pair.policy, pair.risk_score_limit)
    return score is None or limit is None or score * 10 >= limit * 9


def _is_assessment_expiring(shown: Shown) -> bool:
    pair = shown.pair
    if not is_rated(pair.product, pair.policy):
        return False
    assessed_on = day(pair.user, USER_FIELDS["assessed_on"])
    if assessed_on is None:
        return True
    expiry = add_months(assessed_on, pair.rules["assessment"]["validity_months"])
    return expiry - pair.today <= EXPIRING_WITHIN


def _is_elder(shown: Shown) -> bool:
    pair = shown.pair
    birth = day(pair.user, USER_FIELDS["birth_date"])
    return birth is None or age_rounded_up(birth, pair.today) >= pair.rules["elder"]["age"]


def _is_first_at_level(shown: Shown) -> bool:
    level = effective_level(shown.pair.product)
    return level is None or (raw(shown.pair.product, "scale"), level) not in shown.history_levels


def _can_lose_capital(shown: Shown) -> bool:
    loss_class = integer(shown.pair.product, PRODUCT_FIELDS["loss_class"])
    return loss_class is None or loss_class >= 1


def _is_illiquid(shown: Shown) -> bool:
    months = integer(shown.pair.product, PRODUCT_FIELDS["min_horizon_months"])
    return months is None or months >= ILLIQUID_FROM_MONTHS


def _rests_on_assumed_data(shown: Shown) -> bool:
    return bool(raw(shown.pair.product, "assumed")) or bool(raw(shown.pair.user, "assumed"))


WARNINGS: tuple[tuple[str, Callable[[Shown], bool]], ...] = (
    ("W_NEAR_LIMIT", _is_near_limit),
    ("W_ASSESSMENT_EXPIRING", _is_assessment_expiring),
    ("W_ELDER", _is_elder),
    ("W_FIRST_AT_LEVEL", _is_first_at_level),
    ("W_CAN_LOSE_CAPITAL", _can_lose_capital),
    ("W_ILLIQUID", _is_illiquid),
    ("W_ASSUMED_DATA", _rests_on_assumed_data),
)
