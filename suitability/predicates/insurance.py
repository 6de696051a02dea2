"""Checks that an insurance answers a need that the user stated and has not covered already."""

from suitability.calendar_days import add_months
from suitability.predicates.pair import Pair
from suitability.records import PRODUCT_FIELDS, USER_FIELDS, day, raw, text, texts


def check_needs(pair: Pair) -> str | None:
    """Checks demands and needs; insurance only.

    1. needs_served missing: PRD_NEEDS_UNKNOWN.
    2. needs or needs_on missing: USR_NEEDS_MISSING.
    3. needs_on > today, or today >= needs_on + needs_validity_months: USR_NEEDS_EXPIRED.
    4. No need of the user is served: MAT_NEEDS.
    5. held_dup_groups missing: USR_HOLDINGS_UNKNOWN.
    6. dup_group is held already, or stated and malformed: MAT_DUPLICATE_COVER.
    """
    if not pair.insurance:
        return None
    served = texts(pair.product, PRODUCT_FIELDS["needs_served"])
    if served is None:
        return "PRD_NEEDS_UNKNOWN"
    needs = texts(pair.user, USER_FIELDS["needs"])
    needs_on = day(pair.user, USER_FIELDS["needs_on"])
    if needs is None or needs_on is None:
        return "USR_NEEDS_MISSING"
    months = pair.rules["assessment"]["needs_validity_months"]
    if needs_on > pair.today or pair.today >= add_months(needs_on, months):
        return "USR_NEEDS_EXPIRED"
    if not needs & served:
        return "MAT_NEEDS"
    return _check_duplicate(pair)


def _check_duplicate(pair: Pair) -> str | None:
    held = texts(pair.user, USER_FIELDS["held_dup_groups"])
    if held is None:
        return "USR_HOLDINGS_UNKNOWN"
    if raw(pair.product, "dup_group") is None:
        return None
    # A group that is stated and cannot be read may be one that is held, and there is no code for unknown.
    group = text(pair.product, PRODUCT_FIELDS["dup_group"])
    return "MAT_DUPLICATE_COVER" if group is None or group in held else None
