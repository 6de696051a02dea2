"""Holds credit-like products back from users whose risk of a payment default is too high or not known."""

from suitability.predicates.pair import Pair
from suitability.ratings import is_credit_like
from suitability.records import USER_FIELDS, integer


def check_credit(pair: Pair) -> str | None:
    """Checks the user's risk band; credit-like products only.

    The band only ever withholds: it changes no price, no tolerance and no order.

    1. The policy states no credit.max_band: MAT_CREDIT_NOT_OFFERED.
    2. user_risk_band missing: USR_RISK_BAND_UNKNOWN.
    3. user_risk_band > credit.max_band: MAT_RISK_BAND_OVER_LIMIT.
    """
    if not is_credit_like(pair.product):
        return None
    rules = pair.rules.get("credit")
    if rules is None:
        return "MAT_CREDIT_NOT_OFFERED"
    band = integer(pair.user, USER_FIELDS["user_risk_band"])
    if band is None:
        return "USR_RISK_BAND_UNKNOWN"
    return "MAT_RISK_BAND_OVER_LIMIT" if band > rules["max_band"] else None
