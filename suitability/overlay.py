"""Tightens a policy in an emergency: an overlay halts products or issuers or lowers the level cap.

An overlay holds everything that it halts; a later one replaces it whole, so the sequence number must rise.
What it admits is a subset of what the policy admits. How many must sign an overlay is decided by comparing it
with the one in force: `is_tighter`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, overload

from suitability.errors import OverlayError
from suitability.json_documents import canonical_bytes, errors_as, errors_naming, frozen, read_document
from suitability.policy import Policy, policy_values
from suitability.policy_schema import Text, Texts, Whole, check_schema, check_shape
from suitability.records import SCALE_LEVEL_MAX

OVERLAY_SCHEMA_NAME = "suitability-overlay/1"
SEQUENCE_MAX = 2**53 - 1  # The largest integer that every JSON reader keeps exactly.

_TIGHTENING: Mapping[str, Any] = MappingProxyType(
    {
        "halted_products": Texts(),
        "halted_issuers": Texts(),
        "level_cap": Whole(0, max(SCALE_LEVEL_MAX.values()), nullable=True),
    }
)
_NOTHING: Mapping[str, Any] = MappingProxyType(
    {"halted_products": (), "halted_issuers": (), "level_cap": None}
)
_SHAPE: Mapping[str, Any] = MappingProxyType(
    {
        "schema": Text((OVERLAY_SCHEMA_NAME,)),
        "policy_id": Text(),
        "sequence": Whole(1, SEQUENCE_MAX),
        **_TIGHTENING,
        "reason": Text(),
    }
)


@dataclass(frozen=True)
class Overlay:
    """Holds an overlay whose shape was checked; equal when the canonical bytes are equal.

    Attributes:
        values: the overlay as a read-only mapping (lists are tuples).
        canonical: RFC 8785 bytes, which are what is signed.
        sha256: identity, lower-case hexadecimal.
        policy_id: the policy it is for, in any version.
        sequence: its place in the order of overlays; higher than that of the one it replaces.
        halted_products: ids of products that nobody may be shown.
        halted_issuers: issuers whose products nobody may be shown.
        level_cap: highest effective level that may be shown; None adds no cap.
        reason: why, for the record.
    """

    values: Mapping[str, Any] = field(compare=False)
    canonical: bytes = field(init=False, repr=False)
    sha256: str = field(init=False, compare=False)
    policy_id: str = field(init=False, compare=False)
    sequence: int = field(init=False, compare=False)
    halted_products: frozenset[str] = field(init=False, compare=False)
    halted_issuers: frozenset[str] = field(init=False, compare=False)
    level_cap: int | None = field(init=False, compare=False)
    reason: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Checks the shape, so that no unchecked Overlay exists. Raises: OverlayError."""
        with errors_as(OverlayError):
            check_shape(self.values, _SHAPE)
            canonical = canonical_bytes(self.values)
        values = frozen(self.values)
        derived = {
            "values": values,
            "canonical": canonical,
            "sha256": hashlib.sha256(canonical).hexdigest(),
            "policy_id": values["policy_id"],
            "sequence": values["sequence"],
            "halted_products": frozenset(values["halted_products"]),
            "halted_issuers": frozenset(values["halted_issuers"]),
            "level_cap": values["level_cap"],
            "reason": values["reason"],
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)


def load_overlay(source: str | Path | bytes | Mapping[str, Any]) -> Overlay:
    """Loads an overlay from a path, its bytes or an already parsed mapping.

    Raises:
        OverlayError: it cannot be read, is larger than DOCUMENT_BYTES_MAX, is not one JSON object, or a key
            is unknown, missing, given twice or holds a wrong value.
    """
    if isinstance(source, Mapping):
        return Overlay(source)
    with errors_naming(source), errors_as(OverlayError):
        return Overlay(read_document(source))


@overload
def tighten(policy: Policy, overlay: Overlay | Mapping[str, Any]) -> Policy: ...


@overload
def tighten(policy: Mapping[str, Any], overlay: Overlay | Mapping[str, Any]) -> dict[str, Any]: ...


def tighten(
    policy: Policy | Mapping[str, Any], overlay: Overlay | Mapping[str, Any]
) -> Policy | dict[str, Any]:
    """Returns the policy with an overlay's halts added and its level cap applied.

    Args:
        policy: the policy; what comes back is of the same kind.
        overlay: an Overlay, or a mapping that holds any of halted_products, halted_issuers and level_cap.

    Raises:
        PolicyError: the policy is malformed.
        OverlayError: the overlay is malformed, is for another policy, or its level cap is not at or below the
            policy's. In a mapping that includes a level_cap of null where the policy has a cap; in an
            Overlay, which must state every key, null adds no cap.
    """
    rules = policy_values(policy)
    check_schema(rules)
    changes = _changes_of(overlay, rules) if isinstance(overlay, Overlay) else _checked(overlay)
    tightened = dict(rules)
    for name in ("halted_products", "halted_issuers"):
        # A dict keeps the order and each name once.
        tightened[name] = list(dict.fromkeys([*rules[name], *changes.get(name, ())]))
    if "level_cap" in changes:
        _check_lower(changes["level_cap"], rules["level_cap"])
        tightened["level_cap"] = changes["level_cap"]
    return Policy(tightened) if isinstance(policy, Policy) else tightened


def is_tighter(new: Overlay, old: Overlay) -> bool:
    """Tells whether a new overlay halts everything that the old one halts and its cap is not above."""
    capped = old.level_cap is None or (new.level_cap is not None and new.level_cap <= old.level_cap)
    return capped and new.halted_products >= old.halted_products and new.halted_issuers >= old.halted_issuers


def _changes_of(overlay: Overlay, rules: Mapping[str, Any]) -> Mapping[str, Any]:
    if overlay.policy_id != rules["policy_id"]:
        raise OverlayError(
            f"expected the policy's own {rules['policy_id']!r:.80}, got {overlay.policy_id!r:.80}",
            "policy_id",
        )
    names = [name for name in _TIGHTENING if overlay.values[name] is not None]
    return {name: overlay.values[name] for name in names}


def _checked(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(changes, Mapping):
        raise OverlayError(f"expected an object, got {type(changes).__name__}")
    with errors_as(OverlayError):
        check_shape({**_NOTHING, **changes}, _TIGHTENING)
    return changes


def _check_lower(cap: int | None, cap_of_policy: int | None) -> None:
    if cap_of_policy is not None and (cap is None or cap > cap_of_policy):
        raise OverlayError(
            f"expected at most the policy's {cap_of_policy}, got {'null' if cap is None else cap}",
            "level_cap",
        )
