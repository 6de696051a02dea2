"""Decides whether a product may be shown to a user: eligible exactly when the set of codes is empty."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from suitability.policy import Policy
from suitability.predicates.pair import Pair
from suitability.predicates.table import LEARNING_PREDICATE_LAST, PREDICATES, Predicate

PREDICATE_ERROR = "SYS_PREDICATE_ERROR"


def evaluate(
    user: Mapping[str, Any] | None,
    product: Mapping[str, Any] | None,
    policy: Policy | Mapping[str, Any],
    now: datetime,
    channel: str,
    risk_score_limit: int | None = None,
) -> frozenset[str]:
    """Evaluates every predicate on a pair. Never raises.

    Args:
        user: the user's fields; None for an unknown user. Missing and malformed values deny.
        product: the product's fields, its id under `id`.
        policy: the policy in force; a Policy is faster than a mapping, whose shape is checked on every call.
        now: decision_time, with time zone.
        channel: sales channel of the caller.
        risk_score_limit: 0 to 10000; it can only tighten the policy's limit. Another value admits no rated
            product.

    Returns:
        Names of the codes against the pair, at most one per predicate; empty means eligible.
    """
    pair = Pair(user, product, policy, now, channel, risk_score_limit)
    codes: set[str] = set()
    for predicate in PREDICATES:
        code = apply_predicate(predicate, pair)
        # A predicate that raised counts under predicate 0, which has one code at most: its own comes first.
        if code == PREDICATE_ERROR and any(known.startswith("SYS_") for known in codes):
            continue
        if code is not None:
            codes.add(code)
    return frozenset(codes)


def apply_predicate(predicate: Predicate, pair: Pair) -> str | None:
    """Applies one predicate: None where the pair passes or it does not apply. Never raises."""
    try:
        if predicate.number > LEARNING_PREDICATE_LAST and pair.learning:
            return None
        return predicate.function(pair)
    except Exception:  # noqa: BLE001 - whatever went wrong, the answer is a coded no.
        return PREDICATE_ERROR
