"""Estimates what FAR-Trans does not state from what it does: kinds of assets, customers' bands, purchases.

Estimates enter a data set only through an assumptions file and are marked there; this module says how each
is reached. Amounts are euro cents.

* An asset's kind (category and sub-category) suggests what can be lost, the recommended holding period, the
  objectives it serves and the smallest order. A kind that the table does not name has no estimate.
* A customer's risk level, stated or predicted by the bank, suggests the loss that can be borne, the horizon
  and the objectives; the band of investment capacity suggests the money at hand, at the band's lower end.
* Purchases less sales, at cost, are what a customer holds. A purchase without an amount counts as ORDER.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from training.schema import ARROW_TYPES, PRODUCTS, PROFILES, TableSpec

ORDER: Final = 100_000  # 1,000 euros: the amounts are not published in every copy of the data.
HIGH_RISK_LEVEL: Final = 4


@dataclass(frozen=True)
class _AssetKind:
    """What a kind of asset suggests; fields as in the products table."""

    loss_class: int
    max_loss_bps: int
    min_horizon_months: int
    min_amount: int
    objectives_y: tuple[str, ...]
    objectives_n: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Tolerance:
    """What a risk level suggests; fields as in the profiles table."""

    loss_capacity: int
    max_loss_bps: int
    horizon_months: int
    objectives: tuple[str, ...]


_BOND_FUND: Final = _AssetKind(1, 2_000, 24, 10_000, ("income",))
_EQUITY_FUND: Final = _AssetKind(2, 10_000, 36, 10_000, ("growth", "speculate"), ("preserve",))
_STOCK: Final = _AssetKind(2, 10_000, 36, 10_000, ("income", "growth", "speculate"), ("preserve",))
ASSET_KINDS: Final[Mapping[tuple[str, str | None], _AssetKind]] = {
    ("MTF", "Money Market"): _AssetKind(1, 500, 0, 10_000, ("preserve", "income")),
    ("MTF", "Bond"): _BOND_FUND,
    ("MTF", "Bonds"): _BOND_FUND,
    ("MTF", "Balanced"): _AssetKind(1, 3_000, 36, 10_000, ("income", "growth")),
    ("MTF", "Equity"): _EQUITY_FUND,
    ("Bond", "Government"): _AssetKind(1, 1_000, 24, 100_000, ("preserve", "income")),
    ("Bond", "Corporate"): _AssetKind(2, 10_000, 24, 100_000, ("income",)),
    ("Stock", None): _STOCK,
    ("Stock", "Large Cap"): _STOCK,
}
TOLERANCES: Final[Mapping[int, _Tolerance]] = {
    1: _Tolerance(1, 1_500, 24, ("preserve", "income")),
    2: _Tolerance(2, 10_000, 36, ("income",)),
    3: _Tolerance(2, 10_000, 60, ("income", "growth")),
    4: _Tolerance(2, 10_000, 84, ("income", "growth", "speculate")),
}
# The lower end of each band; the lowest has none, so a third of its upper end is taken.
LIQUID: Final = {
    "CAP_LT30K": 1_000_000,
    "CAP_30K_80K": 3_000_000,
    "CAP_80K_300K": 8_000_000,
    "CAP_GT300K": 30_000_000,
}
NATURAL_PERSONS: Final = frozenset({"Mass", "Premium", "Professional"})


def estimate_assets(kinds: Sequence[tuple[str, str | None]]) -> dict[str, Any]:
    """Returns estimates by field of the products table, one entry per asset.

    Args:
        kinds: category and sub-category per asset.
    """
    found = [ASSET_KINDS.get(kind) for kind in kinds]
    return {
        name: _column(PRODUCTS, name, [None if kind is None else getattr(kind, name) for kind in found])
        for name in _AssetKind.__dataclass_fields__
    }


def estimate_customers(
    levels: Sequence[int | None], types: Sequence[str | None], capacities: Sequence[str | None]
) -> dict[str, Any]:
    """Returns estimates by field of the profiles table, one entry per customer.

    Args:
        levels: risk level per customer, stated or predicted.
        types: customerType; only natural persons have civil capacity.
        capacities: investmentCapacity, stated or predicted.
    """
    found = [None if level is None else TOLERANCES[level] for level in levels]
    estimates = {
        name: _column(PROFILES, name, [None if entry is None else getattr(entry, name) for entry in found])
        for name in _Tolerance.__dataclass_fields__
    }
    liquid = [LIQUID.get(str(band).removeprefix("Predicted_")) for band in capacities]
    estimates["liquid"] = _column(PROFILES, "liquid", liquid)
    persons = ["FULL" if kind in NATURAL_PERSONS else None for kind in types]
    estimates["capacity"] = _column(PROFILES, "capacity", persons)
    return estimates


def estimate_holdings(
    user_ids: Sequence[str], trades: Sequence[tuple[str, str, int]], levels: Mapping[str, int | None]
) -> dict[str, Any]:
    """Returns what each customer holds: by asset, and in assets of high or unknown level.

    Args:
        user_ids: one per row of the profiles table.
        trades: customer, asset and signed amount in cents, in any order.
        levels: estimated level by asset.
    """
    held: dict[str, dict[str, int]] = {}
    for user_id, asset, amount in trades:
        of_user = held.setdefault(user_id, {})
        of_user[asset] = of_user.get(asset, 0) + amount
    entries = [
        {asset: amount for asset, amount in sorted(held.get(user_id, {}).items()) if amount > 0}
        for user_id in user_ids
    ]
    risky = [
        sum(
            amount
            for asset, amount in entry.items()
            if (levels.get(asset) or HIGH_RISK_LEVEL) >= HIGH_RISK_LEVEL
        )
        for entry in entries
    ]
    return {
        # An asset stands for its issuer, because issuers are not stated either.
        "held_issuer": _column(PROFILES, "held_issuer", [list(entry.items()) for entry in entries]),
        "held_high_risk": _column(PROFILES, "held_high_risk", risky),
    }


def _column(spec: TableSpec, name: str, values: Sequence[Any]) -> Any:
    field = spec.field(name)
    assert field is not None, name
    return pa.array(values, ARROW_TYPES[field.kind])
