"""Lists the predicates in the order of the rules' section 4, each with the names of what it reads.

Adding a predicate is one function in a module of this package, one row here, and its codes in
`suitability.codes`. A function returns None when the pair passes. Inside a predicate the first failing test
wins, in the order that the function's docstring numbers; across predicates there is no order, every one is
evaluated. A function may raise; `evaluate` turns that into SYS_PREDICATE_ERROR.
"""

from collections.abc import Callable
from dataclasses import dataclass

from suitability.predicates.assessment import check_assessment
from suitability.predicates.credit import check_credit
from suitability.predicates.finances import check_affordability, check_concentration, check_premium
from suitability.predicates.insurance import check_needs
from suitability.predicates.pair import Pair
from suitability.predicates.place import check_currency, check_place
from suitability.predicates.product import (
    check_channel,
    check_offering,
    check_quota,
    check_status,
    check_system,
    check_window,
)
from suitability.predicates.risk import check_elder, check_risk_match, check_risk_score, check_vulnerable
from suitability.predicates.target_market import (
    check_age,
    check_client_type,
    check_horizon,
    check_knowledge,
    check_losses,
    check_objectives,
)
from suitability.predicates.user import check_capacity, check_staleness, check_user

LEARNING_PREDICATE_LAST = 3


@dataclass(frozen=True)
class Predicate:
    """Names one predicate and what it reads.

    Attributes:
        number: its number in the rules.
        name: its name in the rules.
        function: takes a pair and returns the code of its first failing test, or None.
        user_fields: the user's fields that it may read.
        product_fields: the product's fields that it may read.
        policy_keys: key paths of the policy that it may read; a path stands for everything below it.
    """

    number: int
    name: str
    function: Callable[[Pair], str | None]
    user_fields: tuple[str, ...] = ()
    product_fields: tuple[str, ...] = ()
    policy_keys: tuple[str, ...] = ()


_LEVEL = ("scale", "level_issuer", "level_distributor")
# What tells whether a product is rated.
_RATED = ("family", *_LEVEL)
_RATED_FROM = "insurance.rated_from_level"
_ZONE = "jurisdiction_tz"

PREDICATES: tuple[Predicate, ...] = (
    Predicate(0, "system", check_system, (), (), ("effective_from", "effective_to")),
    Predicate(
        1,
        "status",
        check_status,
        (),
        ("family", "id", "issuer", "status", "registration_code"),
        ("halted_products", "halted_issuers"),
    ),
    Predicate(2, "window", check_window, (), ("sale_start", "sale_end")),
    Predicate(3, "channel", check_channel, (), ("family", "channels", "licence_until")),
    Predicate(4, "offering", check_offering, (), ("offering",)),
    Predicate(5, "quota", check_quota, (), ("capacity_left", "min_amount")),
    Predicate(6, "user", check_user, ("pseudonym", "blocked", "consent_sensitive")),
    Predicate(
        7, "staleness", check_staleness, ("profile_as_of",), (), ("assessment.profile_max_staleness_s",)
    ),
    Predicate(8, "capacity", check_capacity, ("capacity",), _LEVEL, ("limited_capacity.max_level",)),
    Predicate(
        9,
        "assessment",
        check_assessment,
        (
            "risk_level",
            "assessed_on",
            "change_reported",
            "level_changed",
            "level_confirmed",
            "assessments_today",
            "assessments_12m",
        ),
        _RATED,
        (
            "assessment.validity_months",
            "assessment.max_per_day",
            "assessment.max_per_12m",
            _RATED_FROM,
            _ZONE,
        ),
    ),
    Predicate(
        10,
        "risk_match",
        check_risk_match,
        ("risk_level",),
        _RATED,
        ("level_cap", "risk_matrix", _RATED_FROM),
    ),
    Predicate(
        11,
        "client_type",
        check_client_type,
        ("client_type",),
        ("retail",),
        ("target_market.client_type_neutral",),
    ),
    Predicate(12, "knowledge", check_knowledge, ("knowledge",), ("family", "min_knowledge")),
    Predicate(13, "losses", check_losses, ("loss_capacity", "max_loss_bps"), ("loss_class", "max_loss_bps")),
    Predicate(
        14,
        "horizon",
        check_horizon,
        ("horizon_months",),
        ("family", "min_horizon_months"),
        ("horizon.buffer_months",),
    ),
    Predicate(15, "age", check_age, ("birth_date",), ("min_age", "max_age"), (_ZONE,)),
    Predicate(
        16,
        "elder",
        check_elder,
        ("birth_date",),
        _RATED,
        ("elder.age", "elder.max_level", "elder.max_insurance_level", _ZONE),
    ),
    Predicate(
        17,
        "vulnerable",
        check_vulnerable,
        ("vulnerable",),
        _RATED,
        ("vulnerable.max_level", "vulnerable.max_insurance_level"),
    ),
    Predicate(18, "place", check_place, ("jurisdiction", "us_person"), ("jurisdictions", "us_persons_ok")),
    Predicate(19, "currency", check_currency, ("currencies",), ("currency",)),
    Predicate(
        20,
        "affordability",
        check_affordability,
        ("liquid",),
        ("family", "min_amount"),
        ("affordability.min_investment_max_bps_of_liquid",),
    ),
    Predicate(
        21,
        "concentration",
        check_concentration,
        ("liquid", "held_issuer", "held_high_risk"),
        (*_RATED, "issuer", "min_amount"),
        ("concentration.issuer_max_bps", "concentration.high_risk_level", "concentration.high_risk_max_bps"),
    ),
    Predicate(
        22, "objectives", check_objectives, ("objectives",), ("family", "objectives_y", "objectives_n")
    ),
    Predicate(
        23,
        "needs",
        check_needs,
        ("needs", "needs_on", "held_dup_groups"),
        ("family", "needs_served", "dup_group"),
        ("assessment.needs_validity_months", _ZONE),
    ),
    Predicate(
        24,
        "premium",
        check_premium,
        ("income", "premium_budget", "birth_date"),
        ("family", "pay_years", "annual_premium", "single_premium"),
        (
            "insurance.annual_premium_max_bps_of_income",
            "insurance.single_premium_max_bps_of_income",
            "insurance.budget_max_bps",
            "insurance.age_plus_pay_years_max_exclusive",
            _ZONE,
        ),
    ),
    Predicate(
        25,
        "risk_score",
        check_risk_score,
        ("risk_level",),
        (*_RATED, "risk_score", "computed_risk_class"),
        ("risk_score", _RATED_FROM),
    ),
    Predicate(26, "credit", check_credit, ("user_risk_band",), ("credit_like",), ("credit.max_band",)),
)
