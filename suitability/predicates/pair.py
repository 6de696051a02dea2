"""Holds everything that a verdict on one user and one product depends on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from suitability.calendar_days import local_day
from suitability.policy import Policy, policy_values
from suitability.ratings import effective_level, is_rated
from suitability.records import (
    INSURANCE_FAMILIES,
    INVESTMENT_FAMILIES,
    LEARNING_FAMILY,
    PRODUCT_FIELDS,
    USER_FIELDS,
    day,
    text,
    utc_instant,
)


@dataclass(frozen=True)
class Pair:
    """Holds a user, a product and the circumstances, and what several predicates derive from them.

    What is derived is computed when first asked for and kept. It may raise; `evaluate` turns that into a
    coded no.

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

    @cached_property
    def rules(self) -> Mapping[str, Any]:
        """The policy as a plain mapping."""
        return policy_values(self.policy)

    @cached_property
    def moment(self) -> datetime:
        """decision_time in UTC, so that comparing it never depends on a wall clock."""
        moment = utc_instant(self.now)
        if moment is None:
            raise ValueError(f"expected a decision time with time zone, got {self.now!r:.80}")
        return moment

    @cached_property
    def today(self) -> date:
        """The local day of decision_time in the policy's time zone."""
        return local_day(self.moment, ZoneInfo(self.rules["jurisdiction_tz"]))

    @cached_property
    def birth_date(self) -> date | None:
        """The user's day of birth; None where it is missing or after today."""
        birth = day(self.user, USER_FIELDS["birth_date"])
        return None if birth is None or birth > self.today else birth

    @cached_property
    def family(self) -> str | None:
        """The product's family; None where it is unknown."""
        return text(self.product, PRODUCT_FIELDS["family"])

    @property
    def learning(self) -> bool:
        """Whether the product is learning content, to which only predicates 0 to 3 apply."""
        return self.family == LEARNING_FAMILY

    @property
    def investment(self) -> bool:
        """Whether the product is an investment; an unknown family is not."""
        return self.family in INVESTMENT_FAMILIES

    @property
    def insurance(self) -> bool:
        """Whether the product is an insurance; an unknown family is not."""
        return self.family in INSURANCE_FAMILIES

    @cached_property
    def level(self) -> int | None:
        """The product's effective level; None where it is unknown."""
        return effective_level(self.product)

    @cached_property
    def rated(self) -> bool:
        """Whether the product needs a valid risk assessment; one of unknown family does."""
        return is_rated(self.product, self.policy)
