"""Derives what the rules read from a product: effective level, effective risk score, rated, credit-like."""

from collections.abc import Mapping, Sequence
from typing import Any

from suitability.policy import Policy, policy_values
from suitability.records import (
    INSURANCE_FAMILIES,
    INVESTMENT_FAMILIES,
    LEARNING_FAMILY,
    PRODUCT_FIELDS,
    RISK_SCORE_MAX,
    SCALE_LEVEL_MAX,
    USER_FIELDS,
    flag,
    integer,
    raw,
    text,
    true_integer,
)


def effective_level(product: object) -> int | None:
    """Returns the higher of the issuer's and the distributor's level on the product's own scale.

    Returns:
        None where either is missing or out of the scale, or the scale is unknown.

    Source: NFRA, the higher rating rules.
    """
    scale = text(product, PRODUCT_FIELDS["scale"])
    if scale is None:
        return None
    highest = SCALE_LEVEL_MAX[scale]
    by_issuer = true_integer(raw(product, "level_issuer"), 1, highest)
    by_distributor = true_integer(raw(product, "level_distributor"), 1, highest)
    if by_issuer is None or by_distributor is None:
        return None
    return max(by_issuer, by_distributor)


def effective_risk_score(product: object, policy: Policy | Mapping[str, Any]) -> int | None:
    """Returns the stated risk score, else the policy's score for the effective level; a class may raise it.

    A computed class counts as the policy's score for that level of SRI7. It never lowers a score and never
    stands in for one that is missing.

    Returns:
        0 to 10000; None where a stated score or a computed class is malformed or out of range, or no score is
        stated and the effective level is unknown. A malformed score is never replaced by a derived one.
    """
    by_scale = policy_values(policy)["risk_score"]["derive_from_level"]
    score = _stated_risk_score(product, by_scale)
    if score is None or raw(product, "computed_risk_class") is None:
        return score
    computed = integer(product, PRODUCT_FIELDS["computed_risk_class"])
    return None if computed is None else max(score, by_scale["SRI7"][computed - 1])


def _stated_risk_score(product: object, by_scale: Mapping[str, Sequence[int]]) -> int | None:
    if raw(product, "risk_score") is not None:
        return integer(product, PRODUCT_FIELDS["risk_score"])
    level, scale = effective_level(product), text(product, PRODUCT_FIELDS["scale"])
    if level is None or scale is None:
        return None
    return true_integer(by_scale[scale][level - 1], 0, RISK_SCORE_MAX)


def is_rated(product: object, policy: Policy | Mapping[str, Any]) -> bool:
    """Tells whether a product needs a valid risk assessment.

    Every investment product, INS_LINKED, and any insurance whose effective level is at least
    policy.insurance.rated_from_level or unknown. An unknown family counts as rated: unknown is never better
    than the worst value.
    """
    family = text(product, PRODUCT_FIELDS["family"])
    if family == LEARNING_FAMILY:
        return False
    if family is None or family in INVESTMENT_FAMILIES or family == "INS_LINKED":
        return True
    assert family in INSURANCE_FAMILIES, family
    level = effective_level(product)
    return level is None or level >= policy_values(policy)["insurance"]["rated_from_level"]


def is_learning(product: object) -> bool:
    """Tells whether a product is learning content, to which only predicates 0 to 3 apply."""
    return text(product, PRODUCT_FIELDS["family"]) == LEARNING_FAMILY


def is_credit_like(product: object) -> bool:
    """Tells whether a product lends, or is sold on credit.

    Absence means that it does not; what is stated and cannot be read counts as true.
    """
    stated = raw(product, "credit_like") is not None
    return stated and flag(product, PRODUCT_FIELDS["credit_like"]) is not False


def applied_risk_score_limit(
    user: object, policy: Policy | Mapping[str, Any], risk_score_limit: object = None
) -> int | None:
    """Returns the risk score limit for a user: the policy's for the risk level, tightened by the request's.

    Args:
        user: the user's record.
        policy: the policy in force.
        risk_score_limit: 0 to 10000, or None for the policy's own limit. It can only tighten; anything else
            gives -1, a limit that admits nothing.

    Returns:
        None where the user's risk level is missing.
    """
    level = integer(user, USER_FIELDS["risk_level"])
    if level is None:
        return None
    limit = int(policy_values(policy)["risk_score"]["limit_by_level"][str(level)])
    if risk_score_limit is None:
        return limit
    requested = true_integer(risk_score_limit, 0, RISK_SCORE_MAX)
    return -1 if requested is None else min(limit, requested)
