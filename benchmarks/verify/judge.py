"""Judges pairs: the codes against one, until when its verdict may hold, and the warnings it needs.

Nothing here is shared with what it checks; it was written from the text of the rules.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any

from benchmarks.verify import match_rules, money_rules, product_rules, user_rules
from benchmarks.verify.pair import Pair
from benchmarks.verify.values import (
    Record,
    age_at_most,
    day,
    moment,
    months_later,
    next_birthday,
    start_of,
    whole,
    word,
)

EXPIRING_DAYS = 30
ILLIQUID_MONTHS = 12

CHECKS: Mapping[int, Callable[[Pair], str | None]] = MappingProxyType(
    {
        0: product_rules.check_policy,
        1: product_rules.check_status,
        2: product_rules.check_window,
        3: product_rules.check_channel,
        4: product_rules.check_offering,
        5: product_rules.check_quota,
        6: user_rules.check_user,
        7: user_rules.check_staleness,
        8: user_rules.check_capacity,
        9: user_rules.check_assessment,
        10: match_rules.check_level,
        11: match_rules.check_client_type,
        12: match_rules.check_knowledge,
        13: match_rules.check_losses,
        14: match_rules.check_horizon,
        15: match_rules.check_age,
        16: user_rules.check_elder,
        17: user_rules.check_vulnerable,
        18: match_rules.check_place,
        19: match_rules.check_currency,
        20: money_rules.check_affordability,
        21: money_rules.check_concentration,
        22: money_rules.check_objectives,
        23: money_rules.check_needs,
        24: money_rules.check_premium,
        25: match_rules.check_score,
        26: money_rules.check_credit,
    }
)
LEARNING_CHECKS = frozenset({0, 1, 2, 3})


def judge(
    user: Record,
    product: Record,
    policy: Record,
    now: datetime,
    channel: str,
    limit: int | None = None,
    overlay: Record | None = None,
) -> set[str]:
    """Returns the codes against a pair; it is eligible exactly when there are none.

    Args:
        user: the user's fields.
        product: the product's fields.
        policy: a valid policy.
        now: the decision time.
        channel: the sales channel.
        limit: the request's highest risk score, if it has one.
        overlay: what an emergency tightens, if one is in force.
    """
    if now.utcoffset() is None:
        return {"SYS_CLOCK_INVALID"}
    pair = Pair(user, product, tighten(policy, overlay), now.astimezone(UTC), channel, limit)
    applying = LEARNING_CHECKS if pair.learning else CHECKS.keys()
    found = {check(pair) for number, check in CHECKS.items() if number in applying}
    return {code for code in found if code is not None}


def tighten(policy: Record, overlay: Record | None) -> dict[str, Any]:
    """Returns the policy with an overlay's halts added and the lower of both level caps."""
    if overlay is None:
        return dict(policy)
    caps = [cap for cap in (policy["level_cap"], overlay.get("level_cap")) if cap is not None]
    return dict(policy) | {
        "halted_products": [*policy["halted_products"], *overlay.get("halted_products", ())],
        "halted_issuers": [*policy["halted_issuers"], *overlay.get("halted_issuers", ())],
        "level_cap": min(caps, default=None),
    }


def valid_until(user: Record, product: Record, policy: Record, now: datetime) -> datetime:
    """Returns the latest instant until which the verdict on an eligible pair may be said to hold.

    What is over already is for `judge` to decide.
    """
    pair = Pair(user, product, policy, now.astimezone(UTC), "", None)
    ends = [moment(product, "sale_end"), pair.now + timedelta(seconds=policy["response_max_ttl_s"])]
    if policy["effective_to"] is not None:
        ends.append(datetime.fromisoformat(policy["effective_to"]))
    if not pair.learning:
        ends += [moment(product, "licence_until"), _end_of_profile(pair), *_ends_of_days(pair)]
    return min(end for end in ends if end is not None and end > now)


def _end_of_profile(pair: Pair) -> datetime | None:
    as_of = moment(pair.user, "profile_as_of")
    age = timedelta(seconds=pair.policy["assessment"]["profile_max_staleness_s"], microseconds=1)
    return None if as_of is None else as_of + age


def _ends_of_days(pair: Pair) -> list[datetime]:
    rules = pair.policy["assessment"]
    assessed, stated = day(pair.user, "assessed_on"), day(pair.user, "needs_on")
    days: list[date] = []
    if pair.rated and assessed is not None:
        days.append(months_later(assessed, rules["validity_months"]))
    if pair.insurance and stated is not None:
        days.append(months_later(stated, rules["needs_validity_months"]))
    if pair.born is not None:
        days.append(next_birthday(pair.born, pair.today))
    return [start_of(end, pair.policy["jurisdiction_tz"]) for end in days]


def warn(
    user: Record,
    product: Record,
    policy: Record,
    now: datetime,
    limit: int | None = None,
    history: Collection[Record] = (),
) -> set[str]:
    """Returns the warnings that must accompany an eligible product; what cannot be decided is warned of.

    Args:
        user: the user's fields.
        product: the product's fields.
        policy: a valid policy.
        now: the decision time.
        limit: the request's highest risk score, if it has one.
        history: the products of the user's history that the catalogue knows.
    """
    pair = Pair(user, product, policy, now.astimezone(UTC), "", limit)
    if pair.learning:
        return set()
    grade = _grade(product, policy)
    loss, months = whole(product, "loss_class", 3), whole(product, "min_horizon_months", 1200)
    marks = {
        "W_NEAR_LIMIT": pair.rated and _is_near_limit(pair),
        "W_ASSESSMENT_EXPIRING": pair.rated and _is_expiring(pair),
        "W_ELDER": pair.born is None or age_at_most(pair.born, pair.today) >= policy["elder"]["age"],
        "W_FIRST_AT_LEVEL": grade is None or grade not in {_grade(held, policy) for held in history},
        "W_CAN_LOSE_CAPITAL": loss is None or loss >= 1,
        "W_ILLIQUID": months is None or months >= ILLIQUID_MONTHS,
        "W_ASSUMED_DATA": bool(user.get("assumed")) or bool(product.get("assumed")),
    }
    return {name for name, given in marks.items() if given}


def _is_near_limit(pair: Pair) -> bool:
    return pair.score is None or pair.score_limit is None or pair.score * 10 >= pair.score_limit * 9


def _is_expiring(pair: Pair) -> bool:
    assessed = day(pair.user, "assessed_on")
    if assessed is None:
        return True
    expiry = months_later(assessed, pair.policy["assessment"]["validity_months"])
    return expiry - pair.today <= timedelta(days=EXPIRING_DAYS)


def _grade(product: Record, policy: Record) -> tuple[str | None, int] | None:
    level = Pair({}, product, policy, datetime.min.replace(tzinfo=UTC), "", None).level
    return None if level is None else (word(product, "scale"), level)
