"""Checks the user's risk assessment, which every rated product needs."""

from suitability.calendar_days import add_months
from suitability.predicates.pair import Pair
from suitability.records import USER_FIELDS, day, flag, integer


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
    if not pair.rated:
        return None
    assessed_on = day(pair.user, USER_FIELDS["assessed_on"])
    if assessed_on is None or integer(pair.user, USER_FIELDS["risk_level"]) is None:
        return "USR_ASSESSMENT_MISSING"
    if assessed_on > pair.today:
        return "USR_ASSESSMENT_FUTURE"
    if pair.today >= add_months(assessed_on, pair.rules["assessment"]["validity_months"]):
        return "USR_ASSESSMENT_EXPIRED"
    return _check_changes(pair) or _check_counts(pair)


def _check_changes(pair: Pair) -> str | None:
    if flag(pair.user, USER_FIELDS["change_reported"]) is not False:
        return "USR_CHANGE_REPORTED"
    changed = flag(pair.user, USER_FIELDS["level_changed"]) is not False
    # Lint fixes the switch require_reconfirm_on_change to true, so it is not consulted here.
    if changed and flag(pair.user, USER_FIELDS["level_confirmed"]) is not True:
        return "USR_LEVEL_UNCONFIRMED"
    return None


def _check_counts(pair: Pair) -> str | None:
    of_today = integer(pair.user, USER_FIELDS["assessments_today"])
    of_12m = integer(pair.user, USER_FIELDS["assessments_12m"])
    rules = pair.rules["assessment"]
    if of_today is None or of_12m is None:
        return "USR_ASSESSMENT_COUNT_UNKNOWN"
    if of_today > rules["max_per_day"] or of_12m > rules["max_per_12m"]:
        return "USR_ASSESSMENT_TOO_MANY"
    return None
