"""Says until when a verdict holds if data and policy do not change."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from suitability.calendar_days import add_months, day_start, local_day, next_birthday
from suitability.evaluate import evaluate
from suitability.policy import Policy, policy_values
from suitability.policy_schema import parse_instant
from suitability.ratings import is_learning, is_rated
from suitability.records import INSURANCE_FAMILIES, PRODUCT_FIELDS, USER_FIELDS, day, instant, text


def valid_until(
    user: Mapping[str, Any] | None,
    product: Mapping[str, Any] | None,
    policy: Policy | Mapping[str, Any],
    now: datetime,
    channel: str,
    risk_score_limit: int | None = None,
) -> datetime:
    """Returns the instant until which the verdict on a pair holds; `now` for a denied pair. Never raises."""
    if evaluate(user, product, policy, now, channel, risk_score_limit):
        return now
    try:
        return eligible_until(user, product, policy, now)
    except Exception:  # noqa: BLE001 - an end that cannot be computed is no end: the verdict holds no longer than now.
        return now


def eligible_until(
    user: Mapping[str, Any] | None,
    product: Mapping[str, Any] | None,
    policy: Policy | Mapping[str, Any],
    now: datetime,
) -> datetime:
    """Returns the end of an eligible verdict, in UTC and after now, for a caller that has the verdict.

    The earliest of sale_end, licence_until, profile_as_of + max staleness + 1 microsecond, policy end,
    assessment expiry (rated), needs expiry (insurance), the next birthday, and now + response_max_ttl_s. Of
    these, learning content depends on sale_end, policy end and the response's own life only. A caller may
    pass a product without sale_end and licence_until and apply those two itself.

    A term at or before now would mean that a predicate let through what has ended.
    """
    rules = policy_values(policy)
    moment = now.astimezone(UTC)
    terms = [_life_end(rules, moment), *_common_terms(product, rules)]
    if not is_learning(product):
        terms.extend(_financial_terms(user, product, rules, moment))
    end = min(terms)
    assert end > moment, f"an eligible verdict must end after {moment}, got {end}"
    return end


def _life_end(rules: Mapping[str, Any], now: datetime) -> datetime:
    try:
        return now + timedelta(seconds=rules["response_max_ttl_s"])
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _common_terms(product: object, rules: Mapping[str, Any]) -> Iterator[datetime]:
    sale_end = instant(product, PRODUCT_FIELDS["sale_end"])
    if sale_end is not None:
        yield sale_end
    if rules["effective_to"] is not None:
        yield parse_instant(rules["effective_to"])


def _financial_terms(
    user: object, product: object, rules: Mapping[str, Any], now: datetime
) -> Iterator[datetime]:
    licence = instant(product, PRODUCT_FIELDS["licence_until"])
    if licence is not None:
        yield licence
    limits = rules["assessment"]
    zone = ZoneInfo(rules["jurisdiction_tz"])
    as_of = instant(user, USER_FIELDS["profile_as_of"])
    if as_of is not None:
        # The age of a profile may equal the limit, so the verdict ends a microsecond after that.
        yield as_of + timedelta(seconds=limits["profile_max_staleness_s"], microseconds=1)
    assessed_on = day(user, USER_FIELDS["assessed_on"])
    if assessed_on is not None and is_rated(product, rules):
        yield day_start(add_months(assessed_on, limits["validity_months"]), zone)
    needs_on = day(user, USER_FIELDS["needs_on"])
    if needs_on is not None and text(product, PRODUCT_FIELDS["family"]) in INSURANCE_FAMILIES:
        yield day_start(add_months(needs_on, limits["needs_validity_months"]), zone)
    birth = day(user, USER_FIELDS["birth_date"])
    birthday = None if birth is None else next_birthday(birth, local_day(now, zone))
    if birthday is not None:
        yield day_start(birthday, zone)
