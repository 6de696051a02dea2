"""The users and products of benchmarks.suitability, so that tests and benchmarks draw from one generator."""

from benchmarks.suitability.pairs import (
    ABSENT,
    CHANNEL,
    FAMILIES,
    INSURANCE,
    INVESTMENT,
    NOW,
    PRODUCT_CHANGES,
    USER_CHANGES,
    change,
    draw_changes,
    draw_products,
    draw_users,
    eligible_product,
    eligible_user,
    policy_variants,
    put,
)

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
