"""Predicates 10 to 15, 18, 19 and 25: what user and product must have in common."""

from benchmarks.verify.pair import Pair
from benchmarks.verify.values import age_at_most, age_lived, amounts, code, codes, whole, word

AGE_MAX = 150
MONTHS_MAX = 1200
LIMITED_LOSS = 1


def check_level(pair: Pair) -> str | None:
    """Predicate 10."""
    cap = pair.policy["level_cap"]
    if pair.level is None:
        return "PRD_LEVEL_UNKNOWN"
    if cap is not None and pair.level > cap:
        return "MAT_LEVEL_OVER_CAP"
    if not pair.rated:
        return None
    if pair.tolerance is None:
        return "USR_ASSESSMENT_MISSING"
    highest = pair.policy["risk_matrix"][pair.product["scale"]][str(pair.tolerance)]
    return "MAT_LEVEL_OVER_TOLERANCE" if pair.level > highest else None


def check_client_type(pair: Pair) -> str | None:
    """Predicate 11."""
    if word(pair.user, "client_type") == "PROFESSIONAL":
        return None
    retail = word(pair.product, "retail", "Y", "N", "NEUTRAL")
    if retail is None:
        return "PRD_CLIENT_TYPE_UNKNOWN"
    if retail == "N":
        return "MAT_CLIENT_TYPE"
    denies = pair.policy["target_market"]["client_type_neutral"] != "ALLOW"
    return "MAT_CLIENT_TYPE_NEUTRAL" if retail == "NEUTRAL" and denies else None


def check_knowledge(pair: Pair) -> str | None:
    """Predicate 12."""
    needed = whole(pair.product, "min_knowledge", 3)
    if needed is None:
        return "PRD_KNOWLEDGE_UNKNOWN"
    if needed == 0:
        return None
    known = (amounts(pair.user, "knowledge", 3) or {}).get(pair.family or "")
    if known is None:
        return "USR_KNOWLEDGE_UNKNOWN"
    return "MAT_KNOWLEDGE" if known < needed else None


def check_losses(pair: Pair) -> str | None:
    """Predicate 13."""
    loss, bearable = whole(pair.product, "loss_class", 3), whole(pair.user, "loss_capacity", 3)
    if loss is None:
        return "PRD_LOSS_CLASS_UNKNOWN"
    if loss == 0:
        return None
    if bearable is None:
        return "USR_LOSS_CAPACITY_UNKNOWN"
    if loss > bearable:
        return "MAT_LOSS_CAPACITY"
    return _check_loss_limit(pair) if loss == bearable == LIMITED_LOSS else None


def _check_loss_limit(pair: Pair) -> str | None:
    most, most_bearable = (
        whole(pair.product, "max_loss_bps", 10_000),
        whole(pair.user, "max_loss_bps", 10_000),
    )
    if most is None or most_bearable is None:
        return "MAT_LOSS_LIMIT_UNKNOWN"
    return "MAT_LOSS_CAPACITY" if most > most_bearable else None


def check_horizon(pair: Pair) -> str | None:
    """Predicate 14."""
    least = whole(pair.product, "min_horizon_months", MONTHS_MAX)
    if least is None:
        return "PRD_HORIZON_UNKNOWN"
    if least == 0 or pair.family == "INS_PROTECTION":
        return None
    horizon = whole(pair.user, "horizon_months", MONTHS_MAX)
    if horizon is None:
        return "USR_HORIZON_UNKNOWN"
    return "MAT_HORIZON" if least + pair.policy["horizon"]["buffer_months"] > horizon else None


def check_age(pair: Pair) -> str | None:
    """Predicate 15."""
    youngest, oldest = whole(pair.product, "min_age", AGE_MAX), whole(pair.product, "max_age", AGE_MAX)
    if pair.born is None:
        return "USR_AGE_UNKNOWN"
    if youngest is None or oldest is None:
        return "PRD_AGE_UNKNOWN"
    if age_lived(pair.born, pair.today) < youngest:
        return "MAT_AGE_BELOW_MIN"
    return "MAT_AGE_ABOVE_MAX" if age_at_most(pair.born, pair.today) > oldest else None


def check_place(pair: Pair) -> str | None:
    """Predicate 18."""
    place, places = code(pair.user, "jurisdiction", 2), codes(pair.product, "jurisdictions", 2)
    if place is None:
        return "USR_JURISDICTION_UNKNOWN"
    if places is None:
        return "PRD_JURISDICTION_UNKNOWN"
    if place not in places:
        return "MAT_JURISDICTION"
    us_person = pair.user.get("us_person") is not False
    return "MAT_US_PERSON" if us_person and pair.product.get("us_persons_ok") is not True else None


def check_currency(pair: Pair) -> str | None:
    """Predicate 19."""
    currency, accepted = code(pair.product, "currency", 3), codes(pair.user, "currencies", 3)
    if currency is None:
        return "PRD_CURRENCY_UNKNOWN"
    if accepted is None:
        return "USR_CURRENCY_UNKNOWN"
    return None if currency in accepted else "MAT_CURRENCY"


def check_score(pair: Pair) -> str | None:
    """Predicate 25, for rated products."""
    if not pair.rated:
        return None
    if pair.score is None:
        return "PRD_RISK_SCORE_UNKNOWN"
    if pair.score_limit is None:
        return "USR_ASSESSMENT_MISSING"
    return "MAT_RISK_SCORE_OVER_LIMIT" if pair.score > pair.score_limit else None
