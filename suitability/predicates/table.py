"""Lists the predicates in the order of the rules' section 4, each with the names of what it reads.

Adding a predicate is one function in a module of this package, one row here, and its codes in
`suitability.codes`. A function returns None when the pair passes. Inside a predicate the first failing test
wins, in the order that the function's docstring numbers; across predicates there is no order, every one is
evaluated. A function may raise; `evaluate` turns that into SYS_PREDICATE_ERROR.
"""

from collections.abc import Callable
from dataclasses import dataclass

from suitability.predicates.assessment import check_assessment
from suitability.predicates.pair import Pair
from suitability.predicates.product import (
    check_channel,
    check_status,
    check_system,
    check_window,
)
from suitability.predicates.risk import check_risk_match, check_risk_score
from suitability.predicates.user import check_user

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
    Predicate(6, "user", check_user, ("pseudonym", "blocked", "consent_sensitive")),
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
        25,
        "risk_score",
        check_risk_score,
        ("risk_level",),
        (*_RATED, "risk_score"),
        ("risk_score", _RATED_FROM),
    ),
)
