"""Checks what needs no user: clock, policy, and whether the product may be sold here and now at all."""

from suitability.policy import well_formed
from suitability.policy_schema import parse_instant
from suitability.predicates.pair import Pair
from suitability.records import PRODUCT_FIELDS, instant, integer, text, texts, utc_instant


def check_system(pair: Pair) -> str | None:
    """Checks clock and policy.

    1. decision_time is no datetime with time zone: SYS_CLOCK_INVALID.
    2. The policy is malformed, or not effective_from <= now < effective_to (null: no end):
       SYS_POLICY_NOT_EFFECTIVE.
    """
    now = utc_instant(pair.now)
    if now is None:
        return "SYS_CLOCK_INVALID"
    if not well_formed(pair.policy):
        return "SYS_POLICY_NOT_EFFECTIVE"
    start, end = pair.rules["effective_from"], pair.rules["effective_to"]
    if now < parse_instant(start) or (end is not None and now >= parse_instant(end)):
        return "SYS_POLICY_NOT_EFFECTIVE"
    return None


def check_status(pair: Pair) -> str | None:
    """Checks identity, halt, status and registration.

    1. family unknown, or no id, or no issuer: PRD_DATA_INVALID.
    2. id in halted_products or issuer in halted_issuers: PRD_HALTED.
    3. status missing: PRD_STATUS_UNKNOWN.
    4. status not ON_SALE: PRD_NOT_ON_SALE.
    5. no registration_code (learning content needs none): PRD_REGISTRATION_MISSING.
    """
    identity = text(pair.product, PRODUCT_FIELDS["id"])
    issuer = text(pair.product, PRODUCT_FIELDS["issuer"])
    if pair.family is None or identity is None or issuer is None:
        return "PRD_DATA_INVALID"
    if identity in pair.rules["halted_products"] or issuer in pair.rules["halted_issuers"]:
        return "PRD_HALTED"
    status = text(pair.product, PRODUCT_FIELDS["status"])
    if status is None:
        return "PRD_STATUS_UNKNOWN"
    if status != "ON_SALE":
        return "PRD_NOT_ON_SALE"
    if not pair.learning and text(pair.product, PRODUCT_FIELDS["registration_code"]) is None:
        return "PRD_REGISTRATION_MISSING"
    return None


def check_window(pair: Pair) -> str | None:
    """Checks the sale window, half-open.

    1. sale_start or sale_end missing: PRD_WINDOW_UNKNOWN.
    2. Not sale_start <= now < sale_end: PRD_OUTSIDE_WINDOW.
    """
    start = instant(pair.product, PRODUCT_FIELDS["sale_start"])
    end = instant(pair.product, PRODUCT_FIELDS["sale_end"])
    if start is None or end is None:
        return "PRD_WINDOW_UNKNOWN"
    return None if start <= pair.moment < end else "PRD_OUTSIDE_WINDOW"


def check_channel(pair: Pair) -> str | None:
    """Checks channel and licence; learning content has no licence, a stated one is ignored.

    1. channels missing, or licence_until missing (not for learning content): PRD_CHANNEL_UNKNOWN.
    2. The caller's channel is not among them: PRD_CHANNEL_NOT_PERMITTED.
    3. now >= licence_until (not for learning content): PRD_CHANNEL_LICENCE_EXPIRED.
    """
    channels = texts(pair.product, PRODUCT_FIELDS["channels"])
    licence = instant(pair.product, PRODUCT_FIELDS["licence_until"])
    if channels is None or (licence is None and not pair.learning):
        return "PRD_CHANNEL_UNKNOWN"
    if not isinstance(pair.channel, str) or pair.channel not in channels:
        return "PRD_CHANNEL_NOT_PERMITTED"
    if not pair.learning and licence is not None and pair.moment >= licence:
        return "PRD_CHANNEL_LICENCE_EXPIRED"
    return None


def check_offering(pair: Pair) -> str | None:
    """Checks that the product is offered to the public.

    1. offering is not PUBLIC, or missing: PRD_NOT_PUBLIC_OFFER.
    """
    public = text(pair.product, PRODUCT_FIELDS["offering"]) == "PUBLIC"
    return None if public else "PRD_NOT_PUBLIC_OFFER"


def check_quota(pair: Pair) -> str | None:
    """Checks that enough of the product is left for the smallest purchase.

    1. capacity_left or min_amount missing: PRD_CAPACITY_UNKNOWN.
    2. capacity_left is 0 or below min_amount: PRD_CAPACITY_EXHAUSTED.
    """
    left = integer(pair.product, PRODUCT_FIELDS["capacity_left"])
    smallest = integer(pair.product, PRODUCT_FIELDS["min_amount"])
    if left is None or smallest is None:
        return "PRD_CAPACITY_UNKNOWN"
    return "PRD_CAPACITY_EXHAUSTED" if left == 0 or left < smallest else None
