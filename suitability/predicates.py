"""Implements the predicates: each one plain function from a pair to its first failing test's code.

PREDICATES is the table; adding a predicate is one function and one row. A function returns None when the pair
passes. Inside a predicate the first failing test wins, in the order that the function's docstring numbers;
across predicates there is no order, every one is evaluated. To learning content (family COURSE) only 0 to 3
apply. A function may raise; `evaluate` turns that into SYS_PREDICATE_ERROR.

Source: the rules' section 4.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from suitability.calendar_days import add_months, local_day
from suitability.policy import Policy, policy_values, well_formed
from suitability.policy_schema import parse_instant
from suitability.ratings import (
    applied_risk_score_limit,
    effective_level,
    effective_risk_score,
    is_learning,
    is_rated,
)
from suitability.records import (
    PRODUCT_FIELDS,
    USER_FIELDS,
    day,
    flag,
    instant,
    integer,
    octets,
    text,
    texts,
    utc_instant,
)

LEARNING_PREDICATE_LAST = 3


@dataclass(frozen=True)
class Pair:
    """Holds everything that a verdict depends on.

    Attributes:
        user: the user's record; anything but a mapping counts as an empty one.
        product: the product's record; anything but a mapping counts as an empty one.
        policy: the policy in force, as given.
        now: decision_time, as given.
        channel: sales channel of the caller.
        risk_score_limit: the request's own limit, or None.
    """

    user: object
    product: object
    policy: Policy | Mapping[str, Any]
    now: datetime
    channel: object
    risk_score_limit: object = None

    @property
    def rules(self) -> Mapping[str, Any]:
        """Returns the policy as a plain mapping."""
        return policy_values(self.policy)

    @property
    def today(self) -> date:
        """Returns the local day of decision_time in the policy's time zone."""
        return local_day(self.now, ZoneInfo(self.rules["jurisdiction_tz"]))


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
    if text(pair.product, PRODUCT_FIELDS["family"]) is None or identity is None or issuer is None:
        return "PRD_DATA_INVALID"
    if identity in pair.rules["halted_products"] or issuer in pair.rules["halted_issuers"]:
        return "PRD_HALTED"
    status = text(pair.product, PRODUCT_FIELDS["status"])
    if status is None:
        return "PRD_STATUS_UNKNOWN"
    if status != "ON_SALE":
        return "PRD_NOT_ON_SALE"
    if not is_learning(pair.product) and text(pair.product, PRODUCT_FIELDS["registration_code"]) is None:
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
    return None if start <= pair.now < end else "PRD_OUTSIDE_WINDOW"


def check_channel(pair: Pair) -> str | None:
    """Checks channel and licence; learning content has no licence, a stated one is ignored.

    1. channels missing, or licence_until missing (not for learning content): PRD_CHANNEL_UNKNOWN.
    2. The caller's channel is not among them: PRD_CHANNEL_NOT_PERMITTED.
    3. now >= licence_until (not for learning content): PRD_CHANNEL_LICENCE_EXPIRED.
    """
    channels = texts(pair.product, PRODUCT_FIELDS["channels"])
    licence = instant(pair.product, PRODUCT_FIELDS["licence_until"])
    learning = is_learning(pair.product)
    if channels is None or (licence is None and not learning):
        return "PRD_CHANNEL_UNKNOWN"
    if not isinstance(pair.channel, str) or pair.channel not in channels:
        return "PRD_CHANNEL_NOT_PERMITTED"
    if not learning and licence is not None and pair.now >= licence:
        return "PRD_CHANNEL_LICENCE_EXPIRED"
    return None


def check_user(pair: Pair) -> str | None:
    """Checks that the user exists, is not held back and has consented.

    1. No pseudonym: USR_NOT_FOUND.
    2. blocked is not false: USR_RESTRICTED.
    3. consent_sensitive is not true: USR_CONSENT_MISSING.
    """
    if octets(pair.user, USER_FIELDS["pseudonym"]) is None:
        return "USR_NOT_FOUND"
    if flag(pair.user, USER_FIELDS["blocked"]) is not False:
        return "USR_RESTRICTED"
    if flag(pair.user, USER_FIELDS["consent_sensitive"]) is not True:
        return "USR_CONSENT_MISSING"
    return None


def check_assessment(pair: Pair) -> str | None:
    """Checks the user's risk assessment; rated products only.

    1. assessed_on or risk_level missing: USR_ASSESSMENT_MISSING.
    2. assessed_on > today: USR_ASSESSMENT_FUTURE.
    3. today >= assessed_on + validity_months: USR_ASSESSMENT_EXPIRED.
    4. change_reported is not false: USR_CHANGE_REPORTED.
    5. level_changed is not false and level_confirmed is not true: USR_LEVEL_UNCONFIRMED.
    6. assessments_today or assessments_12m missing: USR_ASSESSMENT_COUNT_UNKNOWN.
    7. assessments_today > max_per_day or assessments_12m > max_per_12m: USR_ASSESSMENT_TOO_MANY.
    """
    if not is_rated(pair.product, pair.policy):
        return None
    assessed_on = day(pair.user, USER_FIELDS["assessed_on"])
    if assessed_on is None or integer(pair.user, USER_FIELDS["risk_level"]) is None:
        return "USR_ASSESSMENT_MISSING"
    rules = pair.rules["assessment"]
    if assessed_on > pair.today:
        return "USR_ASSESSMENT_FUTURE"
    if pair.today >= add_months(assessed_on, rules["validity_months"]):
        return "USR_ASSESSMENT_EXPIRED"
    return _check_changes(pair) or _check_assessment_counts(pair)


def _check_changes(pair: Pair) -> str | None:
    if flag(pair.user, USER_FIELDS["change_reported"]) is not False:
        return "USR_CHANGE_REPORTED"
    changed = flag(pair.user, USER_FIELDS["level_changed"]) is not False
    # Lint fixes the switch require_reconfirm_on_change to true, so it is not consulted here.
    if changed and flag(pair.user, USER_FIELDS["level_confirmed"]) is not True:
        return "USR_LEVEL_UNCONFIRMED"
    return None


def _check_assessment_counts(pair: Pair) -> str | None:
    of_today = integer(pair.user, USER_FIELDS["assessments_today"])
    of_12m = integer(pair.user, USER_FIELDS["assessments_12m"])
    rules = pair.rules["assessment"]
    if of_today is None or of_12m is None:
        return "USR_ASSESSMENT_COUNT_UNKNOWN"
    if of_today > rules["max_per_day"] or of_12m > rules["max_per_12m"]:
        return "USR_ASSESSMENT_TOO_MANY"
    return None


def check_risk_match(pair: Pair) -> str | None:
    """Checks the product's effective level; tests 3 and 4 for rated products only.

    1. Effective level unknown: PRD_LEVEL_UNKNOWN.
    2. level > level_cap (null: no cap): MAT_LEVEL_OVER_CAP.
    3. risk_level missing: USR_ASSESSMENT_MISSING.
    4. level > risk_matrix[scale][risk_level]: MAT_LEVEL_OVER_TOLERANCE.
    """
    level = effective_level(pair.product)
    if level is None:
        return "PRD_LEVEL_UNKNOWN"
    cap = pair.rules["level_cap"]
    if cap is not None and level > cap:
        return "MAT_LEVEL_OVER_CAP"
    if not is_rated(pair.product, pair.policy):
        return None
    tolerance = integer(pair.user, USER_FIELDS["risk_level"])
    if tolerance is None:
        return "USR_ASSESSMENT_MISSING"
    scale = text(pair.product, PRODUCT_FIELDS["scale"])
    return None if level <= pair.rules["risk_matrix"][scale][str(tolerance)] else "MAT_LEVEL_OVER_TOLERANCE"


def check_risk_score(pair: Pair) -> str | None:
    """Checks the effective risk score; rated products only.

    1. Effective risk score unknown: PRD_RISK_SCORE_UNKNOWN.
    2. risk_level missing: USR_ASSESSMENT_MISSING.
    3. score > min(limit_by_level[risk_level], the request's limit if given): MAT_RISK_SCORE_OVER_LIMIT.
       A request's limit that is no integer from 0 to 10000 admits nothing.
    """
    if not is_rated(pair.product, pair.policy):
        return None
    score = effective_risk_score(pair.product, pair.policy)
    if score is None:
        return "PRD_RISK_SCORE_UNKNOWN"
    limit = applied_risk_score_limit(pair.user, pair.policy, pair.risk_score_limit)
    if limit is None:
        return "USR_ASSESSMENT_MISSING"
    return None if score <= limit else "MAT_RISK_SCORE_OVER_LIMIT"


@dataclass(frozen=True)
class Predicate:
    """Names one predicate: its number in the rules, its name, and its function."""

    number: int
    name: str
    function: Callable[[Pair], str | None]


PREDICATES: tuple[Predicate, ...] = (
    Predicate(0, "system", check_system),
    Predicate(1, "status", check_status),
    Predicate(2, "window", check_window),
    Predicate(3, "channel", check_channel),
    Predicate(6, "user", check_user),
    Predicate(9, "assessment", check_assessment),
    Predicate(10, "risk_match", check_risk_match),
    Predicate(25, "risk_score", check_risk_score),
)
