"""Checks the product's risk against the user's tolerance, protected users' caps, and the score limit."""

from suitability.calendar_days import age_rounded_up
from suitability.predicates.pair import Pair
from suitability.ratings import applied_risk_score_limit, effective_risk_score
from suitability.records import PRODUCT_FIELDS, USER_FIELDS, flag, integer, text


def check_risk_match(pair: Pair) -> str | None:
    """Checks the product's effective level; tests 3 and 4 for rated products only.

    1. Effective level unknown: PRD_LEVEL_UNKNOWN.
    2. level > level_cap (null: no cap): MAT_LEVEL_OVER_CAP.
    3. risk_level missing: USR_ASSESSMENT_MISSING.
    4. level > risk_matrix[scale][risk_level]: MAT_LEVEL_OVER_TOLERANCE.
    """
    if pair.level is None:
        return "PRD_LEVEL_UNKNOWN"
    cap = pair.rules["level_cap"]
    if cap is not None and pair.level > cap:
        return "MAT_LEVEL_OVER_CAP"
    if not pair.rated:
        return None
    tolerance = integer(pair.user, USER_FIELDS["risk_level"])
    if tolerance is None:
        return "USR_ASSESSMENT_MISSING"
    highest = pair.rules["risk_matrix"][text(pair.product, PRODUCT_FIELDS["scale"])][str(tolerance)]
    return None if pair.level <= highest else "MAT_LEVEL_OVER_TOLERANCE"


def check_elder(pair: Pair) -> str | None:
    """Checks the protection of elder users.

    1. birth_date missing or in the future: USR_AGE_UNKNOWN.
    2. age (a leap-day birthday on 28 February) >= elder.age, and the level unknown or over the elder's cap:
       MAT_ELDER_PROTECTION.
    """
    if pair.birth_date is None:
        return "USR_AGE_UNKNOWN"
    if age_rounded_up(pair.birth_date, pair.today) < pair.rules["elder"]["age"]:
        return None
    return "MAT_ELDER_PROTECTION" if _is_over_cap(pair, "elder") else None


def check_vulnerable(pair: Pair) -> str | None:
    """Checks the protection of vulnerable users.

    1. vulnerable is not false, and the level unknown or over the cap: MAT_VULNERABLE_PROTECTION.
    """
    if flag(pair.user, USER_FIELDS["vulnerable"]) is False:
        return None
    return "MAT_VULNERABLE_PROTECTION" if _is_over_cap(pair, "vulnerable") else None


def _is_over_cap(pair: Pair, section: str) -> bool:
    caps = pair.rules[section]
    if pair.investment:
        cap = caps["max_level"]
    elif pair.insurance:
        cap = caps["max_insurance_level"]
    else:
        cap = min(caps["max_level"], caps["max_insurance_level"])
    return pair.level is None or pair.level > cap


def check_risk_score(pair: Pair) -> str | None:
    """Checks the effective risk score; rated products only.

    1. Effective risk score unknown: PRD_RISK_SCORE_UNKNOWN.
    2. risk_level missing: USR_ASSESSMENT_MISSING.
    3. score > min(limit_by_level[risk_level], the request's limit if given): MAT_RISK_SCORE_OVER_LIMIT.
       A request's limit that is no integer from 0 to 10000 admits nothing.
    """
    if not pair.rated:
        return None
    score = effective_risk_score(pair.product, pair.policy)
    if score is None:
        return "PRD_RISK_SCORE_UNKNOWN"
    limit = applied_risk_score_limit(pair.user, pair.policy, pair.risk_score_limit)
    if limit is None:
        return "USR_ASSESSMENT_MISSING"
    return None if score <= limit else "MAT_RISK_SCORE_OVER_LIMIT"
