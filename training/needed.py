"""Counts the missing fields that keep products from everybody and users from every product of a kind.

Unknown is no: a product without one of these fields suits nobody, and a user without one is shown no product
of that kind. The lists follow from the rules (a test takes each field away from an eligible pair); whatever
else is missing matters for some pairs only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from suitability.records import INSURANCE_FAMILIES, INVESTMENT_FAMILIES, LEARNING_FAMILY

LEARNING, INVESTMENT, INSURANCE = "learning", "investment", "insurance"
FAMILIES: Final[Mapping[str, frozenset[str]]] = {
    LEARNING: frozenset({LEARNING_FAMILY}),
    INVESTMENT: INVESTMENT_FAMILIES,
    INSURANCE: INSURANCE_FAMILIES,
}
_OF_EVERY_PRODUCT: Final = ("issuer", "status", "sale_start", "sale_end", "channels")
_OF_FINANCIAL: Final = (
    *_OF_EVERY_PRODUCT,
    "registration_code",
    "licence_until",
    "scale",
    "level_issuer",
    "level_distributor",
    "offering",
    "capacity_left",
    "min_amount",
    "retail",
    "min_knowledge",
    "loss_class",
    "min_horizon_months",
    "min_age",
    "max_age",
    "jurisdictions",
    "currency",
)
PRODUCT_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    LEARNING: _OF_EVERY_PRODUCT,
    INVESTMENT: (*_OF_FINANCIAL, "objectives_y", "objectives_n"),
    INSURANCE: (*_OF_FINANCIAL, "needs_served", "pay_years"),
}
_OF_EVERY_USER: Final = (
    "blocked",
    "consent_sensitive",
    "profile_as_of",
    "capacity",
    "birth_date",
    "jurisdiction",
    "currencies",
)
USER_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    INVESTMENT: (
        *_OF_EVERY_USER,
        "risk_level",
        "assessed_on",
        "change_reported",
        "assessments_today",
        "assessments_12m",
        "liquid",
        "held_issuer",
        "held_high_risk",
        "objectives",
    ),
    INSURANCE: (*_OF_EVERY_USER, "needs", "needs_on", "held_dup_groups", "income", "premium_budget"),
}


@dataclass(frozen=True)
class Gap:
    """A field that is missing where a product or a user cannot do without it.

    Attributes:
        table: products or profiles.
        kind: learning, investment or insurance: of the products, or of what users cannot be shown; "" for
            products whose kind is unknown.
        field: the field that is missing.
        missing: in how many rows.
        rows: of how many.
    """

    table: str
    kind: str
    field: str
    missing: int
    rows: int

    def describe(self) -> str:
        """Says what is missing and what follows, in words."""
        if self.table == "products":
            products = f"{self.kind} products".lstrip()
            return (
                f"{self.missing:,} of {self.rows:,} {products} lack {self.field}: none of them can be shown"
            )
        return (
            f"{self.missing:,} of {self.rows:,} users lack {self.field}: no {self.kind} can be shown to them"
        )


def find_gaps(products: pa.Table, profiles: pa.Table) -> list[Gap]:
    """Counts the needed fields that are missing in clean tables; within a kind the most frequent first."""
    families = products.column("family").to_pylist()
    gaps = _count("products", "", products, ("family",))
    for kind, members in FAMILIES.items():
        mine = products.filter(pa.array([family in members for family in families], pa.bool_()))
        if mine.num_rows == 0:
            continue  # Nothing of this kind is offered, so nothing is missing for it.
        gaps += _count("products", kind, mine, PRODUCT_FIELDS[kind])
        gaps += _count("profiles", kind, profiles, USER_FIELDS.get(kind, ()))
    return gaps


def _count(table: str, kind: str, rows: pa.Table, fields: tuple[str, ...]) -> list[Gap]:
    gaps = [Gap(table, kind, field, rows.column(field).null_count, rows.num_rows) for field in fields]
    return sorted((gap for gap in gaps if gap.missing), key=lambda gap: (-gap.missing, gap.field))
