"""What a patch may do to a product: make it harder to be shown, and never easier than its bundle does.

Nothing here can loosen: whatever a patch says, the product that comes out is at least as strict in every
field as the bundle's row. So what was compiled of the bundle to find products, the filter above all, still
lets through every product that can be eligible. What a patch asks beyond that is refused: it needs a bundle.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from suitability.policy import Policy
from suitability.ratings import effective_risk_score
from suitability.records import PRODUCT_FIELDS, SCALE_LEVEL_MAX, read, text

ON_SALE: Final = "ON_SALE"

Value = str | int | datetime
Fields = Mapping[str, Value]
Product = Mapping[str, Any]

ONE_WAY: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {
        "sale_start": max,
        "sale_end": min,
        "licence_until": min,
        "level_issuer": max,
        "level_distributor": max,
        "risk_score": max,
    }
)
"""By field, which of two values is the stricter one; such a field is never loosened while a bundle serves."""
BOTH_WAYS: Final = ("status", "capacity_left")
"""Facts of the day: they follow the world in both directions, up to what the bundle says."""
PATCHED_FIELDS: Final = (*BOTH_WAYS, *ONE_WAY)


class RefusalReason(Enum):
    """Why a field of a patch is refused."""

    NEEDS_NEW_BUNDLE = 1  # It would loosen what is in force.
    NOT_STATED = 2  # The bundle does not state the field, which denies already.
    OUT_OF_SCALE = 3  # The product's scale has no such level.


@dataclass(frozen=True, slots=True)
class Refusal:
    """A field of a patch that is refused, with what stays in force, as text."""

    field: str
    reason: RefusalReason
    in_force: str


def tighten(product: Product, fields: Fields, policy: Policy) -> dict[str, Any]:
    """Returns a product with every field at least as strict as the bundle's row and as the patch.

    A field that is missing or malformed stays so: unknown denies. A risk score that is not stated is at least
    the one that the policy derives.

    Args:
        product: the bundle's row.
        fields: what the patch says.
        policy: the policy that the result is compiled under.
    """
    patched = dict(product)
    for name, value in fields.items():
        stated = read(product, PRODUCT_FIELDS[name])
        if name == "risk_score" or stated is None:
            continue
        if name == "status":
            patched[name] = stated if value == ON_SALE else value
        else:
            patched[name] = ONE_WAY.get(name, min)(stated, value)
    score = effective_risk_score(patched, policy)
    if "risk_score" in fields and score is not None:
        patched["risk_score"] = max(score, fields["risk_score"])
    return patched


def find_refusals(product: Product, in_force: Fields, asked: Fields, policy: Policy) -> tuple[Refusal, ...]:
    """Returns what of a patch would loosen something; none means that all of it may come into force.

    Args:
        product: the bundle's row.
        in_force: what earlier patches say of the product.
        asked: the patch.
        policy: the policy in force.
    """
    now = tighten(product, in_force, policy)
    then = tighten(product, {**in_force, **asked}, policy)
    refusals = []
    for name, value in asked.items():
        held = read(now, PRODUCT_FIELDS[name])
        if name == "risk_score" and held is None:
            held = effective_risk_score(now, policy)
        reason = _find_reason(name, value, held, then.get(name), product)
        if reason is not None:
            refusals.append(Refusal(name, reason, "" if held is None else _show(held)))
    return tuple(refusals)


def _find_reason(
    name: str, value: Value, held: object, then: object, product: Product
) -> RefusalReason | None:
    if held is None:
        return RefusalReason.NOT_STATED
    if name.startswith("level_"):
        scale = text(product, PRODUCT_FIELDS["scale"])
        if scale is not None and isinstance(value, int) and value > SCALE_LEVEL_MAX[scale]:
            return RefusalReason.OUT_OF_SCALE
    stricter = ONE_WAY.get(name)
    loosens = then != value if stricter is None else stricter(held, value) != value
    return RefusalReason.NEEDS_NEW_BUNDLE if loosens else None


def _show(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
