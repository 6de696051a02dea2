"""Predicates 0 to 5: clock and policy, and what a product must be before any user is looked at."""

from datetime import datetime

from benchmarks.verify.pair import Pair
from benchmarks.verify.values import moment, whole, word, words


def check_policy(pair: Pair) -> str | None:
    """Predicate 0, beside the clock, which `judge` looks at."""
    begins = datetime.fromisoformat(pair.policy["effective_from"])
    ends = pair.policy["effective_to"]
    if pair.now < begins or (ends is not None and pair.now >= datetime.fromisoformat(ends)):
        return "SYS_POLICY_NOT_EFFECTIVE"
    return None


def check_status(pair: Pair) -> str | None:
    """Predicate 1."""
    product_id, issuer = word(pair.product, "id"), word(pair.product, "issuer")
    if pair.family is None or product_id is None or issuer is None:
        return "PRD_DATA_INVALID"
    if product_id in pair.policy["halted_products"] or issuer in pair.policy["halted_issuers"]:
        return "PRD_HALTED"
    status = word(pair.product, "status")
    if status is None:
        return "PRD_STATUS_UNKNOWN"
    if status != "ON_SALE":
        return "PRD_NOT_ON_SALE"
    if word(pair.product, "registration_code") is None and not pair.learning:
        return "PRD_REGISTRATION_MISSING"
    return None


def check_window(pair: Pair) -> str | None:
    """Predicate 2."""
    start, end = moment(pair.product, "sale_start"), moment(pair.product, "sale_end")
    if start is None or end is None:
        return "PRD_WINDOW_UNKNOWN"
    return None if start <= pair.now < end else "PRD_OUTSIDE_WINDOW"


def check_channel(pair: Pair) -> str | None:
    """Predicate 3; learning content needs no licence."""
    channels, licence = words(pair.product, "channels"), moment(pair.product, "licence_until")
    if channels is None or (licence is None and not pair.learning):
        return "PRD_CHANNEL_UNKNOWN"
    if pair.channel not in channels:
        return "PRD_CHANNEL_NOT_PERMITTED"
    if licence is not None and not pair.learning and pair.now >= licence:
        return "PRD_CHANNEL_LICENCE_EXPIRED"
    return None


def check_offering(pair: Pair) -> str | None:
    """Predicate 4."""
    return None if word(pair.product, "offering") == "PUBLIC" else "PRD_NOT_PUBLIC_OFFER"


def check_quota(pair: Pair) -> str | None:
    """Predicate 5."""
    left, least = whole(pair.product, "capacity_left"), whole(pair.product, "min_amount")
    if left is None or least is None:
        return "PRD_CAPACITY_UNKNOWN"
    return "PRD_CAPACITY_EXHAUSTED" if left == 0 or left < least else None
