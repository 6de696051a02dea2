"""Predicates 6 to 9, 16 and 17: what a user must be and have stated, and the protected groups."""

from datetime import timedelta

from benchmarks.verify.pair import Pair
from benchmarks.verify.values import age_at_most, day, moment, months_later, whole, word

COUNT_MAX = 10**6


def check_user(pair: Pair) -> str | None:
    """Predicate 6."""
    pseudonym = pair.user.get("pseudonym")
    if not isinstance(pseudonym, bytes) or len(pseudonym) == 0:
        return "USR_NOT_FOUND"
    if pair.user.get("blocked") is not False:
        return "USR_RESTRICTED"
    return None if pair.user.get("consent_sensitive") is True else "USR_CONSENT_MISSING"


def check_staleness(pair: Pair) -> str | None:
    """Predicate 7."""
    as_of = moment(pair.user, "profile_as_of")
    if as_of is None:
        return "USR_PROFILE_AGE_UNKNOWN"
    oldest = timedelta(seconds=pair.policy["assessment"]["profile_max_staleness_s"])
    return None if timedelta(0) <= pair.now - as_of <= oldest else "USR_PROFILE_STALE"


def check_capacity(pair: Pair) -> str | None:
    """Predicate 8."""
    capacity = word(pair.user, "capacity", "FULL", "LIMITED", "NONE")
    if capacity is None:
        return "USR_CAPACITY_UNKNOWN"
    if capacity == "NONE":
        return "USR_NO_CIVIL_CAPACITY"
    highest = pair.policy["limited_capacity"]["max_level"]
    if capacity == "LIMITED" and (pair.level is None or pair.level > highest):
        return "MAT_LIMITED_CAPACITY_LEVEL"
    return None


def check_assessment(pair: Pair) -> str | None:
    """Predicate 9, for rated products."""
    return (_check_date(pair) or _check_changes(pair) or _check_counts(pair)) if pair.rated else None


def _check_date(pair: Pair) -> str | None:
    assessed = day(pair.user, "assessed_on")
    if assessed is None or pair.tolerance is None:
        return "USR_ASSESSMENT_MISSING"
    if assessed > pair.today:
        return "USR_ASSESSMENT_FUTURE"
    expiry = months_later(assessed, pair.policy["assessment"]["validity_months"])
    return "USR_ASSESSMENT_EXPIRED" if pair.today >= expiry else None


def _check_changes(pair: Pair) -> str | None:
    if pair.user.get("change_reported") is not False:
        return "USR_CHANGE_REPORTED"
    changed = pair.user.get("level_changed") is not False
    return "USR_LEVEL_UNCONFIRMED" if changed and pair.user.get("level_confirmed") is not True else None


def _check_counts(pair: Pair) -> str | None:
    rules = pair.policy["assessment"]
    daily = whole(pair.user, "assessments_today", COUNT_MAX)
    yearly = whole(pair.user, "assessments_12m", COUNT_MAX)
    if daily is None or yearly is None:
        return "USR_ASSESSMENT_COUNT_UNKNOWN"
    many = daily > rules["max_per_day"] or yearly > rules["max_per_12m"]
    return "USR_ASSESSMENT_TOO_MANY" if many else None


def check_elder(pair: Pair) -> str | None:
    """Predicate 16."""
    if pair.born is None:
        return "USR_AGE_UNKNOWN"
    elder = age_at_most(pair.born, pair.today) >= pair.policy["elder"]["age"]
    return "MAT_ELDER_PROTECTION" if elder and pair.is_over("elder") else None


def check_vulnerable(pair: Pair) -> str | None:
    """Predicate 17."""
    vulnerable = pair.user.get("vulnerable") is not False
    return "MAT_VULNERABLE_PROTECTION" if vulnerable and pair.is_over("vulnerable") else None
