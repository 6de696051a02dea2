"""Checks place and currency."""

from suitability.predicates.pair import Pair
from suitability.records import PRODUCT_FIELDS, USER_FIELDS, flag, text, texts


def check_place(pair: Pair) -> str | None:
    """Checks where the user is resident or taxed.

    1. The user's jurisdiction missing: USR_JURISDICTION_UNKNOWN.
    2. The product's jurisdictions missing: PRD_JURISDICTION_UNKNOWN.
    3. The one is not among the others: MAT_JURISDICTION.
    4. us_persons_ok is not true and us_person is not false: MAT_US_PERSON.
    """
    home = text(pair.user, USER_FIELDS["jurisdiction"])
    if home is None:
        return "USR_JURISDICTION_UNKNOWN"
    offered = texts(pair.product, PRODUCT_FIELDS["jurisdictions"])
    if offered is None:
        return "PRD_JURISDICTION_UNKNOWN"
    if home not in offered:
        return "MAT_JURISDICTION"
    admits = flag(pair.product, PRODUCT_FIELDS["us_persons_ok"]) is True
    return None if admits or flag(pair.user, USER_FIELDS["us_person"]) is False else "MAT_US_PERSON"


def check_currency(pair: Pair) -> str | None:
    """Checks the product's currency.

    1. The product's currency missing: PRD_CURRENCY_UNKNOWN.
    2. The user's currencies missing: USR_CURRENCY_UNKNOWN.
    3. The one is not among the others: MAT_CURRENCY.
    """
    currency = text(pair.product, PRODUCT_FIELDS["currency"])
    if currency is None:
        return "PRD_CURRENCY_UNKNOWN"
    held = texts(pair.user, USER_FIELDS["currencies"])
    if held is None:
        return "USR_CURRENCY_UNKNOWN"
    return None if currency in held else "MAT_CURRENCY"
