"""Predicates 20 to 24 and 26: money, objectives, needs and credit. Python's integers do not overflow."""

from benchmarks.verify.pair import Pair
from benchmarks.verify.values import age_at_most, amounts, day, months_later, whole, word, words

BPS = 10_000
PAY_YEARS_MAX = 100
BAND_MAX = 99


def check_affordability(pair: Pair) -> str | None:
    """Predicate 20, for investments."""
    if not pair.investment:
        return None
    least, liquid = whole(pair.product, "min_amount"), whole(pair.user, "liquid")
    if least is None:
        return "PRD_MIN_AMOUNT_UNKNOWN"
    if liquid is None:
        return "USR_FINANCES_UNKNOWN"
    share = pair.policy["affordability"]["min_investment_max_bps_of_liquid"]
    return "MAT_AFFORDABILITY" if least * BPS > liquid * share else None


def check_concentration(pair: Pair) -> str | None:
    """Predicate 21, for investments."""
    if not pair.investment:
        return None
    least, liquid = whole(pair.product, "min_amount"), whole(pair.user, "liquid")
    if least is None or liquid is None:
        return "USR_FINANCES_UNKNOWN"
    held, high_risk = amounts(pair.user, "held_issuer"), whole(pair.user, "held_high_risk")
    if held is None or high_risk is None:
        return "USR_HOLDINGS_UNKNOWN"
    rules, total = pair.policy["concentration"], liquid + sum(held.values())
    there = held.get(word(pair.product, "issuer") or "", 0)
    if (there + least) * BPS > total * rules["issuer_max_bps"]:
        return "MAT_ISSUER_CONCENTRATION"
    risky = pair.level is None or pair.level >= rules["high_risk_level"]
    over = (high_risk + least) * BPS > total * rules["high_risk_max_bps"]
    return "MAT_HIGH_RISK_CONCENTRATION" if risky and over else None


def check_objectives(pair: Pair) -> str | None:
    """Predicate 22, for investments."""
    if not pair.investment:
        return None
    served, refused = words(pair.product, "objectives_y"), words(pair.product, "objectives_n")
    if served is None or refused is None:
        return "PRD_OBJECTIVES_UNKNOWN"
    wanted = words(pair.user, "objectives")
    if not wanted:
        return "USR_OBJECTIVES_UNKNOWN"
    if wanted & refused:
        return "MAT_NEGATIVE_TARGET_MARKET"
    return None if wanted & served else "MAT_OBJECTIVES"


def check_needs(pair: Pair) -> str | None:
    """Predicate 23, for insurance."""
    if not pair.insurance:
        return None
    served, needs = words(pair.product, "needs_served"), words(pair.user, "needs")
    stated = day(pair.user, "needs_on")
    if served is None:
        return "PRD_NEEDS_UNKNOWN"
    if needs is None or stated is None:
        return "USR_NEEDS_MISSING"
    validity = pair.policy["assessment"]["needs_validity_months"]
    if stated > pair.today or pair.today >= months_later(stated, validity):
        return "USR_NEEDS_EXPIRED"
    return _check_cover(pair) if needs & served else "MAT_NEEDS"


def _check_cover(pair: Pair) -> str | None:
    held, group = words(pair.user, "held_dup_groups"), pair.product.get("dup_group")
    if held is None:
        return "USR_HOLDINGS_UNKNOWN"
    # A group that is stated and cannot be read might be one that is held.
    unreadable = group is not None and word(pair.product, "dup_group") is None
    return "MAT_DUPLICATE_COVER" if unreadable or group in held else None


def check_premium(pair: Pair) -> str | None:
    """Predicate 24, for insurance."""
    if not pair.insurance:
        return None
    years = whole(pair.product, "pay_years", PAY_YEARS_MAX)
    if years is None:
        return "PRD_PREMIUM_UNKNOWN"
    income, budget = whole(pair.user, "income"), whole(pair.user, "premium_budget")
    if income is None or budget is None:
        return "USR_FINANCES_UNKNOWN"
    return _check_price(pair, "single" if years == 0 else "annual", income, budget) or _check_term(
        pair, years
    )


def _check_price(pair: Pair, kind: str, income: int, budget: int) -> str | None:
    premium = whole(pair.product, f"{kind}_premium")
    if premium is None:
        return "PRD_PREMIUM_UNKNOWN"
    rules = pair.policy["insurance"]
    if premium * BPS > income * rules[f"{kind}_premium_max_bps_of_income"]:
        return "MAT_PREMIUM_TO_INCOME"
    return "MAT_PREMIUM_BUDGET" if premium * BPS > budget * rules["budget_max_bps"] else None


def _check_term(pair: Pair, years: int) -> str | None:
    if years <= 1:
        return None
    if pair.born is None:
        return "USR_AGE_UNKNOWN"
    age = age_at_most(pair.born, pair.today)
    limit = pair.policy["insurance"]["age_plus_pay_years_max_exclusive"]
    return "MAT_AGE_PLUS_PAY_TERM" if age + years >= limit else None


def check_credit(pair: Pair) -> str | None:
    """Predicate 26, for products that are credit-like, or whose statement about it cannot be read."""
    stated = pair.product.get("credit_like")
    if stated is None or stated is False:
        return None
    if "credit" not in pair.policy:
        return "MAT_CREDIT_NOT_OFFERED"
    band = whole(pair.user, "user_risk_band", BAND_MAX, 1)
    if band is None:
        return "USR_RISK_BAND_UNKNOWN"
    return None if band <= pair.policy["credit"]["max_band"] else "MAT_RISK_BAND_OVER_LIMIT"
