"""One user and one product at one instant, and what several rules derive from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from benchmarks.verify.values import Record, day, whole, word

INVESTMENTS = ("WEALTH", "FUND", "TRUST", "STRUCTURED")
INSURANCES = ("INS_PROTECTION", "INS_PAR_UL", "INS_LINKED")
LEARNING = "COURSE"
SCALES = {"CN5": 5, "SRI7": 7}
SCORE_MAX = 10_000


@dataclass(frozen=True)
class Pair:
    """What the rules see.

    Attributes:
        user: the user's fields; nothing of them is needed for learning content.
        product: the product's fields.
        policy: a valid policy, overlay included.
        now: the decision time, in UTC.
        channel: the sales channel.
        limit: the request's highest risk score, if it has one.
    """

    user: Record
    product: Record
    policy: Mapping[str, Any]
    now: datetime
    channel: str
    limit: int | None

    @cached_property
    def today(self) -> date:
        """Returns the local day in the policy's time zone."""
        return self.now.astimezone(ZoneInfo(self.policy["jurisdiction_tz"])).date()

    @cached_property
    def family(self) -> str | None:
        """Returns the product's family, None if it is none of those known."""
        return word(self.product, "family", *INVESTMENTS, *INSURANCES, LEARNING)

    @property
    def learning(self) -> bool:
        """Tells whether the product is learning content."""
        return self.family == LEARNING

    @property
    def investment(self) -> bool:
        """Tells whether the product is an investment."""
        return self.family in INVESTMENTS

    @property
    def insurance(self) -> bool:
        """Tells whether the product is an insurance."""
        return self.family in INSURANCES

    @cached_property
    def level(self) -> int | None:
        """Returns the higher of the issuer's and the distributor's level, None if either is no level."""
        top = SCALES.get(word(self.product, "scale") or "", 0)
        stated = [whole(self.product, name, top, 1) for name in ("level_issuer", "level_distributor")]
        known = [level for level in stated if level is not None]
        return max(known) if len(known) == len(stated) else None

    @cached_property
    def score(self) -> int | None:
        """Returns the stated risk score, or else that of the level; at least that of a computed class."""
        scores = self.policy["risk_score"]["derive_from_level"]
        least = 0
        if self.product.get("computed_risk_class") is not None:
            found = whole(self.product, "computed_risk_class", 7, 1)
            if found is None:
                return None
            least = scores["SRI7"][found - 1]
        if self.product.get("risk_score") is not None:
            stated = whole(self.product, "risk_score", SCORE_MAX)
        else:
            stated = None if self.level is None else scores[self.product["scale"]][self.level - 1]
        return None if stated is None else max(stated, least)

    @cached_property
    def rated(self) -> bool:
        """Tells whether the product needs a risk assessment; of an unknown family it does."""
        if self.learning:
            return False
        if self.family in ("INS_PROTECTION", "INS_PAR_UL"):
            return self.level is None or self.level >= self.policy["insurance"]["rated_from_level"]
        return True

    @cached_property
    def tolerance(self) -> int | None:
        """Returns the user's risk level."""
        return whole(self.user, "risk_level", 5)

    @cached_property
    def score_limit(self) -> int | None:
        """Returns the risk score up to which the user may see rated products, None without a risk level."""
        if self.tolerance is None:
            return None
        allowed: int = self.policy["risk_score"]["limit_by_level"][str(self.tolerance)]
        return allowed if self.limit is None else min(allowed, self.limit)

    @cached_property
    def born(self) -> date | None:
        """Returns the birth date, None if it lies in the future."""
        born = day(self.user, "birth_date")
        return None if born is None or born > self.today else born

    def is_over(self, caps: str) -> bool:
        """Tells whether the level is unknown or over the cap that protects `elder` or `vulnerable` users."""
        both = {
            "investment": self.policy[caps]["max_level"],
            "insurance": self.policy[caps]["max_insurance_level"],
        }
        if self.investment or self.insurance:
            cap = both["investment" if self.investment else "insurance"]
        else:
            cap = min(both.values())
        return self.level is None or self.level > cap
