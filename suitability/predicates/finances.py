"""Checks money: what the user can afford, how much lies in one place, and what a premium takes.

Amounts are whole minor units and ratios basis points. Ratios are compared as products of integers, so nothing
is rounded.
"""

from suitability.calendar_days import age_rounded_up
from suitability.predicates.pair import Pair
from suitability.records import PRODUCT_FIELDS, USER_FIELDS, counts, integer, text

_WHOLE_BPS = 10_000


def check_affordability(pair: Pair) -> str | None:
    """Checks the smallest purchase against the user's liquid assets; investment products only.

    1. min_amount missing: PRD_MIN_AMOUNT_UNKNOWN.
    2. liquid missing: USR_FINANCES_UNKNOWN.
    3. min_amount is above min_investment_max_bps_of_liquid: MAT_AFFORDABILITY.
    """
    if not pair.investment:
        return None
    smallest = integer(pair.product, PRODUCT_FIELDS["min_amount"])
    if smallest is None:
        return "PRD_MIN_AMOUNT_UNKNOWN"
    liquid = integer(pair.user, USER_FIELDS["liquid"])
    if liquid is None:
        return "USR_FINANCES_UNKNOWN"
    limit_bps = pair.rules["affordability"]["min_investment_max_bps_of_liquid"]
    return "MAT_AFFORDABILITY" if smallest * _WHOLE_BPS > liquid * limit_bps else None


def check_concentration(pair: Pair) -> str | None:
    """Checks how much would lie with one issuer and at high risk; investment products only.

    The total is liquid and everything held, over all issuers. A level that is unknown counts as high risk.

    1. min_amount or liquid missing: USR_FINANCES_UNKNOWN.
    2. held_issuer or held_high_risk missing: USR_HOLDINGS_UNKNOWN.
    3. Held at the issuer + min_amount is above issuer_max_bps of the total: MAT_ISSUER_CONCENTRATION.
    4. level >= high_risk_level, and held_high_risk + min_amount is above high_risk_max_bps of the total:
       MAT_HIGH_RISK_CONCENTRATION.
    """
    if not pair.investment:
        return None
    smallest = integer(pair.product, PRODUCT_FIELDS["min_amount"])
    liquid = integer(pair.user, USER_FIELDS["liquid"])
    if smallest is None or liquid is None:
        return "USR_FINANCES_UNKNOWN"
    by_issuer = counts(pair.user, USER_FIELDS["held_issuer"])
    high_risk = integer(pair.user, USER_FIELDS["held_high_risk"])
    if by_issuer is None or high_risk is None:
        return "USR_HOLDINGS_UNKNOWN"
    rules = pair.rules["concentration"]
    total = liquid + sum(by_issuer.values())
    issuer = text(pair.product, PRODUCT_FIELDS["issuer"])
    held = 0 if issuer is None else by_issuer.get(issuer, 0)
    if (held + smallest) * _WHOLE_BPS > total * rules["issuer_max_bps"]:
        return "MAT_ISSUER_CONCENTRATION"
    if pair.level is not None and pair.level < rules["high_risk_level"]:
        return None
    over = (high_risk + smallest) * _WHOLE_BPS > total * rules["high_risk_max_bps"]
    return "MAT_HIGH_RISK_CONCENTRATION" if over else None


def check_premium(pair: Pair) -> str | None:
    """Checks the premium against income, budget and age; insurance only.

    pay_years 0 means the single premium applies, more means the annual one.

    1. pay_years missing: PRD_PREMIUM_UNKNOWN.
    2. income or premium_budget missing: USR_FINANCES_UNKNOWN.
    3. The premium that applies missing: PRD_PREMIUM_UNKNOWN.
    4. It is above annual_ or single_premium_max_bps_of_income: MAT_PREMIUM_TO_INCOME.
    5. It is above budget_max_bps of premium_budget: MAT_PREMIUM_BUDGET.
    6. pay_years > 1, and birth_date missing or in the future: USR_AGE_UNKNOWN.
    7. pay_years > 1, and age (a leap-day birthday on 28 February) + pay_years reaches
       age_plus_pay_years_max_exclusive: MAT_AGE_PLUS_PAY_TERM.
    """
    if not pair.insurance:
        return None
    pay_years = integer(pair.product, PRODUCT_FIELDS["pay_years"])
    if pay_years is None:
        return "PRD_PREMIUM_UNKNOWN"
    income = integer(pair.user, USER_FIELDS["income"])
    budget = integer(pair.user, USER_FIELDS["premium_budget"])
    if income is None or budget is None:
        return "USR_FINANCES_UNKNOWN"
    return _check_amount(pair, pay_years, income, budget) or _check_pay_term(pair, pay_years)


def _check_amount(pair: Pair, pay_years: int, income: int, budget: int) -> str | None:
    kind = "single" if pay_years == 0 else "annual"
    premium = integer(pair.product, PRODUCT_FIELDS[f"{kind}_premium"])
    if premium is None:
        return "PRD_PREMIUM_UNKNOWN"
    rules = pair.rules["insurance"]
    if premium * _WHOLE_BPS > income * rules[f"{kind}_premium_max_bps_of_income"]:
        return "MAT_PREMIUM_TO_INCOME"
    return "MAT_PREMIUM_BUDGET" if premium * _WHOLE_BPS > budget * rules["budget_max_bps"] else None


def _check_pay_term(pair: Pair, pay_years: int) -> str | None:
    if pay_years <= 1:
        return None
    if pair.birth_date is None:
        return "USR_AGE_UNKNOWN"
    last = age_rounded_up(pair.birth_date, pair.today) + pay_years
    limit = pair.rules["insurance"]["age_plus_pay_years_max_exclusive"]
    return "MAT_AGE_PLUS_PAY_TERM" if last >= limit else None
