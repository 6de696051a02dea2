"""Checks that there is a user to recommend to: known, free, consenting, up to date and of legal capacity."""

from datetime import timedelta

from suitability.predicates.pair import Pair
from suitability.records import USER_FIELDS, flag, instant, octets, text

_NO_AGE = timedelta(0)


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


def check_staleness(pair: Pair) -> str | None:
    """Checks the age of the profile.

    1. profile_as_of missing: USR_PROFILE_AGE_UNKNOWN.
    2. profile_as_of in the future, or older than profile_max_staleness_s: USR_PROFILE_STALE.
    """
    as_of = instant(pair.user, USER_FIELDS["profile_as_of"])
    if as_of is None:
        return "USR_PROFILE_AGE_UNKNOWN"
    oldest = timedelta(seconds=pair.rules["assessment"]["profile_max_staleness_s"])
    return None if _NO_AGE <= pair.moment - as_of <= oldest else "USR_PROFILE_STALE"


def check_capacity(pair: Pair) -> str | None:
    """Checks the user's legal capacity.

    1. capacity missing: USR_CAPACITY_UNKNOWN.
    2. NONE: USR_NO_CIVIL_CAPACITY.
    3. LIMITED, and the level unknown or over limited_capacity.max_level: MAT_LIMITED_CAPACITY_LEVEL.
    """
    capacity = text(pair.user, USER_FIELDS["capacity"])
    if capacity is None:
        return "USR_CAPACITY_UNKNOWN"
    if capacity == "NONE":
        return "USR_NO_CIVIL_CAPACITY"
    if capacity == "FULL":
        return None
    within = pair.level is not None and pair.level <= pair.rules["limited_capacity"]["max_level"]
    return None if within else "MAT_LIMITED_CAPACITY_LEVEL"
