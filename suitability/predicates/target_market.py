"""Checks whether the user is one that the product was made for: its target market in the European sense."""

from suitability.calendar_days import age_rounded_down, age_rounded_up
from suitability.predicates.pair import Pair
from suitability.records import PRODUCT_FIELDS, USER_FIELDS, counts, integer, text, texts


def check_client_type(pair: Pair) -> str | None:
    """Checks the client type; a missing one is RETAIL, and PROFESSIONAL passes.

    1. retail is N: MAT_CLIENT_TYPE.
    2. retail is NEUTRAL and the policy denies that: MAT_CLIENT_TYPE_NEUTRAL.
    3. retail missing: PRD_CLIENT_TYPE_UNKNOWN.
    """
    if text(pair.user, USER_FIELDS["client_type"]) == "PROFESSIONAL":
        return None
    retail = text(pair.product, PRODUCT_FIELDS["retail"])
    if retail == "N":
        return "MAT_CLIENT_TYPE"
    if retail == "NEUTRAL":
        denied = pair.rules["target_market"]["client_type_neutral"] == "DENY"
        return "MAT_CLIENT_TYPE_NEUTRAL" if denied else None
    return "PRD_CLIENT_TYPE_UNKNOWN" if retail is None else None


def check_knowledge(pair: Pair) -> str | None:
    """Checks knowledge of the product's family; a product that needs none passes.

    1. min_knowledge missing: PRD_KNOWLEDGE_UNKNOWN.
    2. The user's knowledge of the family missing: USR_KNOWLEDGE_UNKNOWN.
    3. It is below min_knowledge: MAT_KNOWLEDGE.
    """
    needed = integer(pair.product, PRODUCT_FIELDS["min_knowledge"])
    if needed is None:
        return "PRD_KNOWLEDGE_UNKNOWN"
    if needed == 0:
        return None
    by_family = counts(pair.user, USER_FIELDS["knowledge"]) or {}
    known = None if pair.family is None else by_family.get(pair.family)
    if known is None:
        return "USR_KNOWLEDGE_UNKNOWN"
    return "MAT_KNOWLEDGE" if known < needed else None


def check_losses(pair: Pair) -> str | None:
    """Checks what the user can afford to lose; a product that cannot lose passes.

    1. loss_class missing: PRD_LOSS_CLASS_UNKNOWN.
    2. loss_capacity missing: USR_LOSS_CAPACITY_UNKNOWN.
    3. loss_class > loss_capacity: MAT_LOSS_CAPACITY.
    4. Both are 1 (limited), and a max_loss_bps is missing: MAT_LOSS_LIMIT_UNKNOWN.
    5. Both are 1, and the product's max_loss_bps is above the user's: MAT_LOSS_CAPACITY.
    """
    loss_class = integer(pair.product, PRODUCT_FIELDS["loss_class"])
    if loss_class is None:
        return "PRD_LOSS_CLASS_UNKNOWN"
    if loss_class == 0:
        return None
    capacity = integer(pair.user, USER_FIELDS["loss_capacity"])
    if capacity is None:
        return "USR_LOSS_CAPACITY_UNKNOWN"
    if loss_class > capacity:
        return "MAT_LOSS_CAPACITY"
    return _check_loss_limits(pair) if loss_class == capacity == 1 else None


def _check_loss_limits(pair: Pair) -> str | None:
    possible = integer(pair.product, PRODUCT_FIELDS["max_loss_bps"])
    bearable = integer(pair.user, USER_FIELDS["max_loss_bps"])
    if possible is None or bearable is None:
        return "MAT_LOSS_LIMIT_UNKNOWN"
    return "MAT_LOSS_CAPACITY" if possible > bearable else None


def check_horizon(pair: Pair) -> str | None:
    """Checks the investment horizon; INS_PROTECTION and a product without minimum pass test 1 only.

    1. min_horizon_months missing: PRD_HORIZON_UNKNOWN.
    2. horizon_months missing: USR_HORIZON_UNKNOWN.
    3. min_horizon_months + buffer_months > horizon_months: MAT_HORIZON.
    """
    needed = integer(pair.product, PRODUCT_FIELDS["min_horizon_months"])
    if needed is None:
        return "PRD_HORIZON_UNKNOWN"
    if needed == 0 or pair.family == "INS_PROTECTION":
        return None
    horizon = integer(pair.user, USER_FIELDS["horizon_months"])
    if horizon is None:
        return "USR_HORIZON_UNKNOWN"
    return "MAT_HORIZON" if needed + pair.rules["horizon"]["buffer_months"] > horizon else None


def check_age(pair: Pair) -> str | None:
    """Checks the product's bounds of age.

    1. birth_date missing or in the future: USR_AGE_UNKNOWN.
    2. min_age or max_age missing: PRD_AGE_UNKNOWN.
    3. age (a leap-day birthday on 1 March) < min_age: MAT_AGE_BELOW_MIN.
    4. age (a leap-day birthday on 28 February) > max_age: MAT_AGE_ABOVE_MAX.
    """
    if pair.birth_date is None:
        return "USR_AGE_UNKNOWN"
    youngest = integer(pair.product, PRODUCT_FIELDS["min_age"])
    oldest = integer(pair.product, PRODUCT_FIELDS["max_age"])
    if youngest is None or oldest is None:
        return "PRD_AGE_UNKNOWN"
    if age_rounded_down(pair.birth_date, pair.today) < youngest:
        return "MAT_AGE_BELOW_MIN"
    return "MAT_AGE_ABOVE_MAX" if age_rounded_up(pair.birth_date, pair.today) > oldest else None


def check_objectives(pair: Pair) -> str | None:
    """Checks the user's objectives; investment products only.

    1. objectives_y or objectives_n missing: PRD_OBJECTIVES_UNKNOWN.
    2. objectives missing or empty: USR_OBJECTIVES_UNKNOWN.
    3. One of them is in objectives_n: MAT_NEGATIVE_TARGET_MARKET.
    4. None of them is in objectives_y: MAT_OBJECTIVES.
    """
    if not pair.investment:
        return None
    served = texts(pair.product, PRODUCT_FIELDS["objectives_y"])
    excluded = texts(pair.product, PRODUCT_FIELDS["objectives_n"])
    if served is None or excluded is None:
        return "PRD_OBJECTIVES_UNKNOWN"
    objectives = texts(pair.user, USER_FIELDS["objectives"])
    if not objectives:
        return "USR_OBJECTIVES_UNKNOWN"
    if objectives & excluded:
        return "MAT_NEGATIVE_TARGET_MARKET"
    return None if objectives & served else "MAT_OBJECTIVES"
